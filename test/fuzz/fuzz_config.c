/* A configuration from anywhere is refused or read, changed and written. Input: a path, a
 * line break, the document. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "data/config.h"
#include "data/xml.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

/* Any path; what is set need not be found by it afterwards: it may be what a predicate asks for. */
static void try_path(lh_config *config, const char *path) {
    char message[LH_CONFIG_MESSAGE_BYTES], *value = NULL, **values = NULL;
    size_t count = 0;
    lh_config_get(config, path, &value, message);
    lh_free(value);
    lh_config_list(config, path, "@*", &values, &count, message);
    for (size_t i = 0; i < count; i++) lh_free(values[i]);
    lh_free(values);
    lh_config_set(config, path, "set", 3, message);
    lh_config_replace(config, path, "<&>", 3, message);
}

/* A path without predicates. */
static void expect_set(lh_config *config, const char *path) {
    char message[LH_CONFIG_MESSAGE_BYTES], *value = NULL;
    if (lh_config_set(config, path, "<set>", 5, message) != LH_CONFIG_DONE) return;
    assert(lh_config_get(config, path, &value, message) == LH_CONFIG_DONE && strcmp(value, "<set>") == 0);
    lh_free(value);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    const unsigned char *end = memchr(data, '\n', size);
    if (!end || memchr(data, 0, (size_t)(end - data))) return 0;
    char message[LH_CONFIG_MESSAGE_BYTES];
    char *path = lh_alloc_copy((const char *)data, (size_t)(end - data));
    lh_xml_start();
    lh_config *config = lh_config_parse((const char *)end + 1, size - (size_t)(end + 1 - data), message);
    if (config) {
        size_t length;
        try_path(config, path);
        expect_set(config, "/*/logs/log/@name");
        expect_set(config, "/*/logs");
        lh_free(lh_config_text(config, true, &length));
        lh_free(lh_config_text(config, false, &length));
        lh_config_free(config);
    }
    lh_free(path);
    return 0;
}
