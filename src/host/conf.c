#include "host/conf.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "data/xml.h"

static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER; /* guards `config`; held for one evaluation */
static lh_config *config;
static char *config_file;
static _Atomic uint64_t generation;

/* -- Opening ------------------------------------------------------------------------------------------------------- */

/* What the command line amounts to. */
static lh_config *make_default(int thread_count, char message[LH_CONFIG_MESSAGE_BYTES]) {
    static const char format[] = "<?xml version=\"1.0\" encoding=\"utf8\"?>\n"
                                 "<cli>\n  <eventer>\n    <config>\n      <concurrency>%d</concurrency>\n"
                                 "    </config>\n  </eventer>\n</cli>\n";
    char text[sizeof(format) + 16];
    const int length = snprintf(text, sizeof(text), format, thread_count);
    return lh_config_parse(text, (size_t)length, message);
}

bool lh_conf_open(const char *file, int thread_count, char message[LH_CONFIG_MESSAGE_BYTES]) {
    assert(!config && !config_file);
    lh_xml_start();
    if (!file) {
        config = make_default(thread_count, message);
        return config != NULL;
    }
    config_file = lh_alloc_copy(file, strlen(file));
    config = lh_config_load(file, message);
    return config != NULL;
}

void lh_conf_close(void) {
    lh_config_free(config);
    lh_free(config_file);
    config = NULL;
    config_file = NULL;
}

const char *lh_conf_file(void) { return config_file; }

/* -- Reading and changing ------------------------------------------------------------------------------------------ */

lh_config_result lh_conf_read(const char *path, char **value, char message[LH_CONFIG_MESSAGE_BYTES]) {
    pthread_rwlock_rdlock(&lock);
    assert(config);
    const lh_config_result result = lh_config_get(config, path, value, message);
    pthread_rwlock_unlock(&lock);
    return result;
}

lh_config_result lh_conf_read_list(const char *base, const char *child, char ***values, size_t *count,
                                   char message[LH_CONFIG_MESSAGE_BYTES]) {
    pthread_rwlock_rdlock(&lock);
    const lh_config_result result = lh_config_list(config, base, child, values, count, message);
    pthread_rwlock_unlock(&lock);
    return result;
}

void lh_conf_visit_sections(void (*visit)(const char *name, void *context), void *context) {
    pthread_rwlock_rdlock(&lock);
    lh_config_each_section(config, visit, context);
    pthread_rwlock_unlock(&lock);
}

lh_config_result lh_conf_write(const char *path, const char *value, size_t length, bool is_replacing,
                               char message[LH_CONFIG_MESSAGE_BYTES]) {
    pthread_rwlock_wrlock(&lock);
    const lh_config_result result = is_replacing ? lh_config_replace(config, path, value, length, message)
                                                 : lh_config_set(config, path, value, length, message);
    generation++;
    pthread_rwlock_unlock(&lock);
    return result;
}

uint64_t lh_conf_generation(void) { return generation; }

static char *get_text(bool with_included, size_t *length) {
    pthread_rwlock_rdlock(&lock);
    char *text = lh_config_text(config, with_included, length);
    pthread_rwlock_unlock(&lock);
    return text;
}

char *lh_conf_shown_text(size_t *length) { return get_text(true, length); }
char *lh_conf_saved_text(size_t *length) { return get_text(false, length); }
