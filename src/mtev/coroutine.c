/* What scripts get: mtev.coroutine_spawn, mtev.sleep, mtev.cancel_coro. sleep is
 * finished in lualib/mtev/coroutine.lua, and cancel_coro, too; that one also replaces coroutine.resume and wrap
 * with the help of `core` below. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/stack.h"
#include "mtev/init.h"
#include "net/linger.h"
#include "runtime/errors.h"
#include "runtime/finalizer.h"
#include "runtime/program.h"
#include "runtime/task.h"
#include "runtime/traceback.h"

/* -- Spawn --------------------------------------------------------------------------------------------------------- */

static int mtev_coroutine_spawn(lua_State *L) {
    if (!lua_isfunction(L, 1)) lh_raise(L, "mtev.coroutine_spawn(func, ...): bad arguments");
    lh_state *state = lh_state_here();
    lh_task *task = lh_task_new(state, L, lua_gettop(L) - 1); /* stack: thread */
    assert(lua_gettop(L) == 1 && lua_isthread(L, 1));
    lh_task_start(state, task);
    return 1;
}

/* -- Sleep --------------------------------------------------------------------------------------------------------- */

/* In microseconds, rounded up: never less than was asked for. */
static int push_slept(lh_task *task, lua_State *T) {
    const lh_ns now = lh_state_here()->net.loop.now;
    const lh_ns us = now > task->started_ns ? (now - task->started_ns + 999) / 1000 : 0;
    lua_pushnumber(T, (lua_Number)us);
    return 1;
}

static const lh_wait sleep_wait = {.name = "mtev.sleep", .is_plain = true, .on_deadline = push_slept};
static const lh_wait yield_wait = {.name = "mtev.sleep", .is_plain = true, .on_run = push_slept};

/* Returns the time slept in microseconds, or what an interrupted call returns. */
static int core_sleep(lua_State *L) {
    const int type = lua_type(L, 1);
    double seconds = 0;
    if (type == LUA_TNUMBER) {
        seconds = lua_tonumber(L, 1);
        if (isnan(seconds)) lh_check_number(L, 1); /* raises */
    } else if (type != LUA_TNIL && type != LUA_TNONE) {
        seconds = lh_check_seconds(L, 1);
    }
    if (isinf(seconds)) lh_raise_argument(L, 1, "number is infinite");
    if (seconds <= 0) {
        lh_task *task = lh_task_may_park(L, &yield_wait);
        task->started_ns = lh_state_here()->net.loop.now;
        return lh_task_yield(task, L, &yield_wait);
    }
    lh_task *task = lh_task_may_park(L, &sleep_wait);
    task->started_ns = lh_clock_now();
    return lh_task_park(task, L, &sleep_wait, lh_clock_add(task->started_ns, lh_clock_from_seconds(seconds)));
}

/* -- Cancel -------------------------------------------------------------------------------------------------------- */

/* The address in a string "0x..." (hexadecimal) or of decimal digits. */
static const void *parse_address(const char *text) {
    return (const void *)(uintptr_t)strtoull(text, NULL, text[0] == '0' && (text[1] | 0x20) == 'x' ? 16 : 10);
}

typedef struct cancel_mail {
    lh_mail mail;
    const void *thread;
} cancel_mail;

static void deliver_cancel(lh_mail *mail, lh_loop *loop, bool is_closing) {
    (void)loop;
    cancel_mail *cancel = LH_CONTAINER(mail, cancel_mail, mail);
    if (!is_closing) {
        assert(lh_loop_is_mine(loop));
        lh_task *task = lh_task_of(lh_state_here(), cancel->thread);
        if (task) lh_task_cancel(task);
    }
    lh_free(cancel);
}

static void post_cancel(lh_state *other, void *thread) {
    cancel_mail *cancel = lh_alloc(sizeof(*cancel));
    *cancel = (cancel_mail){.mail.deliver = deliver_cancel, .thread = thread};
    lh_mailbox_post(&other->net.loop.mailbox, &cancel->mail);
}

/* cancel_task(thread or address) -> true when it was a task of this state. An address unknown here may be a task of
 * another thread: they are all asked. */
static int core_cancel_task(lua_State *L) {
    lh_state *state = lh_state_here();
    const void *thread = lua_isthread(L, 1) ? lua_tothread(L, 1) : parse_address(luaL_checkstring(L, 1));
    lh_task *task = lh_task_of(state, thread);
    if (task) {
        lh_task_cancel(task);
    } else if (!lua_isthread(L, 1)) {
        lh_program_each_other(state, post_cancel, (void *)(uintptr_t)thread);
    }
    lua_pushboolean(L, task != NULL);
    return 1;
}

/* -- For coroutine.lua and test.lua -------------------------------------------------------------------------------- */

/* A task given as its thread or by its number; NULL = none. */
static lh_task *to_task(lua_State *L, int index) {
    if (lua_type(L, index) == LUA_TNUMBER) return lh_task_find(lh_state_here(), L, lua_tonumber(L, index));
    lua_State *thread = lua_tothread(L, index);
    return thread ? lh_task_of(lh_state_here(), thread) : NULL;
}

static int core_current_task(lua_State *L) {
    lua_pushnumber(L, lh_task_number(lh_state_here()->running));
    return 1;
}

static int core_can_yield(lua_State *L) {
    lua_pushboolean(L, lh_task_can_yield(L));
    return 1;
}

/* has_stack() -> whether another coroutine may be resumed on top of this one */
static int core_has_stack(lua_State *L) {
    lua_pushboolean(L, lh_stack_has_room());
    return 1;
}

/* yield_token() -> the results of the call that waits further in. In C, so that there is room for them on the stack. */
static int core_yield_token(lua_State *L) {
    lh_task_push_token(L);
    return lua_yield(L, 1);
}

static int core_task_wait_name(lua_State *L) {
    const lh_task *task = to_task(L, 1);
    const char *name = task ? lh_task_wait_name(task) : NULL;
    if (!name) return 0;
    lua_pushstring(L, name);
    return 1;
}

static int core_withdraw(lua_State *L) {
    lh_task *task = lh_state_here()->running;
    lua_pushstring(L, lh_task_wait_name(task));
    lh_task_unpark(task);
    return 1;
}

static int core_is_innermost(lua_State *L) {
    const lh_task *task = to_task(L, 1);
    lua_pushboolean(L, task && task->parked_L == lua_tothread(L, 2));
    return 1;
}

/* interrupt(task, message) -> true when its call will raise the message */
static int core_interrupt(lua_State *L) {
    lh_task *task = to_task(L, 1);
    luaL_checkstring(L, 2);
    lua_settop(L, 2);
    lua_pushboolean(L, task && lh_task_interrupt(task, L));
    return 1;
}

static int core_traceback(lua_State *L) {
    lh_task *task = to_task(L, 1);
    if (!task) return 0;
    lh_traceback_push(L, lh_state_here(), task);
    return 1;
}

/* For a message handler: where the error was, as far as the stack will be lost. */
static int core_frames_in_xpcall(lua_State *L) {
    lh_traceback_push_until_xpcall(L, lh_state_here());
    return 1;
}

/* The message handler of what nobody could catch an error of. */
static int core_report_error(lua_State *L) {
    lua_settop(L, 1);
    lh_program_report_error(L);
    return 1;
}

/* -- For finalizer.lua --------------------------------------------------------------------------------------------- */

/* make_guard(finalizer) -> what LuaJIT is to get for it */
static int core_make_guard(lua_State *L) {
    lua_settop(L, 1);
    lh_finalizer_guard(L);
    return 1;
}

/* make_metatable_guard(key, collector or nil) */
static int core_make_metatable_guard(lua_State *L) {
    lua_settop(L, 2);
    lh_finalizer_metatable_guard(L);
    return 1;
}

static int core_set_finalizer_runner(lua_State *L) {
    lua_settop(L, 1);
    lh_finalizers_set_runner(L);
    return 0;
}

static int core_run_finalizers(lua_State *L) {
    lh_finalizers_run(lh_state_here(), L);
    return 0;
}

/* fail_allocation(n) -> whether this build can: the n-th allocation from now fails; 0 = none */
static int core_fail_allocation(lua_State *L) {
    const long n = (long)luaL_checkinteger(L, 1);
#ifdef LHOTSE_INJECT
    lua_pushboolean(L, 1);
    lh_alloc_fail_at(n);
#else
    (void)n;
    lua_pushboolean(L, 0);
#endif
    return 1;
}

/* counts() -> tasks, armed timers, open sockets, children, pool jobs: what leak checks compare */
static int core_counts(lua_State *L) {
    const lh_state *state = lh_state_here();
    lua_pushnumber(L, (double)state->task_count);
    lua_pushnumber(L, (double)(state->net.loop.timers.count - lh_linger_timers(&state->net)));
    lua_pushnumber(L, (double)state->net.open_count);
    lua_pushnumber(L, (double)state->net.loop.child_count);
    lua_pushnumber(L, (double)state->net.loop.job_count);
    return 5;
}

static const luaL_Reg functions[] = {
    {"coroutine_spawn", mtev_coroutine_spawn},
    {NULL, NULL},
};

static const luaL_Reg core_functions[] = {
    {"sleep", core_sleep},
    {"cancel_task", core_cancel_task},
    {"current_task", core_current_task},
    {"can_yield", core_can_yield},
    {"has_stack", core_has_stack},
    {"yield_token", core_yield_token},
    {"task_wait_name", core_task_wait_name},
    {"withdraw", core_withdraw},
    {"is_innermost", core_is_innermost},
    {"interrupt", core_interrupt},
    {"traceback", core_traceback},
    {"frames_in_xpcall", core_frames_in_xpcall},
    {"report_error", core_report_error},
    {"make_guard", core_make_guard},
    {"make_metatable_guard", core_make_metatable_guard},
    {"set_finalizer_runner", core_set_finalizer_runner},
    {"run_finalizers", core_run_finalizers},
    {"fail_allocation", core_fail_allocation},
    {"counts", core_counts},
    {NULL, NULL},
};

void lh_open_coroutine(lua_State *L) {
    lh_set_functions(L, LH_MTEV, functions);
    lh_set_functions(L, LH_CORE, core_functions);
    lh_task_push_token(L);
    lua_setfield(L, LH_CORE, "TOKEN");
    lh_task_push_interrupted(L);
    lua_setfield(L, LH_CORE, "INTERRUPTED");
    lua_getfield(L, LUA_REGISTRYINDEX, LH_INNER);
    lua_setfield(L, LH_CORE, "inner");
    lua_getfield(L, LUA_REGISTRYINDEX, LH_FAILED);
    lua_setfield(L, LH_CORE, "failed");
    lua_pushlightuserdata(L, &lh_state_here()->finalizers_due);
    lua_setfield(L, LH_CORE, "finalizers_due");
}
