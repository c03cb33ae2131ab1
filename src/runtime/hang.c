/* LuaJIT calls no hook in compiled code, but compiled code looks whether its profiler wants a sample: when it was
 * compiled in a state for which a profiler has been started with the option "l". That costs nothing that can be
 * measured. The profiler is one per process, with a timer of its own, so a state that runs nothing holds it, with the
 * timer switched off; starting it in all other states then only sets the option. To stop a thread, its signal handler
 * moves the profiler to the thread's state and raises SIGPROF, whose handler (LuaJIT's) asks for a sample: the callback
 * is called at the next place where that is safe, in the interpreter or at the end of a compiled loop's round.
 *
 * The states are not looked at from other threads: a thread is signalled, and looks at its own. */
#include "runtime/hang.h"

#include <assert.h>
#include <lauxlib.h>
#include <luajit.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "host/exit.h"
#include "host/heartbeat.h"
#include "host/log.h"
#include "host/log_sink.h"
#include "host/options.h"
#include "runtime/trace.h"
#include "runtime/traceback.h"

#define HANG_SIGNAL (SIGRTMIN + 6)

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static timer_t alarm_timer;
static bool has_alarm;
static lua_State *holder; /* of the profiler */
static atomic_int stop_signal;
static _Atomic lh_ns stopped_ns;          /* when it came */
static atomic_bool is_last;               /* the second look */
static atomic_int threads[LH_HEARTBEATS]; /* ids of the loops' threads, 0 = none */

/* -- The profiler -------------------------------------------------------------------------------------------------- */

static void stop_profiler_timer(void) {
    const struct itimerval off = {0};
    setitimer(ITIMER_PROF, &off, NULL);
}

static void ignore_sample(void *data, lua_State *L, int samples, int vmstate) {
    (void)data;
    (void)L;
    (void)samples;
    (void)vmstate;
}

static atomic_bool is_lent;
_Thread_local volatile int lh_hang_is_over;

bool lh_hang_lend_profiler(void) {
    if (!holder || atomic_exchange(&is_lent, true)) return false;
    luaJIT_profile_stop(holder);
    return true;
}

void lh_hang_take_profiler(void) {
    if (!holder) return;
    atomic_store(&is_lent, false);
    luaJIT_profile_start(holder, "i10000", ignore_sample, NULL);
    stop_profiler_timer();
}

/* -- The end ------------------------------------------------------------------------------------------------------- */

void lh_hang_end(lua_State *L) {
    const int signal = atomic_load(&stop_signal);
    assert(signal > 0);
    lh_log_print("error", "%s: ended by SIG%s while this was running:\n", lh_options_get()->program,
                 sigabbrev_np(signal));
    lh_log_flush();
    lh_traceback_save_running(L, lh_state_here(), STDERR_FILENO);
    lh_exit(128 + signal);
}

static void end_here(void *data, lua_State *L, int samples, int vmstate) {
    (void)data;
    (void)samples;
    (void)vmstate;
    lh_hang_end(L);
}

/* In the handler, on the thread that is to be stopped. */
static void stop_soon(lh_state *state) {
    if (!holder) return;
    if (atomic_load(&is_lent)) { /* a profiler that runs cannot be stopped here: LuaJIT frees compiled code for it */
        lh_hang_is_over = 1;
    } else {
        luaJIT_profile_stop(holder);
        luaJIT_profile_start(state->L, "i10000", end_here, NULL);
        stop_profiler_timer();
    }
    raise(SIGPROF);
}

static void end_at_once(void) {
    lh_log_sink_settle_all();
    lh_trace_write(STDERR_FILENO, "ended by a signal while a loop was stuck");
    _exit(128 + atomic_load(&stop_signal));
}

static bool is_stuck(const lh_state *state) {
    const lh_ns beat = atomic_load(state->net.loop.beat);
    if (atomic_load(&is_last)) return beat < lh_clock_now() - LH_HANG_SECONDS * LH_SECOND;
    return beat < atomic_load(&stopped_ns);
}

static void signal_thread(int thread) { syscall(SYS_tgkill, getpid(), thread, HANG_SIGNAL); }

static void set_alarm(lh_ns after) {
    const struct itimerspec time = {
        .it_value = {.tv_sec = (time_t)(after / LH_SECOND), .tv_nsec = (long)(after % LH_SECOND)}};
    timer_settime(alarm_timer, 0, &time, NULL);
}

/* The alarm, on the main thread, asks every loop's thread; a thread that was asked looks at itself. */
static void on_hang_signal(int signal, siginfo_t *info, void *context) {
    (void)signal;
    (void)context;
    if (info->si_code == SI_TIMER) {
        if (atomic_exchange(&is_last, atomic_load(&stopped_ns) + 2 * LH_SECOND < lh_clock_now())) return;
        if (!atomic_load(&is_last)) set_alarm(LH_HANG_LAST_MS * LH_MILLISECOND - LH_HANG_SECONDS * LH_SECOND);
        for (int i = 0; i < LH_HEARTBEATS; i++) {
            const int thread = atomic_load(&threads[i]);
            if (thread) signal_thread(thread);
        }
        return;
    }
    lh_state *state = lh_state_here();
    if (!state || !is_stuck(state)) return;
    if (atomic_load(&is_last)) end_at_once();
    stop_soon(state);
}

void lh_hang_begin(int signal) {
    int none = 0;
    if (!has_alarm || !atomic_compare_exchange_strong(&stop_signal, &none, signal)) return;
    atomic_store(&stopped_ns, lh_clock_now());
    set_alarm(LH_HANG_SECONDS * LH_SECOND);
}

/* -- Opening ------------------------------------------------------------------------------------------------------- */

void lh_hang_open(void) {
    assert(!holder && !has_alarm);
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = HANG_SIGNAL};
    event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
    struct sigaction action = {.sa_sigaction = on_hang_signal, .sa_flags = SA_RESTART | SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    if (timer_create(CLOCK_MONOTONIC, &event, &alarm_timer) < 0) return;
    sigaction(HANG_SIGNAL, &action, NULL);
    has_alarm = true;
    holder = luaL_newstate();
    lh_hang_take_profiler();
}

void lh_hang_open_state(lh_state *state) {
    assert(state == lh_state_here() && state->L && state->index >= 0);
    if (holder) luaJIT_profile_start(state->L, "l", ignore_sample, NULL);
    if (state->index < LH_HEARTBEATS) atomic_store(&threads[state->index], state->thread_id);
}

void lh_hang_close_state(lh_state *state) {
    if (state->index < LH_HEARTBEATS) atomic_store(&threads[state->index], 0);
}
