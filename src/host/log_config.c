#include "host/log_config.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/word.h"
#include "data/regex.h"
#include "host/log.h"
#include "host/settings.h"
#include "data/log_line.h"

enum { PATH_BYTES = 256, RING_LINES = 1000, RING_BYTES = 1024 * 1024, RING_LINES_MAX = 10000000 };
enum { ROTATE_SECONDS_MIN = 600, ROTATE_BYTES_MIN = 102400 };

#define LOG_ELEMENT "(/*/logs//log)[%d]"
#define AROUND "/ancestor-or-self::*[ancestor-or-self::logs]"

/* A <log> while it is read. */
typedef struct log_element {
    int number; /* in document order, from 1 */
    char *name;
    lh_log *log;
    lh_log_sink *sink;
    bool is_ignored;
    char *message;
} log_element;

/* A file that a log has; another may have the same. */
typedef struct open_file {
    struct open_file *next;
    lh_log_sink *sink;
    char *path;
    lh_log_file_limits limits;
    bool is_synchronous;
} open_file;

static open_file *open_files; /* for the life of the process, as the sinks */

/* -- Reading ------------------------------------------------------------------------------------------------------- */

static bool fail(const log_element *element, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool fail(const log_element *element, const char *format, ...) {
    char text[LH_CONFIG_MESSAGE_BYTES - 100];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    snprintf(element->message, LH_CONFIG_MESSAGE_BYTES, "<log name=\"%.60s\">: %s", element->name ? element->name : "",
             text);
    return false;
}

/* What the path says of the element, freed with lh_free; NULL = nothing. `format` has a %d for the element's number. */
static char *read_path(const log_element *element, const char *format, ...) {
    char path[PATH_BYTES], why[LH_CONFIG_MESSAGE_BYTES], *value = NULL;
    const int length = snprintf(path, sizeof(path), LOG_ELEMENT, element->number);
    assert(length > 0 && (size_t)length < sizeof(path));
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(path + length, sizeof(path) - (size_t)length, format, arguments);
    va_end(arguments);
    return lh_conf_read(path, &value, why) == LH_CONFIG_DONE ? value : NULL;
}

static char *read_attribute(const log_element *element, const char *name) {
    return read_path(element, AROUND "/@%s", name);
}

static bool read_boolean(const log_element *element, const char *name, bool *value) {
    char *text = read_attribute(element, name);
    const int truth = text ? lh_word_boolean(text) : 0;
    *value = truth == 1;
    if (truth < 0) fail(element, "%s: on or off expected, got '%.40s'", name, text);
    lh_free(text);
    return truth >= 0;
}

/* At least `least`; 0 when the attribute is absent. */
static bool read_number(const log_element *element, const char *name, uint64_t least, uint64_t *value) {
    char *text = read_attribute(element, name), *end = text;
    *value = 0;
    if (!text) return true;
    errno = 0;
    *value = *text >= '0' && *text <= '9' ? strtoull(text, &end, 10) : 0;
    const bool is_number = end != text && !*end && !errno;
    bool is_good = is_number && *value >= least;
    if (!is_number) fail(element, "%s: a number expected, got '%.40s'", name, text);
    if (is_number && !is_good) {
        fail(element, "%s: at least %llu expected, got %.40s", name, (unsigned long long)least, text);
    }
    lh_free(text);
    return is_good;
}

/* -- require_env --------------------------------------------------------------------------------------------------- */

/* False: it is no expression. `value` may be NULL. */
static bool match(const log_element *element, const char *value, const char *pattern, bool *is_match) {
    char why[LH_REGEX_MESSAGE_BYTES];
    size_t offset;
    lh_regex *regex = lh_regex_compile(pattern, strlen(pattern), why, &offset);
    if (!regex) return fail(element, "require_env: '%.40s': %s", pattern, why);
    lh_regex_workspace *workspace = lh_regex_workspace_new();
    lh_regex_match where;
    *is_match =
        value && workspace && lh_regex_next(regex, workspace, value, strlen(value), 0, 0, &where) == LH_REGEX_MATCH;
    if (workspace) lh_regex_workspace_free(workspace);
    lh_regex_free(regex);
    return true;
}

/* VAR, VAR=value, VAR~regex; with ! in front the contrary. */
static bool evaluate(const log_element *element, const char *condition, bool *is_met) {
    const bool is_negated = condition[0] == '!';
    if (is_negated) condition++;
    const size_t length = strcspn(condition, "=~");
    if (length == 0) return fail(element, "require_env: the name of a variable expected, got '%.40s'", condition);
    char *name = lh_alloc_copy(condition, length);
    const char *value = getenv(name);
    lh_free(name);
    *is_met = value != NULL;
    if (value && condition[length] == '=') *is_met = strcmp(value, condition + length + 1) == 0;
    if (condition[length] == '~' && !match(element, value, condition + length + 1, is_met)) return false;
    *is_met = *is_met != is_negated;
    return true;
}

/* The conditions at `base`, of the element or an outlet of its, and of the elements around that. False: one cannot be
 * understood. */
static bool evaluate_all(const log_element *element, const char *base, bool *are_met) {
    char path[PATH_BYTES], why[LH_CONFIG_MESSAGE_BYTES], **values = NULL;
    size_t count = 0;
    bool is_good = true;
    *are_met = true;
    snprintf(path, sizeof(path), "%s" AROUND "/@require_env", base);
    lh_conf_read_list(path, ".", &values, &count, why);
    for (size_t i = 0; i < count; i++) {
        bool is_met = true;
        is_good = is_good && evaluate(element, values[i], &is_met);
        *are_met = *are_met && is_met;
        lh_free(values[i]);
    }
    lh_free(values);
    return is_good;
}

/* -- Sinks --------------------------------------------------------------------------------------------------------- */

static bool read_limits(const log_element *element, lh_log_file_limits *limits) {
    return read_number(element, "rotate_seconds", ROTATE_SECONDS_MIN, &limits->rotate_seconds) &&
           read_number(element, "retain_seconds", 1, &limits->retain_seconds) &&
           read_number(element, "rotate_bytes", ROTATE_BYTES_MIN, &limits->rotate_bytes) &&
           read_number(element, "retain_bytes", 1, &limits->retain_bytes);
}

static bool share_file(log_element *element, const open_file *file, const lh_log_file_limits *limits,
                       bool is_synchronous) {
    if (file->is_synchronous != is_synchronous || memcmp(&file->limits, limits, sizeof(*limits)) != 0) {
        return fail(element, "%s: another log has this file, with other settings", file->path);
    }
    element->sink = file->sink;
    return true;
}

static bool open_log_file(log_element *element, const char *path, bool is_synchronous, bool is_follower) {
    lh_log_file_limits limits = {0};
    if (!path) return fail(element, "type file needs a path");
    if (!read_limits(element, &limits)) return false;
    for (const open_file *file = open_files; file; file = file->next) {
        if (strcmp(file->path, path) == 0) return share_file(element, file, &limits, is_synchronous);
    }
    int error;
    element->sink = lh_log_sink_of_file(path, &limits, is_synchronous, &error);
    if (!element->sink) return fail(element, "%s: %s", path, lh_error_text(-error));
    lh_log_sink_file(element->sink)->is_following = is_follower;
    open_file *file = lh_alloc(sizeof(*file));
    *file = (open_file){open_files, element->sink, lh_alloc_copy(path, strlen(path)), limits, is_synchronous};
    open_files = file;
    return true;
}

/* path="lines,bytes" */
static bool open_ring(log_element *element, const char *path) {
    unsigned long lines = RING_LINES, bytes = RING_BYTES;
    char rest;
    const int count = path ? sscanf(path, "%lu,%lu%c", &lines, &bytes, &rest) : 2;
    if (count != 2 || lines == 0 || bytes == 0 || lines > RING_LINES_MAX) {
        return fail(element, "type memory: path=\"LINES,BYTES\" expected, got '%.40s'", path ? path : "");
    }
    element->sink = lh_log_sink_of_memory(lines, bytes);
    return true;
}

static bool open_sink_of(log_element *element, const char *type, const char *path, bool is_follower) {
    if (!type) return true;
    if (strcmp(type, "file") == 0) return open_log_file(element, path, false, is_follower);
    if (strcmp(type, "file_synch") == 0) return open_log_file(element, path, true, is_follower);
    if (strcmp(type, "memory") == 0) return open_ring(element, path);
    if (strcmp(type, "stdout") == 0) return (element->sink = lh_log_stdout_sink());
    if (strcmp(type, "stderr") == 0) return (element->sink = lh_log_stderr_sink());
    if (strcmp(type, "jlog") == 0) return fail(element, "type jlog: journals are not supported; use file, format json");
    return fail(element, "type '%.40s' is none of file, file_synch, memory, stdout, stderr", type);
}

static bool open_sink(log_element *element, bool is_follower) {
    char *type = read_attribute(element, "type"), *path = read_attribute(element, "path");
    const bool is_open = open_sink_of(element, type, path, is_follower);
    lh_free(type);
    lh_free(path);
    return is_open;
}

/* -- Streams ------------------------------------------------------------------------------------------------------- */

static bool read_format(const log_element *element, int *style) {
    char *format = read_attribute(element, "format");
    const bool is_json = format && strcmp(format, "json") == 0;
    const bool is_known = !format || is_json || strcmp(format, "plain") == 0;
    if (is_json) *style |= LH_LOG_JSON;
    if (!is_known) fail(element, "format: plain or json expected, got '%.40s'", format);
    lh_free(format);
    return is_known;
}

static bool read_style(const log_element *element, int *style) {
    bool has_time, has_facility, has_caller;
    *style = 0;
    if (!read_boolean(element, "timestamps", &has_time) || !read_boolean(element, "facility", &has_facility) ||
        !read_boolean(element, "debug", &has_caller)) {
        return false;
    }
    if (has_time) *style |= LH_LOG_TIME;
    if (has_facility) *style |= LH_LOG_FACILITY;
    if (has_caller) *style |= LH_LOG_CALLER;
    return read_format(element, style);
}

static bool has_outlets(const log_element *element) {
    char *outlet = read_path(element, AROUND "/outlet");
    lh_free(outlet);
    return outlet != NULL;
}

static void warn_of_unknown(const log_element *element) {
    static const char known[] =
        " name type path timestamps facility debug format disabled rotate_seconds retain_seconds"
        " rotate_bytes retain_bytes require_env ";
    char path[PATH_BYTES * 2], why[LH_CONFIG_MESSAGE_BYTES], *name = NULL;
    snprintf(path, sizeof(path), "name(" LOG_ELEMENT "/@*[not(contains('%s', concat(' ', name(), ' ')))])",
             element->number, known);
    if (lh_conf_read(path, &name, why) == LH_CONFIG_DONE && name[0]) {
        size_t length = 0;
        const char *nearest = lh_settings_nearest(name, known, &length);
        lh_log_print("notice", "lhotse: %s: <log name=\"%s\">: the attribute %s is unknown, and ignored%s%.*s%s\n",
                     lh_conf_file(), element->name ? element->name : "", name, nearest ? "; did you mean " : "",
                     (int)length, nearest ? nearest : "", nearest ? "?" : "");
    }
    lh_free(name);
}

/* The stream with its sink; outlets come when all streams are there. */
static bool define(log_element *element, bool is_follower) {
    char base[64];
    element->name = read_path(element, "/@name");
    if (!element->name || !element->name[0]) {
        warn_of_unknown(element); /* it may be the name of `name` that is misspelt */
        return fail(element, "a log needs a name");
    }
    snprintf(base, sizeof(base), LOG_ELEMENT, element->number);
    bool are_met;
    if (!evaluate_all(element, base, &are_met)) return false;
    element->is_ignored = !are_met;
    if (element->is_ignored) return true;
    bool is_disabled;
    int style;
    if (!read_boolean(element, "disabled", &is_disabled) || !read_style(element, &style)) return false;
    if (!open_sink(element, is_follower)) return false;
    warn_of_unknown(element);
    if ((style & LH_LOG_JSON) && element->sink) lh_log_sink_use_json(element->sink);
    element->log = lh_log_get(element->name, strlen(element->name));
    if (element->sink || has_outlets(element)) {
        lh_log_define(element->log, element->sink, style, !is_disabled);
    } else {
        lh_log_restyle(element->log, style, !is_disabled);
    }
    return true;
}

static bool is_twice(const log_element *elements, int number) {
    for (int i = 0; i < number; i++) {
        if (!elements[i].is_ignored && strcmp(elements[i].name, elements[number].name) == 0) return true;
    }
    return false;
}

static bool connect_outlet(const log_element *element, const char *name) {
    lh_log *outlet = lh_log_find(name, strlen(name));
    if (!name[0]) return fail(element, "an <outlet> needs a name");
    if (!outlet) return fail(element, "<outlet name=\"%.60s\">: there is no such log", name);
    return lh_log_add_outlet(element->log, outlet) ||
           fail(element, "<outlet name=\"%.60s\">: it leads back to the log, or there are too many", name);
}

static bool connect_outlets(const log_element *element) {
    assert(element->log && !element->is_ignored);
    bool is_good = true;
    for (int i = 1; is_good; i++) {
        char base[PATH_BYTES], path[PATH_BYTES + 16], why[LH_CONFIG_MESSAGE_BYTES], *name = NULL;
        snprintf(base, sizeof(base), "(" LOG_ELEMENT AROUND "/outlet)[%d]", element->number, i);
        snprintf(path, sizeof(path), "%s[1]", base);
        if (lh_conf_read(path, &name, why) != LH_CONFIG_DONE) break;
        lh_free(name);
        name = NULL;
        snprintf(path, sizeof(path), "%s/@name", base);
        lh_conf_read(path, &name, why);
        bool are_met;
        is_good = evaluate_all(element, base, &are_met) && (!are_met || connect_outlet(element, name ? name : ""));
        lh_free(name);
    }
    return is_good;
}

static int count_elements(void) {
    char why[LH_CONFIG_MESSAGE_BYTES], *text = NULL;
    int count = 0;
    if (lh_conf_read("count(/*/logs//log)", &text, why) == LH_CONFIG_DONE) count = (int)strtol(text, NULL, 10);
    lh_free(text);
    return count;
}

bool lh_log_configure(bool is_follower, char message[LH_CONFIG_MESSAGE_BYTES]) {
    const int count = count_elements();
    if (count == 0) return true;
    bool is_good = true;
    log_element *elements = lh_alloc((size_t)count * sizeof(*elements));
    for (int i = 0; i < count && is_good; i++) {
        elements[i] = (log_element){.number = i + 1, .message = message};
        is_good = define(&elements[i], is_follower);
        if (is_good && !elements[i].is_ignored && is_twice(elements, i))
            is_good = fail(&elements[i], "it is there twice");
    }
    for (int i = 0; i < count && is_good; i++) {
        if (!elements[i].is_ignored) is_good = connect_outlets(&elements[i]);
    }
    for (int i = 0; i < count; i++) lh_free(elements[i].name);
    lh_free(elements);
    if (is_good && !lh_log_mark_meetings()) {
        snprintf(message, LH_CONFIG_MESSAGE_BYTES, "<logs>: too many streams are outlets of several others");
        return false;
    }
    return is_good;
}

void lh_log_give_files(uid_t user, gid_t group) {
    for (const open_file *file = open_files; file; file = file->next) {
        assert(lh_log_sink_file(file->sink));
        if (fchown(lh_log_sink_file(file->sink)->fd, user, group) < 0) continue; /* then it cannot be opened anew */
    }
}
