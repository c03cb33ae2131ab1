/* Child processes: starting them, hearing of their end, signalling them.
 *
 * A child is started by posix_spawn, whose cost does not depend on our size, with default signals, an empty mask, a
 * process group of its own, and no descriptor of ours beyond 0, 1 and 2. Its end is reported by the kernel: a pidfd in
 * the loop, or, on a kernel without them (before 5.3), SIGCHLD. It is collected at once, so there are no zombies, and
 * its status is kept; from then on its pid may be anybody's and is not used any more.
 *
 * Owner: lh_child_start allocates, lh_child_abandon gives up: a child that still runs is killed, and freed once the
 * kernel has let go of it.
 * Thread: the loop's own, except lh_child_kill_all.
 * Errors: negative errno. */
#pragma once
#include <sys/types.h>

#include "loop/loop.h"

typedef struct lh_child lh_child;

/* What a standard descriptor of the child is. */
typedef enum lh_stdio {
    LH_STDIO_PIPE,    /* a pipe whose other end is ours, non-blocking */
    LH_STDIO_NULL,    /* /dev/null */
    LH_STDIO_INHERIT, /* ours */
} lh_stdio;

typedef struct lh_command {
    const char *path;  /* without '/': searched in our PATH */
    char *const *argv; /* NULL-terminated, [0] included */
    char *const *env;  /* NULL-terminated "KEY=value"; NULL = ours */
    const char *dir;   /* working directory; NULL = ours */
    lh_stdio stdio[3]; /* stdin, stdout, stderr */
} lh_command;

struct lh_child {
    lh_loop *loop;
    lh_watch watch;     /* its pidfd; fd -1 = none */
    lh_list child_node; /* in the process's list while it runs */
    pid_t pid;          /* also of its process group */
    int status;         /* as waitpid(2) gives it, once has_exited */
    int error;          /* errno of waitpid if somebody else has collected it; 0 = none */
    bool has_exited;    /* and was collected */
    bool has_group;     /* others of its group were alive when it was collected */
    bool is_abandoned;
    void (*on_exit)(lh_child *child); /* called once, from the loop or lh_child_poll; NULL = nobody listens */
    void *owner;                      /* on_exit's own */
};

/* Chooses between pidfd and SIGCHLD. Once per process, before other threads exist. */
void lh_child_setup(void);

/* Starts `command`. pipes[i] is our end of each LH_STDIO_PIPE (claimed, see base/descriptors.h; the caller's to close),
 * else -1. 0; ENOENT, EACCES ... : what exec said; EMFILE, ENOMEM, EAGAIN: out of something. */
int lh_child_start(lh_loop *loop, const lh_command *command, lh_child **child, int pipes[3])
    __attribute__((warn_unused_result));

/* The status a shell would give for a program that cannot be started with `error` (positive): 127 when there is none
 * or nothing to start it with, 126 when it is there and cannot be executed; as waitpid gives it. */
int lh_child_status_of_error(int error);

/* Whether a failure to start was its directory's: 0 or negative errno. */
int lh_child_check_dir(const lh_command *command);

/* Looks whether it has ended; calls on_exit if that is new. */
bool lh_child_poll(lh_child *child);

/* kill(2). -ESRCH once it was collected. */
int lh_child_kill(lh_child *child, int signal);

/* The same for its process group, which may outlive it. */
int lh_child_kill_group(lh_child *child, int signal);

/* Accepts NULL. A child that still runs is killed with its group, and collected later. */
void lh_child_abandon(lh_child *child);

/* Any thread: kills every child that still runs, with its group. For the end of the process. */
void lh_child_kill_all(void);

/* Any thread, after that: collects them, for a moment. No child can be started or collected any more. */
void lh_child_reap_all(void);

/* Any thread: from now on the functions around this one kill nobody. For a process that was told to end: what becomes
 * of its children is up to who told it. */
void lh_child_spare_all(void);

/* Loop's end: what still runs is killed, and everything freed. */
void lh_child_close_all(lh_loop *loop);
