/* How a task moves.
 *
 *     new -> start -> running -> park -> parked -> wake -> ready -> run_ready -> running -> ... -> end
 *                                              \-> resume ----------------------^
 *
 * Results always go to the task's own thread (task->L), at whatever depth the call was made: they are the arguments of
 * its lua_resume, and the script's coroutines in between hand them down.
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

#include "runtime/errors.h"

enum { SPAWN_DEPTH_MAX = 150, MORE_PER_TURN = 32, PARK_ATTEMPTS_MAX = 3, WALK_MAX = 1000 };

static const char CANCELLED[] = "coroutine cancelled";

static const char token, interrupted; /* their addresses are the values */

lh_task_events lh_task_on;

/* A task is only ever touched by its own thread. */
static lh_state *state_of(const lh_task *task) {
    (void)task;
    return lh_state_here();
}

void lh_task_push_token(lua_State *L) { lua_pushlightuserdata(L, (void *)(uintptr_t)&token); }
void lh_task_push_interrupted(lua_State *L) { lua_pushlightuserdata(L, (void *)(uintptr_t)&interrupted); }

/* -- Anchors ------------------------------------------------------------------------------------------------------- */

/* Anchors the thread on top of `L`, and the Lua function that calls the C function running on `L`. */
static void anchor(lua_State *L, lh_task *task) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, lh_state_here()->anchors_ref);
    lua_pushvalue(L, -2);
    lua_rawseti(L, -2, 2 * task->slot - 1);
    lua_Debug ar;
    if (lua_getstack(L, 1, &ar) && lua_getinfo(L, "fl", &ar)) {
        task->spawn_line = ar.currentline;
        lua_rawseti(L, -2, 2 * task->slot);
    } else {
        task->spawn_line = -1;
    }
    lua_pop(L, 1);
}

static void release_anchors(lua_State *L, const lh_task *task) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, lh_state_here()->anchors_ref);
    lua_pushnil(L);
    lua_rawseti(L, -2, 2 * task->slot - 1);
    lua_pushnil(L);
    lua_rawseti(L, -2, 2 * task->slot);
    lua_pop(L, 1);
}

void lh_task_hold(lh_task *task, lua_State *L, int index) {
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
    lua_pushnil(L);
    lua_rawseti(L, -2, task->slot);
    lua_pop(L, 1);
}

/* -- Birth and end ------------------------------------------------------------------------------------------------- */

static void on_deadline(lh_timer *timer);

lh_task *lh_task_new(lh_state *state, lua_State *L, int n) {
    luaL_checkstack(L, 6, "too many arguments");
    lua_State *thread = lua_newthread(L); /* stack: f, args, thread */
    if (!lua_checkstack(thread, n + LUA_MINSTACK)) luaL_error(L, "too many arguments");
    lh_task *task = lh_slab_take(&state->tasks);
    if (task->slot == 0) {
        task->slot = ++state->slot_count;
        task->id = 1;
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
    task->is_cancelled = task->is_started = task->has_held = false;
    task->ready_next = NULL;
    state->task_count++;
    lh_ptrmap_set(&state->task_of, thread, task);
    anchor(L, task);
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
    lh_ptrmap_remove(&state->task_of, task->L);
    task->L = NULL;
    task->status = LH_TASK_GONE;
    task->id++;
    release_anchors(state->L, task);
    state->task_count--;
    lh_slab_give(&state->tasks, task);
}

/* -- Running ------------------------------------------------------------------------------------------------------- */

static void drop(lh_state *state, lh_task *task);

static void run(lh_state *state, lh_task *task, int n) {
    lh_task *const previous = state->running;
    lua_State *const T = task->L;
    state->running = task;
    task->status = LH_TASK_RUNNING;
    if (task->has_held) release_held(state->L, task);
    const int rc = lua_resume(T, n);
    state->running = previous;
    if (rc == LUA_YIELD && task->status != LH_TASK_RUNNING) {
        if (task->parked_L != T) lua_settop(T, 0); /* the token */
        if (task->is_cancelled && task->park_attempts >= PARK_ATTEMPTS_MAX) drop(state, task);
        return;
    }
    if (rc == LUA_YIELD) { /* the script's own yield, outside any coroutine of its own: nobody would ever resume it */
        lua_settop(T, 0);
        lua_pushliteral(T, "attempt to yield from outside a coroutine");
        lh_task_on.on_error(state, task);
        lua_settop(T, 0);
    } else if (rc != 0) {
        const char *message = lua_type(T, -1) == LUA_TSTRING ? lua_tostring(T, -1) : NULL;
        const bool was_cancelled = task->is_cancelled && message && strcmp(message, CANCELLED) == 0;
        if (!was_cancelled) lh_task_on.on_error(state, task);
        lua_settop(T, 0);
    }
    end_task(state, task);
}

static void append_ready(lh_state *state, lh_task *task) {
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

void lh_task_start(lh_state *state, lh_task *task) {
    const int n = lua_gettop(task->L) - 1;
    if (state->spawn_depth >= SPAWN_DEPTH_MAX) {
        task->result_count = n;
        append_ready(state, task);
        return;
    }
    task->is_started = true;
    state->spawn_depth++;
    run(state, task, n);
    state->spawn_depth--;
}

static void run_first_ready(lh_state *state) {
    lh_task *task = state->ready_first;
    state->ready_first = task->ready_next;
    if (!state->ready_first) state->ready_last = NULL;
    state->ready_count--;
    if (task->status != LH_TASK_READY) { /* cancelled while it queued */
        end_task(state, task);
        return;
    }
    task->is_started = true;
    int n = task->result_count;
    if (task->wait && task->wait->on_run && n == 0) n = task->wait->on_run(task, task->L);
    run(state, task, n);
}

/* A task that yielded shall not run before the loop has looked at its descriptors and timers. (What another thread
 * granted has an on_run as well: it can wait for the next turn, which is due at once.) */
static bool is_yielder(const lh_task *task) { return task->wait && task->wait->on_run; }

/* Two coroutines that notify each other become ready one at a time: a few of those that were woken meanwhile run in the
 * same turn, so that the clock, the timers and the mailbox are not looked at for each. */
bool lh_task_run_ready(lh_state *state) {
    for (size_t count = state->ready_count; count > 0; count--) run_first_ready(state);
    for (int more = MORE_PER_TURN; more > 0 && state->ready_first && !is_yielder(state->ready_first); more--) {
        run_first_ready(state);
    }
    return state->ready_count > 0;
}

/* -- Parking and waking -------------------------------------------------------------------------------------------- */

lh_task *lh_task_current(lua_State *L, const char *what) {
    const lh_state *state = lh_state_here();
    if (!state->running) lh_raise(L, "%s called outside a coroutine", what);
    return state->running;
}

lh_task *lh_task_may_park(lua_State *L, const lh_wait *wait) {
    lh_task *task = lh_task_current(L, wait->name);
    if (!lua_isyieldable(L)) lh_raise(L, "attempt to yield across C-call boundary (%s)", wait->name);
    if (task->is_cancelled && ++task->park_attempts < PARK_ATTEMPTS_MAX) {
        lua_pushstring(L, CANCELLED);
        lua_error(L);
    }
    return task;
}

static int yield_to_scheduler(lh_task *task, lua_State *L) {
    task->parked_L = L;
    if (L == task->L) return lua_yield(L, 0);
    lh_task_push_token(L);
    return lua_yield(L, 1);
}

int lh_task_park(lh_task *task, lua_State *L, const lh_wait *wait, lh_ns deadline) {
    lh_loop *loop = &state_of(task)->net.loop;
    assert(task->status == LH_TASK_RUNNING);
    task->wait = wait;
    task->status = LH_TASK_PARKED;
    if (wait->is_world) loop->wait_count++;
    if (deadline != LH_NEVER) lh_timer_start(&loop->timers, &task->timer, deadline);
    return yield_to_scheduler(task, L);
}

int lh_task_yield(lh_task *task, lua_State *L, const lh_wait *wait) {
    task->wait = wait;
    task->result_count = 0;
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
    end_wait(task);
    task->result_count = n;
    append_ready(state_of(task), task);
}

void lh_task_resume(lh_task *task, int n) {
    end_wait(task);
    run(state_of(task), task, n);
}

static void on_deadline(lh_timer *timer) {
    lh_task *task = LH_CONTAINER(timer, lh_task, timer);
    const int n = task->wait->on_deadline(task, task->L);
    if (n != LH_TASK_STAY) lh_task_resume(task, n);
}

/* -- Cancelling ---------------------------------------------------------------------------------------------------- */

/* Takes a parked or ready task out of its wait; afterwards it is ready (linked in the queue) or running (unlinked). */
static void take_back(lh_task *task) {
    if (task->status == LH_TASK_PARKED) {
        if (task->wait->withdraw) task->wait->withdraw(task);
        end_wait(task);
        task->status = LH_TASK_RUNNING;
        return;
    }
    if (task->is_started && task->wait->on_undelivered) {
        task->wait->on_undelivered(task, task->L, task->result_count);
    }
    if (task->is_started) lua_settop(task->L, 0);
}

/* Ends a task that is parked or ready without resuming it. A ready one is freed when the queue comes to it. */
static void drop(lh_state *state, lh_task *task) {
    take_back(task);
    release_owned(task);
    if (task->status == LH_TASK_READY) {
        task->status = LH_TASK_RUNNING; /* run_ready sees that it is not ready */
        return;
    }
    lua_settop(task->L, 0);
    end_task(state, task);
}

/* True when Lua code of the task could notice an error: a pcall or a coroutine of the script is on its stack. */
static bool has_catcher(const lh_state *state, const lh_task *task) {
    if (task->parked_L != task->L) return true;
    lua_State *T = task->L;
    lua_Debug ar;
    for (int level = 0; level < WALK_MAX && lua_getstack(T, level, &ar); level++) {
        if (!lua_checkstack(T, 2)) return true;
        lua_getinfo(T, "f", &ar);
        const void *f = lua_topointer(T, -1);
        lua_pop(T, 1);
        if (f == state->pcall || f == state->xpcall) return true;
    }
    return false;
}

/* Makes the call that the task is parked in (or about to return from) raise `message`. */
static void interrupt(lh_state *state, lh_task *task, const char *message) {
    take_back(task);
    lua_State *T = task->L;
    lua_checkstack(T, 4);
    lua_pushnil(T);
    lh_task_push_interrupted(T);
    lua_pushstring(T, message);
    task->result_count = 3;
    if (task->status != LH_TASK_READY) append_ready(state, task);
}

static void unlink_ready(lh_state *state, lh_task *task) {
    lh_task *previous = NULL;
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
    if (!task->is_started || !has_catcher(state, task)) {
        drop(state, task);
        return;
    }
    interrupt(state, task, CANCELLED);
    release_owned(task);
}

bool lh_task_interrupt(lh_task *task, const char *message) {
    if (!is_waiting(task) || !task->is_started) return false;
    interrupt(state_of(task), task, message);
    return true;
}

lh_task *lh_task_of(lh_state *state, const void *thread) { return lh_ptrmap_get(&state->task_of, thread); }
