#include "host/settings.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/word.h"
#include "host/conf.h"
#include "host/log.h"

enum { NAME_MAX_BYTES = 40, REPORTS_MAX = 20, PATH_BYTES = 1024 };

/* A name with a colon is another vocabulary's; <include> may stand anywhere. */
#define UNKNOWN "[not(contains('%s', concat(' ', name(), ' '))) and not(contains(name(), ':'))]"

static const char log_attributes[] = " name type path timestamps facility debug format disabled rotate_seconds"
                                     " retain_seconds rotate_bytes retain_bytes require_env ";

/* The elements that `path` selects have these attributes and these elements, NULL = any. */
static const struct {
    const char *path, *attributes, *elements;
    bool is_strict; /* what is not understood there must not be ignored */
} known[] = {
    {"/*/eventer", " ", " config include ", false},
    {"/*/eventer/config", " ", " concurrency include ", false},
    {"/*/eventer/config/concurrency", " ", " ", false},
    {"/*/logs/descendant-or-self::*[not(self::log) and not(self::outlet) and not(self::include)]", log_attributes, NULL,
     false},
    {"/*/logs/descendant-or-self::*", NULL, " log outlet include ", false},
    {"/*/logs//outlet", " name require_env ", " ", false},
    {"/*/watchdog", " timeout retries span tracedir glider interrupt_time ", " ", false},
    {"/*/security", " user group ", " ", true},
    {"/*/modules", " ", " script generic include ", false},
    {"/*/modules/script", " file threads entry ", " argument include ", false},
    {"/*/modules/generic", " image name ", " config include ", false},
    {"/*/modules/generic/config", " ", " directory cpath lua_module lua_function concurrent include ", false},
    {"/*/clusters", " ", " cluster include ", true},
    {"/*/clusters/cluster", " name endpoints prefix ttl timeout node user password ca certificate key ",
     " node include ", true},
};

static bool is_refused; /* set by the reports of one check */

static const char sections[] = " eventer logs watchdog security modules clusters include ";

/* -- Nearness ------------------------------------------------------------------------------------------------------ */

/* NULL: none is as near as `most`. */
static const char *find_near(const char *name, const char *words, int most, size_t *length) {
    const size_t name_length = strlen(name);
    const char *nearest = NULL;
    if (name_length > NAME_MAX_BYTES) return NULL;
    for (const char *word = words + strspn(words, " "); *word; word += strspn(word, " ")) {
        const size_t word_length = strcspn(word, " ");
        assert(word_length <= NAME_MAX_BYTES);
        char known_name[NAME_MAX_BYTES + 1];
        snprintf(known_name, sizeof(known_name), "%.*s", (int)word_length, word);
        const int away = lh_word_distance(name, known_name);
        if (away >= 0 && away <= most && 2 * away < (int)name_length) {
            nearest = word;
            *length = word_length;
            most = away - 1;
        }
        word += word_length;
    }
    return nearest;
}

const char *lh_settings_nearest(const char *name, const char *words, size_t *length) {
    return find_near(name, words, 3, length);
}

/* -- Reports ------------------------------------------------------------------------------------------------------- */

static char *read_name(const char *format, const char *nodes, int number) {
    char path[PATH_BYTES], why[LH_CONFIG_MESSAGE_BYTES], *name = NULL;
    snprintf(path, sizeof(path), format, nodes, number);
    return lh_conf_read(path, &name, why) == LH_CONFIG_DONE ? name : NULL;
}

static void report(const char *program, const char *owner, const char *kind, const char *name, const char *words,
                   bool is_strict) {
    size_t length = 0;
    const char *nearest = lh_settings_nearest(name, words, &length);
    lh_log_print(is_strict ? "error" : "notice", "%s: %s: <%s>: the %s %s is unknown%s%s%.*s%s\n", program,
                 lh_conf_file(), owner, kind, name, is_strict ? "" : ", and ignored", nearest ? "; did you mean " : "",
                 (int)length, nearest ? nearest : "", nearest ? "?" : "");
    is_refused = is_refused || is_strict;
}

/* `axis`: what of the nodes at `path`. */
static void report_unknown(const char *program, const char *path, const char *axis, const char *kind, const char *words,
                           bool is_strict) {
    char nodes[PATH_BYTES - 32];
    snprintf(nodes, sizeof(nodes), "%s/%s" UNKNOWN, path, axis, words);
    for (int i = 1; i <= REPORTS_MAX; i++) {
        char *name = read_name("name((%s)[%d])", nodes, i);
        char *owner = read_name("name((%s)[%d]/..)", nodes, i);
        const bool is_there = name && name[0] && owner;
        if (is_there) report(program, owner, kind, name, words, is_strict);
        lh_free(name);
        lh_free(owner);
        if (!is_there) return;
    }
}

/* A script's own elements stand beside ours, under any name: only what is one letter away is doubtful. */
static void report_misspelt_section(const char *name, void *program) {
    size_t length = 0;
    const char *nearest = strlen(name) > 4 ? find_near(name, sections, 1, &length) : NULL;
    if (!nearest || (strlen(name) == length && memcmp(name, nearest, length) == 0)) return; /* it is right */
    const bool is_strict = strncmp(nearest, "security ", 9) == 0 || strncmp(nearest, "clusters ", 9) == 0;
    lh_log_print(is_strict ? "error" : "notice", "%s: %s: <%s> is not used by this program; did you mean <%.*s>?\n",
                 (const char *)program, lh_conf_file(), name, (int)length, nearest);
    is_refused = is_refused || is_strict;
}

/* Of two, which one counts would be a guess. */
static void report_second_security(const char *program) {
    char *second = read_name("name((%s)[%d])", "/*/security", 2);
    if (second && second[0]) {
        lh_log_print("error", "%s: %s: <security> stands there more than once\n", program, lh_conf_file());
        is_refused = true;
    }
    lh_free(second);
}

bool lh_settings_check(const char *program) {
    if (!lh_conf_file()) return true;
    is_refused = false;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (known[i].attributes)
            report_unknown(program, known[i].path, "@*", "attribute", known[i].attributes, known[i].is_strict);
        /* Elements of any name group logs. */
        const char *axis = known[i].attributes ? "*" : "*[not(*)]";
        if (known[i].elements)
            report_unknown(program, known[i].path, axis, "element", known[i].elements, known[i].is_strict);
    }
    lh_conf_visit_sections(report_misspelt_section, (void *)(uintptr_t)program);
    report_second_security(program);
    return !is_refused;
}
