/* A log record as JSON is one line and JSON, whatever is in it. Input: the facility, a NUL, the message. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "data/json.h"
#include "data/log_line.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    const unsigned char *end = memchr(data, 0, size);
    if (!end) return 0;
    const lh_log_record record = {.facility = (const char *)data,
                                  .file = size & 1 ? (const char *)data : NULL,
                                  .line = (int)size,
                                  .bytes = (const char *)end + 1,
                                  .length = size - (size_t)(end + 1 - data)};
    size_t length;
    char *line = lh_log_line_json(&record, &length);
    lh_json_error error;
    assert(line && lh_json_check(line, length - 1, &error));
    assert(memchr(line, '\n', length) == line + length - 1);
    lh_free(line);
    char prefix[LH_LOG_PREFIX_BYTES];
    assert(lh_log_line_prefix(prefix, LH_LOG_TIME | LH_LOG_FACILITY | LH_LOG_CALLER, &record) < sizeof(prefix));
    return 0;
}
