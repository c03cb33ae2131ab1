#include "runtime/trace.h"

#include <assert.h>
#include <execinfo.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "host/heartbeat.h"
#include "host/log_sink.h"
#include "runtime/state.h"
#include "runtime/traceback.h"

enum { C_FRAMES_MAX = 64, SIGNAL_STACK_BYTES = 128 * 1024 };

static const int crash_signals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE};
enum { CRASH_SIGNAL_COUNT = sizeof(crash_signals) / sizeof(crash_signals[0]) };

/* A sanitizer has a report of its own of all but the first of them. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { IS_SANITIZED = true };
#else
enum { IS_SANITIZED = false };
#endif

static int trace_fd = -1;
static _Thread_local sigjmp_buf way_out; /* of reading what may not be readable */
static _Thread_local volatile sig_atomic_t is_reading;

static void write_text(const char *text) {
    if (write(trace_fd, text, strlen(text)) < 0) return;
}

static void write_title(const char *what) {
    const lh_state *state = lh_state_here();
    char text[128];
    snprintf(text, sizeof(text), "-- %s, thread default/%d --\n", what, state ? state->index : -1);
    write_text(text);
}

static void write_c_frames(void) {
    void *frames[C_FRAMES_MAX];
    write_text("C stack:\n");
    if (sigsetjmp(way_out, 1) == 0) {
        is_reading = 1;
        backtrace_symbols_fd(frames, backtrace(frames, C_FRAMES_MAX), trace_fd);
    } else {
        write_text("(it cannot be read further)\n");
    }
    is_reading = 0;
    write_text("\n");
}

static void write_lua_raw(void) {
    lh_state *state = lh_state_here();
    if (!state || !state->L) return;
    if (sigsetjmp(way_out, 1) == 0) {
        is_reading = 1;
        lh_traceback_save_raw(state, trace_fd);
    } else {
        write_text("(it cannot be read further)\n");
    }
    is_reading = 0;
}

/* -- A hang -------------------------------------------------------------------------------------------------------- */

static void done(void) { atomic_store(&lh_heartbeats_here->trace_done, 1); }

/* The next Lua instruction. */
static void on_instruction(lua_State *L, lua_Debug *ar) {
    (void)ar;
    int soon = LH_TRACE_SOON;
    lua_sethook(L, NULL, 0, 0);
    if (!atomic_compare_exchange_strong(&lh_heartbeats_here->trace_wanted, &soon, LH_TRACE_NOTHING)) return;
    write_title("hang");
    lh_traceback_save_all(L, lh_state_here(), trace_fd);
    write_c_frames();
    done();
}

/* The beat of this thread's loop when it was told to interrupt. */
static _Thread_local _Atomic lh_ns interrupted_beat;

static lh_ns beat_here(void) { return atomic_load(lh_state_here()->net.loop.beat); }

/* The same, for a coroutine that has computed for too long; not for another, that runs since the loop has turned. */
static void on_interruption(lua_State *L, lua_Debug *ar) {
    (void)ar;
    lua_sethook(L, NULL, 0, 0);
    if (beat_here() != interrupted_beat) return;
    luaL_error(L, "interrupted!");
}

/* LuaJIT allows this in a signal handler: its own console stops scripts so. */
static void hook_next_instruction(lua_Hook hook) {
    const lh_state *state = lh_state_here();
    if (state && state->L) lua_sethook(state->L, hook, LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT, 1);
}

static void on_trace_signal(int signal) {
    (void)signal;
    const int wanted = atomic_load(&lh_heartbeats_here->trace_wanted);
    if (wanted == LH_TRACE_SOON) {
        hook_next_instruction(on_instruction);
        return;
    }
    if (wanted == LH_TRACE_INTERRUPT) {
        if (!lh_state_here()) return;
        interrupted_beat = beat_here();
        hook_next_instruction(on_interruption);
        return;
    }
    switch (atomic_exchange(&lh_heartbeats_here->trace_wanted, LH_TRACE_NOTHING)) {
    case LH_TRACE_NOW: write_title("hang, in a C function or a compiled loop"); break;
    case LH_TRACE_OTHER: write_title("meanwhile"); break;
    default: return;
    }
    write_lua_raw();
    write_c_frames();
    done();
}

void lh_trace_write(int fd, const char *what) {
    const bool can_fault = trace_fd >= 0; /* lh_trace_open has installed what catches a fault in reading */
    trace_fd = fd;
    write_title(what);
    write_lua_raw();
    if (can_fault) write_c_frames();
}

/* -- A crash ------------------------------------------------------------------------------------------------------- */

static void on_crash(int signal) {
    if (is_reading) siglongjmp(way_out, 1);
    lh_log_sink_settle_all();
    char title[64];
    snprintf(title, sizeof(title), "crash, signal %d", signal);
    write_title(title);
    write_lua_raw();
    write_c_frames();
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigaction(signal, &action, NULL);
    raise(signal);
}

static _Thread_local void *signal_stack;

void lh_trace_open_thread(void) {
    assert(!signal_stack);
    signal_stack = lh_alloc(SIGNAL_STACK_BYTES);
    const stack_t stack = {.ss_sp = signal_stack, .ss_size = SIGNAL_STACK_BYTES};
    sigaltstack(&stack, NULL);
}

void lh_trace_close_thread(void) {
    const stack_t none = {.ss_flags = SS_DISABLE};
    if (!signal_stack) return;
    sigaltstack(&none, NULL);
    lh_free(signal_stack);
    signal_stack = NULL;
}

void lh_trace_open(int fd) {
    void *frames[2];
    trace_fd = fd;
    backtrace(frames, 2); /* the first call loads a library: not in a handler */
    if (lh_heartbeats_here) {
        struct sigaction trace = {.sa_handler = on_trace_signal, .sa_flags = SA_RESTART | SA_ONSTACK};
        sigfillset(&trace.sa_mask);
        for (int i = 0; i < CRASH_SIGNAL_COUNT; i++) sigdelset(&trace.sa_mask, crash_signals[i]);
        sigaction(LH_TRACE_SIGNAL, &trace, NULL);
    }
    struct sigaction crash = {.sa_handler = on_crash, .sa_flags = SA_ONSTACK | SA_NODEFER};
    const int count = IS_SANITIZED && !lh_heartbeats_here ? 1 : CRASH_SIGNAL_COUNT;
    for (int i = 0; i < count; i++) sigaction(crash_signals[i], &crash, NULL);
}
