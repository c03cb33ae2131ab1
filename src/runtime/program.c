#include "runtime/program.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "host/exit.h"
#include "host/heartbeat.h"
#include "loop/child.h"
#include "loop/pool.h"
#include "loop/signals.h"
#include "net/linger.h"
#include "net/reverse.h"
#include "runtime/errors.h"
#include "runtime/hang.h"
#include "host/log.h"
#include "runtime/luajit.h"
#include "runtime/script.h"
#include "host/service.h"
#include "runtime/shared.h"
#include "runtime/stop.h"
#include "runtime/task.h"
#include "runtime/trace.h"
#include "runtime/traceback.h"

static lh_program program;
static void (*open_api_of_states)(lua_State *L);

/* -- The end ------------------------------------------------------------------------------------------------------- */

static void stop_all(void) {
    atomic_store(&program.is_stopping, true);
    for (int i = 0; i < program.thread_count; i++) {
        if (program.states[i]) lh_loop_stop(&program.states[i]->net.loop);
    }
}

static bool is_all_quiet(void) {
    assert(program.idle_count >= 0 && program.idle_count <= program.thread_count);
    if (program.idle_count < program.thread_count) return false;
    for (int i = 0; i < program.thread_count; i++) {
        assert(program.states[i]);
        if (!lh_mailbox_is_empty(&program.states[i]->net.loop.mailbox)) return false;
    }
    return true;
}

/* Nothing can wake anybody any more, but a signal, if a script has something to do then. Under the mutex. */
static void end_quietly(void) {
    size_t waiting_count = 0;
    for (int i = 0; i < program.thread_count; i++) waiting_count += program.states[i]->task_count;
    if (waiting_count > 0 && !atomic_load(&program.is_told_to_end)) {
        if (lh_stop_is_registered()) return;
        atomic_store(&program.is_deadlock, true);
        atomic_store(&program.status, 1);
    }
    stop_all();
}

/* A mail to an idle thread keeps the program from ending: either it is still in the mailbox, or the thread has called
 * on_busy before taking it. Both are looked at under the mutex. */
static void on_idle(lh_loop *loop) {
    assert(lh_loop_is_mine(loop));
    (void)loop;
    if (lh_options_get()->is_luamtev) return; /* runs until it is told to end */
    pthread_mutex_lock(&program.mutex);
    program.idle_count++;
    if (is_all_quiet()) end_quietly();
    pthread_mutex_unlock(&program.mutex);
}

static void on_busy(lh_loop *loop) {
    (void)loop;
    if (lh_options_get()->is_luamtev) return;
    pthread_mutex_lock(&program.mutex);
    assert(program.idle_count > 0);
    program.idle_count--;
    pthread_mutex_unlock(&program.mutex);
}

static void set_figure(_Atomic uint64_t *figure, uint64_t value) {
    atomic_store_explicit(figure, value, memory_order_relaxed);
}

static uint64_t figure(const _Atomic uint64_t *value) { return atomic_load_explicit(value, memory_order_relaxed); }

static void show_figures(lh_state *state) {
    lh_state_figures *figures = &state->figures;
    set_figure(&figures->turns, figure(&figures->turns) + 1);
    set_figure(&figures->tasks, state->task_count);
    set_figure(&figures->sockets, state->net.open_count);
    set_figure(&figures->timers, state->net.loop.timers.count - lh_linger_timers(&state->net));
}

static bool on_turn(lh_loop *loop) {
    lh_state *state = lh_state_of_loop(loop);
    assert(state == lh_state_here() && !state->running);
    const bool has_more = lh_task_run_ready(state);
    show_figures(state);
    if (!has_more) lh_log_flush_stdio();
    return has_more;
}

static void end_program(void) {
    pthread_mutex_lock(&program.mutex);
    stop_all();
    pthread_mutex_unlock(&program.mutex);
}

static void ask_all_to_stop(void) {
    pthread_mutex_lock(&program.mutex);
    for (int i = 0; i < program.thread_count; i++) {
        if (program.states[i]) lh_stop_ask(program.states[i]);
    }
    pthread_mutex_unlock(&program.mutex);
    lh_stop_done();
}

static void on_signal(lh_loop *loop, int signal) {
    assert(lh_loop_is_mine(loop));
    if (signal == SIGHUP) {
        lh_log_sink_reopen_all();
        return;
    }
    lh_child_spare_all();
    atomic_store(&program.status, 128 + signal);
    atomic_store(&program.is_told_to_end, true);
    lh_service_notify("STOPPING=1");
    if (lh_stop_begin(loop, end_program)) {
        ask_all_to_stop();
    } else {
        end_program();
    }
}

static void report_deadlock(lh_state *state) {
    if (state->task_count == 0) return;
    lh_traceback_push_all(state->L, state);
    lh_log_print("error/lua", "%s: deadlock: every coroutine is waiting and nothing can wake one\n%s",
                 lh_options_get()->program, lua_tostring(state->L, -1));
    lua_pop(state->L, 1);
}

/* -- Errors -------------------------------------------------------------------------------------------------------- */

static int to_string(lua_State *L) {
    lua_getglobal(L, "tostring");
    lua_insert(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

/* Pushes on L the error value on top of T as text. */
static void push_error_text(lua_State *L, lua_State *T) {
    lua_pushvalue(T, -1);
    if (T != L) lua_xmove(T, L, 1);
    lua_pushcfunction(L, to_string);
    lua_insert(L, -2);
    if (lua_pcall(L, 1, 1, 0) != 0 || !lua_tostring(L, -1)) {
        lua_pop(L, 1);
        lua_pushliteral(L, "(error object cannot be shown)");
    }
}

/* An uncaught error: its text, the string at `index` of L, which may have NULs, and where it was. */
static void report(lua_State *L, int index, const char *traceback) {
    static const char stream[] = "error/lua", unknown[] = "unknown error";
    size_t length = sizeof(unknown) - 1;
    const char *text = lua_type(L, index) == LUA_TSTRING ? lua_tolstring(L, index, &length) : unknown;
    lh_buffer record = {0};
    if (lh_buffer_print(&record, "%s: ", lh_options_get()->program) == 0 &&
        lh_buffer_append(&record, text, length) == 0 && lh_buffer_print(&record, "\n%s\n", traceback) == 0) {
        lh_log_write(lh_log_get(stream, sizeof(stream) - 1), lh_buffer_bytes(&record), record.length);
    } else { /* its beginning needs no memory of ours */
        char beginning[512];
        const int shown = snprintf(beginning, sizeof(beginning), "%s: %s\n(no memory to say more)\n",
                                   lh_options_get()->program, text);
        if (shown > 0) {
            lh_log_write(lh_log_get(stream, sizeof(stream) - 1), beginning,
                         (size_t)shown < sizeof(beginning) ? (size_t)shown : sizeof(beginning) - 1);
        }
    }
    lh_buffer_reset(&record);
    if (!lh_options_get()->is_keep_going) lh_exit(lh_exit_failure_status());
}

/* Pushes text and traceback. */
static int describe_error(lh_task *none, lua_State *L, void *context) {
    lh_task *task = context;
    (void)none;
    if (lh_alloc_is_low()) lua_gc(L, LUA_GCCOLLECT, 0); /* what is short is held by garbage, as a rule */
    push_error_text(L, task->L);
    lh_traceback_push(L, lh_state_here(), task);
    return 2;
}

/* What reports that there is no memory has the reserve; the next turn of the loop collects. */
static void release_reserve_for(lua_State *T) {
    const char *message = lua_type(T, -1) == LUA_TSTRING ? lua_tostring(T, -1) : "";
    if (strstr(message, "not enough memory")) lh_alloc_release_reserve();
}

static void on_error(lh_state *state, lh_task *task) {
    assert(task->L && lua_gettop(task->L) > 0);
    lua_State *L = state->L;
    const int top = lua_gettop(L);
    const bool was_in_hook = state->is_in_hook;
    release_reserve_for(task->L);
    state->is_in_hook = true; /* the script's hook is not called here */
    int n = lh_protect(L, describe_error, task);
    if (n == LH_PROTECT_RAISED) { /* no memory, most likely: another time, with the reserve */
        lua_settop(L, top);
        lh_alloc_release_reserve();
        n = lh_protect(L, describe_error, task);
    }
    state->is_in_hook = was_in_hook;
    if (n != LH_PROTECT_RAISED) {
        report(L, -2, lua_tostring(L, -1));
    } else { /* what there is already */
        report(lua_type(task->L, -1) == LUA_TSTRING ? task->L : L, -1, "(no traceback)");
    }
    lua_settop(L, top);
}

void lh_program_report_error(lua_State *L) {
    const int top = lua_gettop(L);
    push_error_text(L, L);
    lh_traceback_push_here(L);
    report(L, -2, lua_tostring(L, -1));
    lua_settop(L, top);
}

static void on_main_end(lh_state *state, lua_State *T) {
    assert(!state->main_task);
    (void)state;
    if (lh_options_get()->is_luamtev || lua_gettop(T) < 1 || lua_type(T, 1) != LUA_TNUMBER) return;
    const double status = lua_tonumber(T, 1);
    if (status >= 0 && status <= 255 && status == (int)status && status != 0)
        atomic_store(&program.status, (int)status);
}

/* -- Threads ------------------------------------------------------------------------------------------------------- */

static void publish(lh_state *state) {
    pthread_mutex_lock(&program.mutex);
    assert(state->index >= 0 && state->index < program.thread_count && !program.states[state->index]);
    program.states[state->index] = state;
    if (atomic_load(&program.is_stopping)) lh_loop_stop(&state->net.loop);
    pthread_mutex_unlock(&program.mutex);
}

static void withdraw(const lh_state *state) {
    pthread_mutex_lock(&program.mutex);
    assert(program.states[state->index] == state);
    program.states[state->index] = NULL;
    pthread_mutex_unlock(&program.mutex);
}

/* Whoever looks sees from now on whether the loop turns. */
static void begin_to_beat(lh_state *state) {
    if (!lh_heartbeats_here || state->index >= LH_HEARTBEATS) return;
    lh_heartbeat *slot = &lh_heartbeats_here->of[state->index];
    atomic_store(&slot->thread_id, state->thread_id);
    atomic_store(&slot->beat, lh_clock_now());
    state->net.loop.beat = &slot->beat;
}

/* Opens the state of thread `index`, or ends the process. */
static lh_state *open_state(int index) {
    lh_state *state = lh_alloc(sizeof(*state));
    if (!lh_state_open(state, &program, index, open_api_of_states)) lh_exit(1);
    pthread_getcpuclockid(pthread_self(), &state->cpu_clock);
    state->net.loop.on_turn = on_turn;
    state->net.loop.on_idle = on_idle;
    state->net.loop.on_busy = on_busy;
    begin_to_beat(state);
    lh_trace_open_thread();
    lh_hang_open_state(state);
    return state;
}

static void run_state(lh_state *state) {
    publish(state);
    lh_script_start(state);
    if (lh_heartbeats_here) atomic_fetch_add(&lh_heartbeats_here->ready_count, 1);
    lh_loop_run(&state->net.loop);
    atomic_store(state->net.loop.beat, LH_NEVER);
    lh_hang_close_state(state);
    lh_trace_close_thread();
    if (atomic_load(&program.is_deadlock)) report_deadlock(state);
}

static void close_state(lh_state *state) {
    withdraw(state);
    lh_state_close(state);
    lh_free(state);
}

static void *run_thread(void *argument) {
    const int index = (int)(intptr_t)argument;
    char name[16];
    snprintf(name, sizeof(name), "default/%d", index);
    pthread_setname_np(pthread_self(), name);
    lh_state *state = open_state(index);
    run_state(state);
    return state;
}

/* Other threads' states are closed only when every loop has stopped: until then mails may be sent to them. */
static void run_all(void) {
    const int count = program.thread_count;
    pthread_t *threads = lh_alloc((size_t)count * sizeof(*threads));
    lh_child_setup();
    lh_hang_open();
    lh_state *first = open_state(0);
    lh_luajit_check(first->L);
    lh_signals_install(&first->net.loop, on_signal, lh_hang_begin);
    for (int i = 1; i < count; i++) {
        if (pthread_create(&threads[i], NULL, run_thread, (void *)(intptr_t)i) == 0) continue;
        lh_log_print("error", "%s: cannot create thread %d\n", lh_options_get()->program, i);
        lh_exit(1);
    }
    run_state(first);
    for (int i = 1; i < count; i++) pthread_join(threads[i], NULL);
    lh_free(threads);
}

int lh_program_run(const lh_options *options, void (*open_api)(lua_State *L)) {
    lh_options_set(options);
    program = (lh_program){.thread_count = options->thread_count};
    pthread_mutex_init(&program.mutex, NULL);
    open_api_of_states = open_api;
    lh_task_on = (lh_task_events){.on_error = on_error, .on_main_end = on_main_end};
    program.states = lh_alloc((size_t)options->thread_count * sizeof(*program.states));
    if (lh_heartbeats_here) atomic_store(&lh_heartbeats_here->thread_count, options->thread_count);
    run_all();
    lh_pool_close();
    lh_reverse_end();
    for (int i = 0; i < options->thread_count; i++) close_state(program.states[i]);
    lh_free(program.states);
    lh_shared_fini();
    lh_log_flush();
    return atomic_load(&program.status);
}

void lh_program_each_other(const lh_state *self, void (*visit)(lh_state *other, void *context), void *context) {
    pthread_mutex_lock(&program.mutex);
    for (int i = 0; i < program.thread_count; i++) {
        lh_state *state = program.states[i];
        if (state && state != self) visit(state, context);
    }
    pthread_mutex_unlock(&program.mutex);
}

static double seconds_of(clockid_t clock) {
    struct timespec time = {0};
    clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

int lh_program_threads(lh_thread_figures *threads) {
    int count = 0;
    pthread_mutex_lock(&program.mutex);
    for (int i = 0; i < program.thread_count; i++) {
        const lh_state *state = program.states[i];
        if (!state) continue;
        threads[count++] = (lh_thread_figures){.index = i,
                                               .thread_id = state->thread_id,
                                               .cpu_seconds = seconds_of(state->cpu_clock),
                                               .turns = figure(&state->figures.turns),
                                               .tasks = figure(&state->figures.tasks),
                                               .sockets = figure(&state->figures.sockets),
                                               .timers = figure(&state->figures.timers)};
    }
    pthread_mutex_unlock(&program.mutex);
    return count;
}
