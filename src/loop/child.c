/* The children that run are in one list for the whole process. Collecting a child and killing all of them happen under
 * its mutex, so that no signal ever goes to a pid that has been collected.
 *
 * Without pidfd the SIGCHLD handler writes to one eventfd that every loop with children watches; each then looks at all
 * of its own. Nobody reads the eventfd: with edge triggering each write is an event for each loop.
 *
 * posix_spawn fails with what exec said, because the child shares our memory until it has succeeded. */
#include "loop/child.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/descriptors.h"
#include "host/exit.h"

enum { FIRST_FREE = 3 }; /* descriptors below are the standard ones */

static const lh_ns REAP_TIME = 200 * LH_MILLISECOND;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* guards `running` and collecting */
static lh_list running = {.next = &running, .prev = &running};
static int sigchld_fd = -1;    /* the eventfd; -1 = pidfds are used */
static atomic_bool is_sparing; /* the end of the process ends no child */

static int open_pidfd(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }

/* -- SIGCHLD, where there are no pidfds ---------------------------------------------------------------------------- */

static void on_sigchld(int signal) {
    (void)signal;
    const int saved_errno = errno;
    const uint64_t one = 1;
    if (write(sigchld_fd, &one, sizeof(one)) < 0) {
        /* Only a full counter could fail here, after 2^64 signals. */
    }
    errno = saved_errno;
}

/* Reset first: a parent may have left SIGCHLD ignored, and then the kernel keeps no status for us. */
void lh_child_setup(void) {
    struct sigaction action = {.sa_handler = SIG_DFL};
    const int fd = open_pidfd(getpid());
    if (fd >= 0) {
        close(fd);
    } else {
        sigchld_fd = lh_descriptor_claim(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
        action.sa_handler = on_sigchld;
        action.sa_flags = SA_RESTART | SA_NOCLDSTOP;
    }
    sigfillset(&action.sa_mask);
    sigaction(SIGCHLD, &action, NULL);
}

/* -- Collecting ---------------------------------------------------------------------------------------------------- */

static bool has_members(pid_t group) { return kill(-group, 0) == 0 || errno == EPERM; }

/* Stops watching. */
static void forget(lh_child *child) {
    assert(lh_loop_is_mine(child->loop));
    if (child->watch.fd < 0) return;
    lh_poll_remove(&child->loop->poll, &child->watch);
    lh_descriptor_close(child->watch.fd);
    child->watch.fd = -1;
}

/* Takes the status from the kernel if the child has ended. */
static bool collect(lh_child *child) {
    assert(lh_loop_is_mine(child->loop) && child->pid > 0 && child->loop->child_count > 0);
    pthread_mutex_lock(&mutex);
    assert(lh_list_is_linked(&child->child_node));
    const pid_t pid = waitpid(child->pid, &child->status, WNOHANG);
    if (pid < 0) child->error = errno;
    child->has_exited = pid != 0;
    if (child->has_exited) {
        lh_list_remove(&child->child_node);
        child->has_group = has_members(child->pid);
    }
    pthread_mutex_unlock(&mutex);
    if (!child->has_exited) return false;
    forget(child);
    child->loop->child_count--;
    return true;
}

bool lh_child_poll(lh_child *child) {
    if (child->has_exited) return true;
    if (!collect(child)) return false;
    if (child->is_abandoned) {
        lh_free(child);
    } else if (child->on_exit) {
        child->on_exit(child);
    }
    return true;
}

static void on_pidfd_ready(lh_watch *watch, unsigned events) {
    (void)events;
    lh_child_poll(LH_CONTAINER(watch, lh_child, watch));
}

/* A child of `loop` that has ended but is not collected, or NULL. */
static lh_child *find_ended(const lh_loop *loop) {
    lh_child *found = NULL;
    pthread_mutex_lock(&mutex);
    for (lh_list *node = running.next; node != &running && !found; node = node->next) {
        lh_child *child = LH_CONTAINER(node, lh_child, child_node);
        siginfo_t info = {.si_pid = 0};
        if (child->loop != loop) continue;
        const int rv = waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOHANG | WNOWAIT);
        if (rv < 0 || info.si_pid != 0) found = child;
    }
    pthread_mutex_unlock(&mutex);
    return found;
}

/* on_exit may start or abandon any child, so each search begins anew. */
static void on_sigchld_ready(lh_watch *watch, unsigned events) {
    (void)events;
    const lh_loop *loop = LH_CONTAINER(watch, lh_loop, sigchld_watch);
    for (lh_child *child; (child = find_ended(loop));) lh_child_poll(child);
}

static int watch_exit(lh_child *child) {
    lh_loop *loop = child->loop;
    lh_watch_init(&child->watch, -1, on_pidfd_ready);
    if (sigchld_fd >= 0) {
        if (!loop->sigchld_watch.is_registered) lh_watch_init(&loop->sigchld_watch, sigchld_fd, on_sigchld_ready);
        return lh_poll_add(&loop->poll, &loop->sigchld_watch);
    }
    const int fd = open_pidfd(child->pid);
    if (fd < 0) return -errno;
    child->watch.fd = lh_descriptor_claim(fd);
    const int rv = lh_poll_add(&loop->poll, &child->watch);
    if (rv < 0) forget(child);
    return rv;
}

/* -- Starting ------------------------------------------------------------------------------------------------------ */

/* A descriptor above the standard ones, so that giving the child its own cannot overwrite it. */
static int move_up(int fd) {
    if (fd >= FIRST_FREE) return fd;
    const int moved = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FREE);
    const int error = errno;
    close(fd);
    errno = error;
    return moved;
}

/* A pipe for the child's descriptor `index`: `*theirs` is inherited, `*ours` does not block. */
static int open_pipe(int index, int *ours, int *theirs) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) return -errno;
    const int our_end = index == 0 ? 1 : 0;
    fcntl(ends[our_end], F_SETFL, O_NONBLOCK);
    *ours = move_up(ends[our_end]);
    if (*ours < 0) {
        const int error = errno;
        close(ends[1 - our_end]);
        return -error;
    }
    lh_descriptor_claim(*ours);
    *theirs = move_up(ends[1 - our_end]);
    return *theirs < 0 ? -errno : 0;
}

static int open_pipes(const lh_command *command, int ours[3], int theirs[3]) {
    for (int i = 0; i < 3; i++) {
        if (command->stdio[i] != LH_STDIO_PIPE) continue;
        const int rv = open_pipe(i, &ours[i], &theirs[i]);
        if (rv < 0) return rv;
    }
    return 0;
}

static void close_theirs(const int theirs[3]) {
    for (int i = 0; i < 3; i++) {
        if (theirs[i] >= 0) close(theirs[i]);
    }
}

static void close_ours(int ours[3]) {
    for (int i = 0; i < 3; i++) {
        lh_descriptor_close(ours[i]);
        ours[i] = -1;
    }
}

/* What the child does before exec, in this order. 0 or a positive errno. */
static int add_actions(posix_spawn_file_actions_t *actions, const lh_command *command, const int theirs[3]) {
    int error = command->dir ? posix_spawn_file_actions_addchdir_np(actions, command->dir) : 0;
    for (int i = 0; i < 3 && !error; i++) {
        if (theirs[i] >= 0) {
            error = posix_spawn_file_actions_adddup2(actions, theirs[i], i);
        } else if (command->stdio[i] == LH_STDIO_NULL) {
            error = posix_spawn_file_actions_addopen(actions, i, "/dev/null", i == 0 ? O_RDONLY : O_WRONLY, 0);
        }
    }
    return error ? error : posix_spawn_file_actions_addclosefrom_np(actions, FIRST_FREE);
}

static int spawn(const lh_command *command, const int theirs[3], pid_t *pid) {
    extern char **environ;
    sigset_t all, none;
    memset(&all, 0xff, sizeof(all)); /* sigfillset leaves out the C library's own two, which would then be ignored */
    sigemptyset(&none);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    int error = add_actions(&actions, command, theirs);
    char *const *env = command->env ? command->env : environ;
    if (!error) error = posix_spawnp(pid, command->path, &actions, &attributes, command->argv, env);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return -error;
}

static void enlist(lh_child *child) {
    pthread_mutex_lock(&mutex);
    lh_exit_on_children(lh_child_kill_all, lh_child_reap_all);
    lh_list_append(&running, &child->child_node);
    pthread_mutex_unlock(&mutex);
    child->loop->child_count++;
}

int lh_child_start(lh_loop *loop, const lh_command *command, lh_child **out_child, int pipes[3]) {
    assert(lh_loop_is_mine(loop) && command->path && command->argv);
    int ours[3] = {-1, -1, -1}, theirs[3] = {-1, -1, -1};
    pid_t pid = 0;
    int rv = open_pipes(command, ours, theirs);
    if (rv == 0) rv = spawn(command, theirs, &pid);
    close_theirs(theirs);
    if (rv < 0) goto fail_spawn;
    lh_child *child = lh_alloc(sizeof(*child));
    *child = (lh_child){.loop = loop, .pid = pid};
    lh_list_init(&child->child_node);
    rv = watch_exit(child);
    if (rv < 0) goto fail_watch;
    enlist(child);
    *out_child = child;
    for (int i = 0; i < 3; i++) pipes[i] = ours[i];
    return 0;

fail_watch: /* out of descriptors or memory: nobody would hear of its end */
    kill(-pid, SIGKILL);
    waitpid(pid, NULL, 0);
    lh_free(child);
fail_spawn:
    close_ours(ours);
    return rv;
}

/* 127 is also what api-level callers see when it never came to exec, for want of descriptors or memory. */
int lh_child_status_of_error(int error) {
    static const int found[] = {EACCES, EPERM, ENOEXEC, E2BIG, ETXTBSY, EISDIR, ELIBBAD, EINVAL, EIO, ELOOP};
    for (size_t i = 0; i < sizeof(found) / sizeof(found[0]); i++) {
        if (found[i] == error) return 126 << 8;
    }
    return 127 << 8;
}

/* posix_spawn tells one errno for changing to the directory and for the program: so it is asked afterwards. */
int lh_child_check_dir(const lh_command *command) {
    struct stat status;
    if (!command->dir) return 0;
    if (stat(command->dir, &status) < 0) return -errno;
    if (!S_ISDIR(status.st_mode)) return -ENOTDIR;
    return eaccess(command->dir, X_OK) < 0 ? -errno : 0;
}

/* -- Signalling ---------------------------------------------------------------------------------------------------- */

int lh_child_kill(lh_child *child, int signal) {
    assert(lh_loop_is_mine(child->loop) && child->pid > 0);
    if (child->has_exited) return -ESRCH;
    return kill(child->pid, signal) < 0 ? -errno : 0;
}

/* While members of a group live, the kernel gives its number to no new process. So if there is a process of that number
 * again, the group is gone, and the number somebody else's. */
int lh_child_kill_group(lh_child *child, int signal) {
    assert(lh_loop_is_mine(child->loop) && child->pid > 1); /* else it would be another group, or all */
    if (child->has_exited) {
        if (child->has_group && kill(child->pid, 0) == 0) child->has_group = false;
        if (!child->has_group) return -ESRCH;
    }
    if (kill(-child->pid, signal) == 0) return 0;
    if (errno == ESRCH) child->has_group = false;
    return -errno;
}

/* -- Giving up ----------------------------------------------------------------------------------------------------- */

void lh_child_abandon(lh_child *child) {
    if (!child) return;
    if (child->has_exited) {
        lh_free(child);
        return;
    }
    assert(!child->is_abandoned);
    child->is_abandoned = true;
    child->on_exit = NULL;
    if (!atomic_load(&is_sparing)) lh_child_kill_group(child, SIGKILL);
}

void lh_child_spare_all(void) { atomic_store(&is_sparing, true); }

void lh_child_kill_all(void) {
    if (atomic_load(&is_sparing)) return;
    pthread_mutex_lock(&mutex);
    for (lh_list *node = running.next; node != &running; node = node->next) {
        kill(-LH_CONTAINER(node, lh_child, child_node)->pid, SIGKILL);
    }
    pthread_mutex_unlock(&mutex);
}

/* Waits for the children to be collected that were killed just now: the process that inherits them (in a container any
 * program may be number 1) may never do it. Not for long: one that the kernel cannot end is left. */
static void reap(pid_t pid, lh_ns deadline) {
    while (waitpid(pid, NULL, WNOHANG) == 0 && lh_clock_now() < deadline) lh_clock_sleep(LH_MILLISECOND / 4);
}

void lh_child_reap_all(void) {
    if (atomic_load(&is_sparing)) return;
    pthread_mutex_lock(&mutex); /* for good: nobody else collects any more */
    const lh_ns deadline = lh_clock_now() + REAP_TIME;
    for (lh_list *node = running.next; node != &running; node = node->next) {
        reap(LH_CONTAINER(node, lh_child, child_node)->pid, deadline);
    }
}

static lh_child *find_child_of(const lh_loop *loop) {
    lh_child *found = NULL;
    pthread_mutex_lock(&mutex);
    for (lh_list *node = running.next; node != &running && !found; node = node->next) {
        lh_child *child = LH_CONTAINER(node, lh_child, child_node);
        if (child->loop == loop) found = child;
    }
    if (found) lh_list_remove(&found->child_node);
    pthread_mutex_unlock(&mutex);
    return found;
}

void lh_child_close_all(lh_loop *loop) {
    lh_list children;
    lh_list_init(&children);
    for (lh_child *child; (child = find_child_of(loop)); lh_list_append(&children, &child->child_node)) {
        if (!atomic_load(&is_sparing)) kill(-child->pid, SIGKILL);
    }
    const lh_ns deadline = atomic_load(&is_sparing) ? 0 : lh_clock_now() + REAP_TIME;
    for (lh_list *node; (node = lh_list_take_first(&children));) {
        lh_child *child = LH_CONTAINER(node, lh_child, child_node);
        reap(child->pid, deadline);
        forget(child);
        lh_free(child);
    }
    if (sigchld_fd >= 0) lh_poll_remove(&loop->poll, &loop->sigchld_watch);
}
