/* What the program was asked to do.
 *
 * Owner: static, one per process.
 * Thread: any, once lh_options_set was called; that is before other threads exist.
 * Errors: none. */
#pragma once
#include <stdbool.h>

typedef enum lh_mode { LH_MODE_RUN, LH_MODE_TEST, LH_MODE_DAEMON } lh_mode; /* DAEMON: the scripts of <modules> */

typedef struct lh_options {
    lh_mode mode;
    bool is_luamtev;          /* invoked under that name: libmtev's conventions */
    bool is_keep_going;       /* an uncaught error ends its coroutine only */
    int thread_count;         /* event loops, at least 1; 0 = not said, until the configuration is read */
    const char *config;       /* -c, NULL = none */
    bool is_showing_config;   /* -T */
    int managed_count;        /* -m: 0 = no monitor, 1 = one in the background, 2 = in the foreground */
    const char *user, *group; /* -u, -g; NULL = stay */
    const char *program;      /* what error lines begin with: "lhotse" */
    const char *entry;        /* -e, NULL = "main" if there is one */
    const char *path, *cpath; /* -L, -C; NULL = default */
    const char *script;       /* file, or "-" for stdin */
    char **arguments;         /* of the script, NULL-terminated */
    double test_timeout;      /* seconds per test */
} lh_options;

/* Keeps a copy; the strings must stay. */
void lh_options_set(const lh_options *options);

const lh_options *lh_options_get(void);
