#include "host/monitor.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "host/heartbeat.h"
#include "host/log.h"
#include "host/service.h"
#include "host/worker.h"

enum { RETRIES_MAX = 1000, ENVIRONMENT_EXTRA = 2, TRACE_MAX_BYTES = 64 * 1024 * 1024 };
#define LOOK_MAX (LH_SECOND / 2)        /* between two looks at the heartbeats */
#define TRACE_SOON_TIME (LH_SECOND / 2) /* for the next Lua instruction to come */
#define TRACE_NOW_TIME LH_SECOND
#define TRACE_OTHER_TIME (LH_SECOND / 10)
#define GLIDER_TIME (30 * LH_SECOND)
#define STOP_TIME_MIN (5 * LH_SECOND)

extern char **environ;

static struct {
    const lh_monitor_settings *settings;
    lh_heartbeats *heartbeats;
    int heartbeats_fd, trace_fd;
    pid_t worker;
    sigset_t signals;            /* those that are waited for */
    lh_ns restarts[RETRIES_MAX]; /* when, the last `retries` of them, around */
    int restart_count;
    lh_ns interrupted[LH_HEARTBEATS]; /* the beat of each loop after which it was interrupted */
    lh_ns watchdog;                   /* systemd's */
    bool is_ready_told;
} monitor;

/* -- Settings ------------------------------------------------------------------------------------------------------ */

static char *read_setting(const char *name) {
    char path[64], why[LH_CONFIG_MESSAGE_BYTES], *value = NULL;
    snprintf(path, sizeof(path), "/*/watchdog/@%s", name);
    return lh_conf_read(path, &value, why) == LH_CONFIG_DONE ? value : NULL;
}

static bool parse_positive(const char *text, double most, double *number) {
    char *end;
    *number = strtod(text, &end);
    return end != text && !*end && isfinite(*number) && *number > 0 && *number <= most;
}

/* Keeps `number` when there is no such setting. */
static bool read_positive(const char *name, double most, double *number, char *message) {
    char *text = read_setting(name);
    const bool is_good = !text || parse_positive(text, most, number);
    if (!is_good)
        snprintf(message, LH_CONFIG_MESSAGE_BYTES, "<watchdog>: %s: a number above 0 expected, got '%.40s'", name,
                 text);
    lh_free(text);
    return is_good;
}

static bool read_retries(double *retries, char *message) {
    if (!read_positive("retries", RETRIES_MAX, retries, message)) return false;
    if (*retries == floor(*retries)) return true;
    snprintf(message, LH_CONFIG_MESSAGE_BYTES, "<watchdog>: retries: a whole number expected, got '%g'", *retries);
    return false;
}

bool lh_monitor_configure(lh_monitor_settings *settings, char message[LH_CONFIG_MESSAGE_BYTES]) {
    double timeout = 5, retries = 5, span = 60, interrupt_time = INFINITY;
    if (!read_positive("timeout", 1e9, &timeout, message) || !read_retries(&retries, message) ||
        !read_positive("span", 1e9, &span, message) ||
        !read_positive("interrupt_time", 1e9, &interrupt_time, message)) {
        return false;
    }
    const char *override = getenv("MTEV_WATCHDOG_TIMEOUT");
    if (override && !parse_positive(override, 1e9, &timeout)) {
        snprintf(message, LH_CONFIG_MESSAGE_BYTES, "MTEV_WATCHDOG_TIMEOUT: seconds expected, got '%.40s'", override);
        return false;
    }
    settings->timeout = lh_clock_from_seconds(timeout);
    settings->interrupt_time = lh_clock_from_seconds(interrupt_time);
    settings->retries = (int)retries;
    settings->span = lh_clock_from_seconds(span);
    settings->tracedir = read_setting("tracedir");
    if (!settings->tracedir) settings->tracedir = lh_alloc_copy("/var/tmp", strlen("/var/tmp"));
    settings->glider = read_setting("glider");
    return true;
}

/* -- Starting ------------------------------------------------------------------------------------------------------ */

/* Ours, without what only a monitor may use, and with where the shared memory is. */
static char **worker_environment(char *variable) {
    static const char *const ours[] = {"NOTIFY_SOCKET=", "WATCHDOG_USEC=", "WATCHDOG_PID=", LH_WORKER_VARIABLE "="};
    size_t count = 0, kept = 0;
    while (environ[count]) count++;
    char **environment = lh_alloc((count + ENVIRONMENT_EXTRA) * sizeof(*environment));
    for (size_t i = 0; i < count; i++) {
        bool is_ours = false;
        for (size_t k = 0; k < sizeof(ours) / sizeof(ours[0]); k++) {
            if (strncmp(environ[i], ours[k], strlen(ours[k])) == 0) is_ours = true;
        }
        if (!is_ours) environment[kept++] = environ[i];
    }
    assert(kept + 1 < count + ENVIRONMENT_EXTRA);
    environment[kept] = variable;
    return environment;
}

/* In the child, where other threads may have held any lock: system calls only. */
static void __attribute__((noreturn)) become_worker(char **environment) {
    sigset_t none;
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != monitor.heartbeats->monitor) _exit(1);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    fcntl(monitor.heartbeats_fd, F_SETFD, 0);
    fcntl(monitor.trace_fd, F_SETFD, 0);
    execve("/proc/self/exe", monitor.settings->argv, environment);
    _exit(127);
}

/* A worker before may have written anything there. */
static void reset_shared(void) {
    lh_heartbeats *heartbeats = monitor.heartbeats;
    heartbeats->monitor = getpid();
    heartbeats->timeout = monitor.settings->timeout;
    for (int i = 0; i < LH_HEARTBEATS; i++) {
        atomic_store(&heartbeats->of[i].beat, LH_NEVER);
        atomic_store(&heartbeats->of[i].thread_id, 0);
    }
    atomic_store(&heartbeats->of[0].beat, lh_clock_now()); /* its start, too, must not hang */
    atomic_store(&heartbeats->ready_count, 0);
    atomic_store(&heartbeats->thread_count, 1);
    if (ftruncate(monitor.trace_fd, 0) == 0) lseek(monitor.trace_fd, 0, SEEK_SET);
}

static bool start_worker(void) {
    char variable[64];
    snprintf(variable, sizeof(variable), LH_WORKER_VARIABLE "=%d,%d", monitor.heartbeats_fd, monitor.trace_fd);
    char **environment = worker_environment(variable);
    reset_shared();
    monitor.worker = fork();
    if (monitor.worker == 0) become_worker(environment);
    lh_free(environment);
    if (monitor.worker > 0) {
        setpgid(monitor.worker, monitor.worker); /* whoever is first */
        return true;
    }
    lh_log_print("error", "%s: cannot start a worker: %s\n", monitor.settings->program, lh_error_text(errno));
    return false;
}

/* -- Traces -------------------------------------------------------------------------------------------------------- */

static bool copy_trace(int to) {
    char bytes[4096];
    off_t offset = 0;
    for (ssize_t n; (n = pread(monitor.trace_fd, bytes, sizeof(bytes), offset)) > 0; offset += n) {
        if (offset > TRACE_MAX_BYTES) break; /* whoever fills it may not be us any more */
        if (write(to, bytes, (size_t)n) != n) return false;
    }
    return offset > 0;
}

static void save_trace(pid_t worker) {
    char path[PATH_MAX];
    if (lseek(monitor.trace_fd, 0, SEEK_END) <= 0) return;
    snprintf(path, sizeof(path), "%s/%s.%d.trc", monitor.settings->tracedir, monitor.settings->program, (int)worker);
    /* In a directory that others may write to, nobody's link is followed. */
    unlink(path);
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0 && copy_trace(fd)) {
        lh_log_print("error", "%s: trace of worker %d: %s\n", monitor.settings->program, (int)worker, path);
    } else {
        lh_log_print("error", "%s: %s: %s\n", monitor.settings->program, path, lh_error_text(errno));
    }
    if (fd >= 0) close(fd);
}

static bool ask_for_trace(int thread_id, lh_trace_wanted wanted, lh_ns time) {
    const lh_ns limit = lh_clock_now() + time;
    atomic_store(&monitor.heartbeats->trace_done, 0);
    atomic_store(&monitor.heartbeats->trace_wanted, wanted);
    if (syscall(SYS_tgkill, monitor.worker, thread_id, LH_TRACE_SIGNAL) < 0) return false;
    while (!atomic_load(&monitor.heartbeats->trace_done) && lh_clock_now() < limit) lh_clock_sleep(10 * LH_MILLISECOND);
    return atomic_load(&monitor.heartbeats->trace_done);
}

static bool is_late(const lh_heartbeat *slot, lh_ns now) {
    const lh_ns beat = atomic_load(&slot->beat);
    return beat != LH_NEVER && now > lh_clock_add(beat, monitor.heartbeats->timeout);
}

/* Of every loop that is late, then of the others. */
static void trace_hang(void) {
    const lh_ns now = lh_clock_now();
    bool was_late[LH_HEARTBEATS];
    for (int i = 0; i < LH_HEARTBEATS; i++) {
        const lh_heartbeat *slot = &monitor.heartbeats->of[i];
        const int thread_id = atomic_load(&slot->thread_id);
        was_late[i] = is_late(slot, now);
        if (!was_late[i] || !thread_id) continue;
        if (ask_for_trace(thread_id, LH_TRACE_SOON, TRACE_SOON_TIME)) continue;
        ask_for_trace(thread_id, LH_TRACE_NOW, TRACE_NOW_TIME);
    }
    for (int i = 0; i < LH_HEARTBEATS; i++) {
        const int thread_id = atomic_load(&monitor.heartbeats->of[i].thread_id);
        if (thread_id && !was_late[i]) ask_for_trace(thread_id, LH_TRACE_OTHER, TRACE_OTHER_TIME);
    }
}

static void run_glider(pid_t worker, const char *reason) {
    char pid[16];
    if (!monitor.settings->glider) return;
    snprintf(pid, sizeof(pid), "%d", (int)worker);
    char *argv[] = {monitor.settings->glider, pid, (char *)(uintptr_t)reason, NULL};
    posix_spawnattr_t attributes;
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    pid_t glider;
    const int error = posix_spawnp(&glider, argv[0], NULL, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    if (error) {
        lh_log_print("error", "%s: glider %s: %s\n", monitor.settings->program, argv[0], lh_error_text(error));
        return;
    }
    const lh_ns limit = lh_clock_now() + GLIDER_TIME;
    while (waitpid(glider, NULL, WNOHANG) == 0) {
        if (lh_clock_now() > limit) kill(glider, SIGKILL);
        lh_clock_sleep(10 * LH_MILLISECOND);
    }
}

/* -- The worker's end ---------------------------------------------------------------------------------------------- */

static int wait_for_worker(void) {
    int status;
    while (waitpid(monitor.worker, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
}

/* It is still there, so that a glider can look at it. */
static void end_hung_worker(int slot) {
    assert(monitor.worker > 1);
    lh_log_print("error", "%s: worker %d: loop default/%d has not turned for more than %.1f s\n",
                 monitor.settings->program, (int)monitor.worker, slot, (double)monitor.heartbeats->timeout * 1e-9);
    trace_hang();
    save_trace(monitor.worker);
    run_glider(monitor.worker, "watchdog");
    kill(-monitor.worker, SIGKILL); /* with what os.execute started */
    wait_for_worker();
}

static const char *describe(int status, char text[64]) {
    if (WIFSIGNALED(status)) {
        snprintf(text, 64, "was ended by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    } else {
        snprintf(text, 64, "ended with status %d", WEXITSTATUS(status));
    }
    return text;
}

static void report_end(int status) {
    char text[64];
    lh_log_print("error", "%s: worker %d %s\n", monitor.settings->program, (int)monitor.worker, describe(status, text));
    save_trace(monitor.worker);
    run_glider(monitor.worker, WIFSIGNALED(status) ? "crash" : "unknown");
}

static bool may_restart(void) {
    const int retries = monitor.settings->retries;
    const lh_ns now = lh_clock_now();
    lh_ns *oldest = &monitor.restarts[monitor.restart_count % retries];
    if (monitor.restart_count >= retries && now - *oldest < monitor.settings->span) return false;
    *oldest = now;
    monitor.restart_count++;
    return true;
}

/* False: it is not to be tried again. */
static bool restart(void) {
    if (may_restart() && start_worker()) {
        lh_log_print("error", "%s: worker %d started\n", monitor.settings->program, (int)monitor.worker);
        return true;
    }
    lh_log_print("error", "%s: giving up: the worker ended %d times within %.0f s\n", monitor.settings->program,
                 monitor.settings->retries + 1, (double)monitor.settings->span * 1e-9);
    return false;
}

/* -- Signals ------------------------------------------------------------------------------------------------------- */

static int next_signal(lh_ns timeout) {
    const struct timespec limit = {.tv_sec = (time_t)(timeout / LH_SECOND), .tv_nsec = (long)(timeout % LH_SECOND)};
    return sigtimedwait(&monitor.signals, NULL, &limit);
}

/* The worker is told to end, and the monitor ends with it. */
static int stop(int signal) {
    assert(monitor.worker > 1);
    const lh_ns timeout = monitor.settings->timeout > STOP_TIME_MIN ? monitor.settings->timeout : STOP_TIME_MIN;
    const lh_ns limit = lh_clock_now() + timeout;
    int status;
    lh_service_notify("STOPPING=1");
    kill(monitor.worker, signal);
    while (waitpid(monitor.worker, &status, WNOHANG) == 0) {
        const int next = next_signal(50 * LH_MILLISECOND);
        if ((next > 0 && next != SIGCHLD && next != SIGHUP) || lh_clock_now() > limit) kill(monitor.worker, SIGKILL);
    }
    return 128 + signal;
}

/* -- Running ------------------------------------------------------------------------------------------------------- */

static void tell_service(void) {
    const lh_heartbeats *heartbeats = monitor.heartbeats;
    if (!monitor.is_ready_told && atomic_load(&heartbeats->ready_count) >= atomic_load(&heartbeats->thread_count)) {
        lh_service_notify("READY=1");
        monitor.is_ready_told = true;
    }
    if (monitor.watchdog != LH_NEVER) lh_service_notify("WATCHDOG=1"); /* the monitor sees to the worker itself */
}

static lh_ns look_interval(void) {
    lh_ns interval = monitor.settings->timeout / 4;
    if (monitor.settings->interrupt_time / 4 < interval) interval = monitor.settings->interrupt_time / 4;
    if (monitor.watchdog / 3 < interval) interval = monitor.watchdog / 3;
    if (interval > LOOK_MAX) interval = LOOK_MAX;
    return interval;
}

/* Each loop once, until it beats again. */
static void interrupt_late(void) {
    const lh_ns now = lh_clock_now();
    for (int i = 0; i < LH_HEARTBEATS && monitor.settings->interrupt_time != LH_NEVER; i++) {
        const lh_heartbeat *slot = &monitor.heartbeats->of[i];
        const lh_ns beat = atomic_load(&slot->beat);
        const int thread_id = atomic_load(&slot->thread_id);
        if (beat == LH_NEVER || !thread_id || monitor.interrupted[i] == beat) continue;
        if (now <= lh_clock_add(beat, monitor.settings->interrupt_time)) continue;
        monitor.interrupted[i] = beat;
        atomic_store(&monitor.heartbeats->trace_wanted, LH_TRACE_INTERRUPT);
        syscall(SYS_tgkill, monitor.worker, thread_id, LH_TRACE_SIGNAL);
        lh_clock_sleep(LH_MILLISECOND); /* it reads what is wanted */
    }
}

/* True when the monitor is to end, with *exit_status. */
static bool has_ended(int *exit_status) {
    int status;
    if (waitpid(monitor.worker, &status, WNOHANG) != monitor.worker) return false;
    *exit_status = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
    report_end(status);
    *exit_status = 1;
    return !restart();
}

static int watch(void) {
    for (;;) {
        int exit_status;
        const int signal = next_signal(look_interval());
        if (signal == SIGHUP) {
            lh_log_sink_reopen_all();
            kill(monitor.worker, SIGHUP);
        } else if (signal > 0 && signal != SIGCHLD) {
            return stop(signal);
        }
        if (has_ended(&exit_status)) return exit_status;
        interrupt_late();
        const int late = lh_heartbeats_late(monitor.heartbeats, lh_clock_now());
        if (late >= 0) {
            end_hung_worker(late);
            if (!restart()) return 1;
        }
        tell_service();
    }
}

/* As daemon(7) says, except that the working directory stays: names on the command line are relative to it. */
static bool detach(void) {
    lh_log_flush();
    for (int i = 0; i < 2; i++) {
        const pid_t pid = fork();
        if (pid < 0) return false;
        if (pid > 0) _exit(0);
        lh_log_sink_forked();
        if (i == 0) setsid();
    }
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0) return false;
    for (int i = 0; i < 3; i++) dup2(null, i);
    return true;
}

static void block_signals(void) {
    static const int waited[] = {SIGCHLD, SIGTERM, SIGINT, SIGQUIT, SIGHUP};
    sigemptyset(&monitor.signals);
    for (size_t i = 0; i < sizeof(waited) / sizeof(waited[0]); i++) sigaddset(&monitor.signals, waited[i]);
    sigprocmask(SIG_BLOCK, &monitor.signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    /* Whoever started us may have ignored it: then the kernel keeps no status of the worker. */
    signal(SIGCHLD, SIG_DFL);
}

int lh_monitor_run(const lh_monitor_settings *settings) {
    monitor.settings = settings;
    if (!settings->is_foreground && !detach()) {
        lh_log_print("error", "%s: cannot detach: %s\n", settings->program, lh_error_text(errno));
        return 1;
    }
    block_signals();
    lh_service_open();
    monitor.watchdog = lh_service_watchdog();
    monitor.heartbeats = lh_heartbeats_new(&monitor.heartbeats_fd);
    monitor.trace_fd = memfd_create("trace", MFD_CLOEXEC);
    if (!monitor.heartbeats || monitor.trace_fd < 0) {
        lh_log_print("error", "%s: no memory to share with a worker: %s\n", settings->program, lh_error_text(errno));
        return 1;
    }
    return start_worker() ? watch() : 1;
}
