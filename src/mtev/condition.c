/* What the built-in Lua library gets: conditions, on which coroutines wait until another one signals. Scripts do not
 * see them: mtev.Proc and its like are built on them.
 *
 *     c = core.condition("Proc:ready")    the name that a waiting coroutine shows
 *     core.await(c[, timeout]) -> true, or false on timeout; nil, INTERRUPTED, message
 *     core.signal(c)                      wakes who has waited longest
 *     core.broadcast(c)                   wakes all
 *
 * A condition remembers nothing: look at what you wait for, wait, look again. Someone who was signalled and is then
 * cancelled passes the signal on. */
#include <assert.h>
#include <string.h>

#include "mtev/init.h"
#include "runtime/errors.h"
#include "runtime/task.h"
#include "runtime/type.h"

#define CONDITION "mtev.condition"

typedef struct condition {
    lh_list waiters; /* lh_task.wait_node, first come first */
    const lh_wait *wait;
} condition;

static void signal_first(condition *c) {
    lh_list *node = lh_list_take_first(&c->waiters);
    if (!node) return;
    lh_task *task = LH_CONTAINER(node, lh_task, wait_node);
    assert(task->object == c && task->wait == c->wait);
    lua_pushboolean(task->L, 1);
    lh_task_wake(task, 1);
}

static void leave(lh_task *task) { lh_list_remove(&task->wait_node); }

static int on_deadline(lh_task *task, lua_State *T) {
    leave(task);
    lua_pushboolean(T, 0);
    return 1;
}

static void pass_on(lh_task *task, lua_State *T, int n) {
    if (n > 0 && lua_toboolean(T, -n)) signal_first(task->object);
}

/* A wait is a constant, because a task may show its name at any time: so the names are listed. */
#define WAIT(wait_name)                                                                                                \
    { .name = (wait_name), .is_plain = true, .on_deadline = on_deadline, .withdraw = leave, .on_undelivered = pass_on }
static const lh_wait waits[] = {WAIT("Proc:ready"), WAIT("LogWatch:wait"), WAIT("reverse_connect:ready"),
                                WAIT("Api:request")};

static const lh_wait *find_wait(lua_State *L, const char *name) {
    for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
        if (strcmp(waits[i].name, name) == 0) return &waits[i];
    }
    lh_raise(L, "no condition is named '%s'", name);
}

static int core_condition(lua_State *L) {
    const lh_wait *wait = find_wait(L, luaL_checkstring(L, 1));
    condition *c = lua_newuserdata(L, sizeof(*c));
    c->wait = wait;
    lh_list_init(&c->waiters);
    luaL_getmetatable(L, CONDITION);
    lua_setmetatable(L, -2);
    return 1;
}

static int core_await(lua_State *L) {
    condition *c = lh_type_check(L, 1, CONDITION);
    const lh_ns timeout = lh_check_timeout(L, 2);
    if (timeout == 0) {
        lua_pushboolean(L, 0);
        return 1;
    }
    lh_task *task = lh_task_may_park(L, c->wait);
    lh_task_hold(task, L, 1);
    task->object = c;
    lh_list_append(&c->waiters, &task->wait_node);
    return lh_task_park(task, L, c->wait, lh_loop_deadline(timeout));
}

static int core_signal(lua_State *L) {
    signal_first(lh_type_check(L, 1, CONDITION));
    return 0;
}

static int core_broadcast(lua_State *L) {
    condition *c = lh_type_check(L, 1, CONDITION);
    while (!lh_list_is_empty(&c->waiters)) signal_first(c);
    return 0;
}

static const luaL_Reg core_functions[] = {{"condition", core_condition},
                                          {"await", core_await},
                                          {"signal", core_signal},
                                          {"broadcast", core_broadcast},
                                          {NULL, NULL}};

void lh_open_condition(lua_State *L) {
    lh_set_functions(L, LH_CORE, core_functions);
    lh_type_new(L, CONDITION);
    lua_pop(L, 1);
}
