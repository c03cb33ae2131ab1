/* How a task moves.
 *
 *     new -> start -> running -> park -> parked -> wake -> ready -> run_ready -> running -> ... -> end
 *                                              \-> resume ----------------------^
 *
 * Results always go to the task's own thread (task->L), at whatever depth the call was made: they are the arguments of
 * its lua_resume, and the script's coroutines in between hand them down. They are made on state->L. Nothing is ever
 * allocated on the stack of a parked coroutine: a step of the collector there could run a finalizer on it, and an
 * error, even one that is caught, leaves it in a state from which it cannot be resumed. Moving them cannot fail: the
 * frame that yielded is a C function's, for which LuaJIT keeps LH_TASK_RESULTS_MAX and more slots free.
 *
 * A task that ends in its first run is never anchored: its thread lies on the stack of whoever spawned it, who waits
 * below it on the C stack. What keeps it longer (a wait, the run queue, its number, a report) anchors it first.
 *
 * Lua threads are not recycled. A script may keep the thread that coroutine_spawn returned, or its address, and cancel
 * it later; handing the same thread to another task would make that cancel a stranger. LuaJIT's own allocator makes a
 * thread in about 100 ns without malloc, so there is little to win. The task structs are recycled.
 *
 * A cancelled task whose stack holds no pcall cannot notice anything: it is dropped without being resumed. Otherwise
 * the parked call is made to raise, by resuming it with the marked triple that every Lua wrapper of a blocking call
 * knows. */
#include "runtime/task.h"

#include <assert.h>
#include <string.h>

#include "base/alloc.h"
#include "base/stack.h"
#include "runtime/errors.h"
#include "runtime/finalizer.h"
#include "runtime/protect.h"

enum { SPAWN_DEPTH_MAX = 150, MORE_PER_TURN = 32, PARK_ATTEMPTS_MAX = 3, WALK_MAX = 200 };

/* So many arguments a new coroutine's stack has room for without asking (it has LUA_MINSTACK slots, at least). */
enum { ARGS_FREE = LUA_MINSTACK / 2 };

/* A task's number is its generation and its slot: exact as a double. */
enum { SLOT_BITS = 22, SLOT_MAX = (1 << SLOT_BITS) - 1, GENERATION_MAX = 0x7fffffff };

static const char CANCELLED[] = "coroutine cancelled";

static const char token, interrupted; /* their addresses are the values */

lh_task_events lh_task_on;

/* A task is only ever touched by its own thread. */
static lh_state *state_of(const lh_task *task) {
    assert(lh_slab_has(&lh_state_here()->tasks, task));
    (void)task;
    return lh_state_here();
}

void lh_task_push_token(lua_State *L) { lua_pushlightuserdata(L, (void *)(uintptr_t)&token); }
void lh_task_push_interrupted(lua_State *L) { lua_pushlightuserdata(L, (void *)(uintptr_t)&interrupted); }

/* -- Anchors ------------------------------------------------------------------------------------------------------- */

/* Makes room for one task more in the tables of anchors and of held values. Released slots hold false, not nil, so that
 * the tables keep their size: from here on anchoring and holding cannot fail. */
static void reserve_anchor(lua_State *L, lh_state *state) {
    if (state->task_count < (size_t)state->anchor_count) return;
    if (state->anchor_count == SLOT_MAX) lh_raise(L, "too many coroutines");
    const int slot = state->anchor_count + 1;
    lua_rawgeti(L, LUA_REGISTRYINDEX, state->anchors_ref);
    for (int i = 2 * slot - 1; i <= 2 * slot; i++) {
        lua_pushboolean(L, 0);
        lua_rawseti(L, -2, i);
    }
    lua_pop(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, state->held_ref);
    lua_pushboolean(L, 0);
    lua_rawseti(L, -2, slot);
    lua_pop(L, 1);
    state->anchor_count = slot;
}

int lh_task_push_spawner(lua_State *L, const lh_state *state, const lh_task *task) {
    if (task->is_anchored) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, state->anchors_ref);
        lua_rawgeti(L, -1, 2 * task->slot);
        lua_remove(L, -2);
        return task->spawn_line;
    }
    lua_State *const spawner = task->spawner;
    lua_Debug ar;
    if (!lua_getstack(spawner, 1, &ar) || !lua_getinfo(spawner, "fl", &ar)) { /* "f" pushes the function */
        lua_pushboolean(L, 0);
        return -1;
    }
    if (spawner != L) lua_xmove(spawner, L, 1);
    return ar.currentline;
}

static __attribute__((noinline, cold)) void anchor(lh_task *task) {
    lh_state *state = state_of(task);
    lua_State *const S = state->L;
    assert(task->slot > 0 && task->slot <= state->anchor_count && task->L && !task->is_anchored);
    lua_rawgeti(S, LUA_REGISTRYINDEX, state->anchors_ref);
    lua_pushthread(task->L);
    lua_xmove(task->L, S, 1);
    lua_rawseti(S, -2, 2 * task->slot - 1);
    task->spawn_line = lh_task_push_spawner(S, state, task);
    lua_rawseti(S, -2, 2 * task->slot);
    lua_pop(S, 1);
    task->is_anchored = true;
    task->ready_next = NULL;
}

void lh_task_anchor(lh_task *task) {
    if (__builtin_expect(!task->is_anchored, 0)) anchor(task);
}

static void release_anchors(lua_State *L, const lh_task *task) {
    if (!task->is_anchored) return;
    lua_rawgeti(L, LUA_REGISTRYINDEX, lh_state_here()->anchors_ref);
    lua_pushboolean(L, 0);
    lua_rawseti(L, -2, 2 * task->slot - 1);
    lua_pushboolean(L, 0);
    lua_rawseti(L, -2, 2 * task->slot);
    lua_pop(L, 1);
}

void lh_task_hold(lh_task *task, lua_State *L, int index) {
    assert(task->status == LH_TASK_RUNNING);
    lua_pushvalue(L, index);
    lua_rawgeti(L, LUA_REGISTRYINDEX, lh_state_here()->held_ref);
    lua_insert(L, -2);
    lua_rawseti(L, -2, task->slot);
    lua_pop(L, 1);
    task->has_held = true;
}

static void release_held(lua_State *L, lh_task *task) {
    if (!task->has_held) return;
    task->has_held = false;
    lua_rawgeti(L, LUA_REGISTRYINDEX, lh_state_here()->held_ref);
    lua_pushboolean(L, 0);
    lua_rawseti(L, -2, task->slot);
    lua_pop(L, 1);
}

/* -- Birth and end ------------------------------------------------------------------------------------------------- */

static void on_deadline(lh_timer *timer);

lh_task *lh_task_new(lh_state *state, lua_State *L, int n) {
    assert(n >= 0 && lua_gettop(L) > n);
    lh_check_memory(L);
    lua_State *thread = lua_newthread(L); /* stack: f, args, thread */
    if (n > ARGS_FREE && !lua_checkstack(thread, n + LUA_MINSTACK)) luaL_error(L, "too many arguments");
    reserve_anchor(L, state);
    lh_task *task = lh_slab_take(&state->tasks); /* from here on nothing raises */
    assert(task->L == NULL && task->status == LH_TASK_GONE);
    if (task->slot == 0) {
        task->slot = ++state->slot_count;
        task->generation = 1;
    }
    task->L = task->parked_L = thread;
    task->wait = NULL;
    task->object = NULL;
    lh_timer_init(&task->timer, on_deadline);
    lh_list_init(&task->wait_node);
    lh_list_init(&task->owned);
    task->result_count = 0;
    task->status = LH_TASK_RUNNING;
    task->park_attempts = 0;
    task->is_anchored = task->is_cancelled = task->is_started = false;
    task->has_held = task->is_early = task->is_interrupted = false;
    task->spawner = L;
    state->task_count++;
    lh_ptrmap_set(&state->task_of, thread, task);
    lua_insert(L, -(n + 2)); /* stack: thread, f, args */
    lua_xmove(L, thread, n + 1);
    return task;
}

static void release_owned(lh_task *task) {
    while (!lh_list_is_empty(&task->owned)) {
        lh_owned *owned = LH_CONTAINER(task->owned.next, lh_owned, owned_node);
        owned->on_owner_end(owned);
    }
}

static void end_task(lh_state *state, lh_task *task) {
    release_owned(task);
    if (task == state->main_task) {
        state->main_task = NULL;
        lh_task_on.on_main_end(state, task->L);
    }
    release_held(state->L, task);
    assert(!task->timer.is_armed && !lh_list_is_linked(&task->wait_node) && lh_list_is_empty(&task->owned));
    assert(task->status == LH_TASK_RUNNING && state->task_count > 0);
    lh_ptrmap_remove(&state->task_of, task->L);
    task->L = NULL;
    task->status = LH_TASK_GONE;
    task->generation = task->generation == GENERATION_MAX ? 1 : task->generation + 1;
    release_anchors(state->L, task);
    state->task_count--;
    lh_slab_give(&state->tasks, task);
}

/* -- Running ------------------------------------------------------------------------------------------------------- */

static void drop(lh_state *state, lh_task *task);

/* With the error on top of its stack. */
static void report_error(lh_state *state, lh_task *task) {
    lh_task_on.on_error(state, task);
    lua_settop(task->L, 0);
}

static void run(lh_state *state, lh_task *task, int n) {
    lh_task *const previous = state->running;
    lua_State *const T = task->L;
    assert(lh_loop_is_mine(&state->net.loop) && task->status != LH_TASK_GONE && previous != task);
    assert(lua_gettop(T) >= n);
    state->running = task;
    task->status = LH_TASK_RUNNING;
    task->is_interrupted = false;
    if (task->has_held) release_held(state->L, task);
    const int rc = lua_resume(T, n);
    state->running = previous;
    /* It had parked inside coroutines of its own, and one of these raised, without memory, on the way out. */
    if (rc != LUA_YIELD && task->status != LH_TASK_RUNNING) lh_task_unpark(task);
    if (rc == LUA_YIELD && task->status != LH_TASK_RUNNING) {
        if (task->parked_L != T) lua_settop(T, 0); /* the token */
        if (task->is_cancelled && task->park_attempts >= PARK_ATTEMPTS_MAX) drop(state, task);
        return;
    }
    if (rc == LUA_YIELD) { /* the script's own yield, outside any coroutine of its own: nobody would ever resume it */
        lua_settop(T, 0);
        lua_pushliteral(T, "attempt to yield from outside a coroutine");
        report_error(state, task);
    } else if (rc != 0) {
        const char *message = lua_type(T, -1) == LUA_TSTRING ? lua_tostring(T, -1) : NULL;
        const bool was_cancelled = task->is_cancelled && message && strcmp(message, CANCELLED) == 0;
        if (!was_cancelled) report_error(state, task);
        lua_settop(T, 0);
    }
    end_task(state, task);
}

static void append_ready(lh_state *state, lh_task *task) {
    assert(task->status != LH_TASK_GONE && task->is_anchored && task != state->ready_last);
    assert(!state->ready_first == !state->ready_last && !state->ready_first == !state->ready_count);
    task->status = LH_TASK_READY;
    task->ready_next = NULL;
    if (state->ready_last) {
        state->ready_last->ready_next = task;
    } else {
        state->ready_first = task;
    }
    state->ready_last = task;
    state->ready_count++;
}

/* LuaJIT takes a wrong turn when a coroutine that yielded, at whatever depth, while a finalizer ran, is resumed. While
 * the state closes nothing is. */
static bool is_in_finalizer(const lh_state *state, lua_State *L) {
    return lh_finalizer_is_running(L) && !state->is_closing;
}

static bool has_function(lua_State *L, lua_CFunction function) {
    lua_Debug ar;
    for (int level = 0; lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "f", &ar);
        const bool is_it = lua_tocfunction(L, -1) == function;
        lua_pop(L, 1);
        if (is_it) return true;
    }
    return false;
}

bool lh_task_is_in_hook(lh_state *state) {
    if (!state->is_in_hook || !state->hook_raiser) return state->is_in_hook;
    if (has_function(state->hook_raiser, state->hook_raise)) return true;
    state->hook_raiser = NULL; /* it was caught */
    state->is_in_hook = false;
    return false;
}

static bool may_start_now(lh_state *state) {
    return state->spawn_depth < SPAWN_DEPTH_MAX && !lh_task_is_in_hook(state) && !is_in_finalizer(state, state->L) &&
           lh_stack_has_room();
}

void lh_task_start(lh_state *state, lh_task *task) {
    const int n = lua_gettop(task->L) - 1;
    if (!may_start_now(state)) {
        lh_task_anchor(task);
        task->result_count = n;
        append_ready(state, task);
        return;
    }
    task->is_started = true;
    state->spawn_depth++;
    run(state, task, n);
    state->spawn_depth--;
}

/* -- Answers ------------------------------------------------------------------------------------------------------- */

/* Replaces the error on top of state->L by what an interrupted call returns. */
static int push_raised(lua_State *S) {
    lua_pushnil(S);
    lua_insert(S, -2);
    lh_task_push_interrupted(S);
    lua_insert(S, -2);
    return 3;
}

/* The results for a task, on task->L; their number, or LH_TASK_STAY. When making them raised, those of an interrupted
 * call: `withdraw` is then what takes the task out of its wait, or NULL. */
static int make_results(lh_state *state, lh_task *task, lh_push_fn push, void *context, void (*withdraw)(lh_task *)) {
    int n;
    if (lh_protect_at_base(state, task, push, context, &n)) {
        if (n == LH_TASK_STAY) {
            lua_settop(state->L, 0);
            return n;
        }
    } else {
        if (withdraw) withdraw(task);
        n = push_raised(state->L);
    }
    assert(n <= LH_TASK_RESULTS_MAX);
    lua_xmove(state->L, task->L, n);
    if (lua_gettop(state->L) > 0) lua_settop(state->L, 0); /* as after a C function's return */
    return n;
}

static int push_on_run(lh_task *task, lua_State *T, void *context) {
    (void)context;
    return task->wait->on_run(task, T);
}

static int results_of_run(lh_state *state, lh_task *task) {
    if (task->wait->is_plain) return task->wait->on_run(task, task->L);
    return make_results(state, task, push_on_run, NULL, NULL);
}

static lh_task *take_first_ready(lh_state *state) {
    lh_task *task = state->ready_first;
    assert(task && task->status != LH_TASK_GONE && task->status != LH_TASK_PARKED);
    state->ready_first = task->ready_next;
    if (!state->ready_first) state->ready_last = NULL;
    state->ready_count--;
    return task;
}

static void run_first_ready(lh_state *state) {
    lh_task *task = take_first_ready(state);
    if (task->is_early) { /* the descriptors are looked at between this turn and the next */
        task->is_early = false;
        if (task->status == LH_TASK_READY) {
            append_ready(state, task);
            return;
        }
    }
    if (task->status != LH_TASK_READY) { /* cancelled while it queued */
        end_task(state, task);
        return;
    }
    task->is_started = true;
    int n = task->result_count;
    if (task->wait && task->wait->on_run && n == 0) n = results_of_run(state, task);
    run(state, task, n);
}

/* A task that yielded shall not run before the loop has looked at its descriptors and timers. (What another thread
 * granted has an on_run as well: it can wait for the next turn, which is due at once.) */
static bool is_yielder(const lh_task *task) { return task->wait && task->wait->on_run; }

static int collect(lh_task *task, lua_State *L, void *context) {
    (void)task;
    (void)context;
    lua_gc(L, LUA_GCCOLLECT, 0); /* it needs memory itself, for a smaller table of strings */
    return 0;
}

/* What cannot fail has used its reserve. */
static void get_memory_back(lh_state *state) {
    if (lh_protect(state->L, collect, NULL) == LH_PROTECT_RAISED) lua_pop(state->L, 1);
    lh_alloc_reserve();
}

/* Two coroutines that notify each other become ready one at a time: a few of those that were woken meanwhile run in the
 * same turn, so that the clock, the timers and the mailbox are not looked at for each. */
bool lh_task_run_ready(lh_state *state) {
    if (lh_finalizers_are_due(state)) lh_finalizers_run(state, state->L);
    if (lh_alloc_is_low()) get_memory_back(state);
    state->is_in_queue = true;
    for (size_t count = state->ready_count; count > 0; count--) run_first_ready(state);
    for (int more = MORE_PER_TURN; more > 0 && state->ready_first && !is_yielder(state->ready_first); more--) {
        run_first_ready(state);
    }
    state->is_in_queue = false;
    return state->ready_count > 0 || lh_finalizers_are_due(state);
}

/* -- Parking and waking -------------------------------------------------------------------------------------------- */

lh_task *lh_task_current(lua_State *L, const char *what) {
    const lh_state *state = lh_state_here();
    if (!state->running) lh_raise(L, "%s called outside a coroutine", what);
    return state->running;
}

/* LuaJIT takes a wrong turn when a coroutine yields, at whatever depth, while a hook is running, or a finalizer. (A
 * task's own thread is not yieldable then: none is started in a finalizer, and one that ran has LuaJIT's call of the
 * finalizer on its stack. So only the script's coroutines pay for the question.) */
static bool is_in_callback(lh_state *state, lua_State *L) {
    const bool is_own_thread = state->running && L == state->running->L;
    return lh_task_is_in_hook(state) || (!is_own_thread && is_in_finalizer(state, L));
}

bool lh_task_can_yield(lua_State *L) { return lua_isyieldable(L) && !is_in_callback(lh_state_here(), L); }

static __attribute__((noinline)) lh_task *may_park(lua_State *L, const lh_wait *wait) {
    lh_state *state = lh_state_here();
    lh_task *task = state->running;
    if (!task) lh_task_current(L, wait->name); /* raises */
    if (!lua_isyieldable(L) || is_in_callback(state, L))
        lh_raise(L, "attempt to yield across C-call boundary (%s)", wait->name);
    if (task->status != LH_TASK_RUNNING) lh_task_unpark(task); /* see `run` */
    if (task->is_cancelled && ++task->park_attempts < PARK_ATTEMPTS_MAX) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, state->cancelled_ref);
        lua_error(L);
    }
    return task;
}

lh_task *lh_task_may_park(lua_State *L, const lh_wait *wait) {
    const lh_state *state = lh_state_here();
    lh_task *task = state->running;
    const bool is_usual = task && L == task->L && task->status == LH_TASK_RUNNING && !task->is_cancelled &&
                          !state->is_in_hook && lua_isyieldable(L);
    return __builtin_expect(is_usual, 1) ? task : may_park(L, wait);
}

static int yield_to_scheduler(lh_task *task, lua_State *L) {
    task->parked_L = L;
    if (L == task->L) return lua_yield(L, 0);
    lh_task_push_token(L);
    return lua_yield(L, 1);
}

static __attribute__((noinline)) void start_deadline(lh_task *task, lh_ns deadline) {
    lh_timer_start(&state_of(task)->net.loop.timers, &task->timer, deadline);
}

int lh_task_park(lh_task *task, lua_State *L, const lh_wait *wait, lh_ns deadline) {
    assert(task->status == LH_TASK_RUNNING);
    lh_task_anchor(task);
    task->wait = wait;
    task->status = LH_TASK_PARKED;
    if (wait->is_world) state_of(task)->net.loop.wait_count++;
    if (deadline != LH_NEVER) start_deadline(task, deadline);
    return yield_to_scheduler(task, L);
}

int lh_task_yield(lh_task *task, lua_State *L, const lh_wait *wait) {
    assert(task->status == LH_TASK_RUNNING && wait->on_run);
    lh_task_anchor(task);
    task->wait = wait;
    task->result_count = 0;
    task->is_early = !state_of(task)->is_in_queue;
    append_ready(state_of(task), task);
    return yield_to_scheduler(task, L);
}

/* The wait is over, whatever ended it. */
static void end_wait(lh_task *task) {
    lh_loop *loop = &state_of(task)->net.loop;
    assert(task->status == LH_TASK_PARKED);
    if (task->wait->is_world) loop->wait_count--;
    lh_timer_stop(&loop->timers, &task->timer);
}

void lh_task_wake(lh_task *task, int n) {
    assert(n <= LH_TASK_RESULTS_MAX && lua_gettop(task->L) >= n);
    end_wait(task);
    task->result_count = n;
    append_ready(state_of(task), task);
}

void lh_task_answer(lh_task *task, lh_push_fn push, void *context) {
    lh_state *state = state_of(task);
    assert(task->status == LH_TASK_PARKED);
    const int n = make_results(state, task, push, context, task->wait->withdraw);
    if (n == LH_TASK_STAY) return;
    end_wait(task);
    run(state, task, n);
}

static int push_on_deadline(lh_task *task, lua_State *T, void *context) {
    (void)context;
    return task->wait->on_deadline(task, T);
}

static void on_deadline(lh_timer *timer) {
    lh_task *task = LH_CONTAINER(timer, lh_task, timer);
    if (!task->wait->is_plain) {
        lh_task_answer(task, push_on_deadline, NULL);
        return;
    }
    const int n = task->wait->on_deadline(task, task->L);
    if (n == LH_TASK_STAY) return;
    end_wait(task);
    run(state_of(task), task, n);
}

/* -- Cancelling ---------------------------------------------------------------------------------------------------- */

static int call_on_undelivered(lh_task *task, lua_State *T, void *context) {
    (void)context;
    lua_xmove(task->L, T, task->result_count);
    task->wait->on_undelivered(task, T, task->result_count);
    return 0;
}

/* What a task that will not take its results had been given. */
static void pass_on(lh_task *task) {
    lua_State *S = state_of(task)->L;
    if (lh_protect_for(S, task, call_on_undelivered, NULL) == LH_PROTECT_RAISED)
        lua_pop(S, 1); /* no memory to queue it again: it is lost */
}

/* Takes a parked or ready task out of its wait; afterwards it is ready (linked in the queue) or running (unlinked). */
static void take_back(lh_task *task) {
    if (task->status == LH_TASK_PARKED) {
        if (task->wait->withdraw) task->wait->withdraw(task);
        end_wait(task);
        task->status = LH_TASK_RUNNING;
        return;
    }
    if (!task->is_started) return;
    if (task->wait->on_undelivered && !task->is_interrupted) pass_on(task);
    lua_settop(task->L, 0);
}

/* Ends a task that is parked or ready without resuming it. A ready one is freed when the queue comes to it. */
static void drop(lh_state *state, lh_task *task) {
    assert(task != state->running || task->status != LH_TASK_RUNNING);
    take_back(task);
    release_owned(task);
    if (task->status == LH_TASK_READY) {
        task->status = LH_TASK_RUNNING; /* run_ready sees that it is not ready */
        return;
    }
    lua_settop(task->L, 0);
    end_task(state, task);
}

/* False when no Lua code of the task could notice an error: neither a pcall nor a coroutine of the script is on its
 * stack. Finding a frame costs a walk from the top, so a deep stack is not searched: raising in vain does no harm. */
static bool may_have_catcher(const lh_state *state, const lh_task *task) {
    if (task->parked_L != task->L) return true;
    lua_State *T = task->L;
    lua_Debug ar;
    for (int level = 0; lua_getstack(T, level, &ar); level++) {
        if (level == WALK_MAX) return true;
        lua_getinfo(T, "f", &ar);
        const void *f = lua_topointer(T, -1);
        lua_pop(T, 1);
        if (f == state->pcall || f == state->xpcall) return true;
    }
    return false;
}

/* Makes the call that the task is parked in (or about to return from) raise the message on top of `L`, which is
 * popped. */
static void interrupt(lh_state *state, lh_task *task, lua_State *L) {
    take_back(task);
    lua_State *T = task->L;
    lua_pushnil(T);
    lh_task_push_interrupted(T);
    lua_xmove(L, T, 1);
    task->result_count = 3;
    task->is_interrupted = true;
    if (task->status != LH_TASK_READY) append_ready(state, task);
}

static void unlink_ready(lh_state *state, lh_task *task) {
    lh_task *previous = NULL;
    assert(task->status == LH_TASK_READY);
    for (lh_task *t = state->ready_first; t != task; t = t->ready_next) previous = t;
    if (previous) {
        previous->ready_next = task->ready_next;
    } else {
        state->ready_first = task->ready_next;
    }
    if (state->ready_last == task) state->ready_last = previous;
    state->ready_count--;
}

void lh_task_unpark(lh_task *task) {
    if (task->status == LH_TASK_READY) {
        unlink_ready(state_of(task), task);
    } else {
        take_back(task);
    }
    task->status = LH_TASK_RUNNING;
}

const char *lh_task_wait_name(const lh_task *task) {
    if (task->status != LH_TASK_READY && task->status != LH_TASK_PARKED) return NULL;
    return task->wait ? task->wait->name : "mtev.coroutine_spawn";
}

static bool is_waiting(const lh_task *task) { return task->status == LH_TASK_PARKED || task->status == LH_TASK_READY; }

void lh_task_cancel(lh_task *task) {
    lh_state *state = state_of(task);
    if (task->status == LH_TASK_GONE || task->is_cancelled) return;
    task->is_cancelled = true;
    if (!is_waiting(task)) return; /* it runs: lh_task_may_park will tell it */
    if (!task->is_started || !may_have_catcher(state, task)) {
        drop(state, task);
        return;
    }
    lua_rawgeti(state->L, LUA_REGISTRYINDEX, state->cancelled_ref);
    interrupt(state, task, state->L);
    release_owned(task);
}

bool lh_task_interrupt(lh_task *task, lua_State *L) {
    const bool is_parked = is_waiting(task) && task->is_started;
    if (is_parked) {
        interrupt(state_of(task), task, L);
    } else {
        lua_pop(L, 1);
    }
    return is_parked;
}

double lh_task_number(lh_task *task) {
    lh_task_anchor(task);
    return (double)((uint64_t)task->generation << SLOT_BITS | (uint64_t)task->slot);
}

lh_task *lh_task_find(lh_state *state, lua_State *L, double number) {
    const uint64_t bits = (uint64_t)number;
    lua_rawgeti(L, LUA_REGISTRYINDEX, state->anchors_ref);
    lua_rawgeti(L, -1, 2 * (int)(bits & SLOT_MAX) - 1);
    lh_task *task = lua_isthread(L, -1) ? lh_task_of(state, lua_tothread(L, -1)) : NULL;
    lua_pop(L, 2);
    return task && task->generation == bits >> SLOT_BITS ? task : NULL;
}

void lh_task_open(lh_state *state, lua_State *L) {
    lua_newtable(L);
    state->anchors_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_newtable(L);
    state->held_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pushstring(L, CANCELLED);
    state->cancelled_ref = luaL_ref(L, LUA_REGISTRYINDEX);
}

lh_task *lh_task_of(lh_state *state, const void *thread) { return lh_ptrmap_get(&state->task_of, thread); }
