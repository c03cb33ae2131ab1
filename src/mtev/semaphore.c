/* What scripts get: mtev.semaphore and its methods. `acquire` is finished in lualib/mtev/semaphore.lua. */
#include "mtev/init.h"
#include "runtime/errors.h"
#include "runtime/shared.h"
#include "runtime/type.h"

#define SEMAPHORE "mtev.semaphore"

static lh_shared_queue *check_semaphore(lua_State *L) {
    if (lua_type(L, 1) == LUA_TUSERDATA && lua_getmetatable(L, 1)) {
        lua_getfield(L, LUA_REGISTRYINDEX, SEMAPHORE);
        const bool is_semaphore = lua_rawequal(L, -1, -2);
        lua_pop(L, 2);
        if (is_semaphore) return *(lh_shared_queue **)lua_touserdata(L, 1);
    }
    lh_raise_type(L, 1, SEMAPHORE);
}

static int mtev_semaphore(lua_State *L) {
    size_t length;
    const char *name = lh_check_string(L, 1, &length);
    const int64_t value = lua_isnoneornil(L, 2) ? 0 : lh_check_integer(L, 2, -(INT64_C(1) << 53), INT64_C(1) << 53);
    lh_check_memory(L);
    lh_shared_queue **semaphore = lua_newuserdata(L, sizeof(*semaphore));
    *semaphore = lh_shared_semaphore(name, length, value);
    lua_getfield(L, LUA_REGISTRYINDEX, SEMAPHORE);
    lua_setmetatable(L, -2);
    return 1;
}

/* -- acquire ------------------------------------------------------------------------------------------------------- */

static int push_taken(lh_task *task, lua_State *T) {
    lh_shared_receive(task->object);
    lua_pushboolean(T, 1);
    return 1;
}

/* A unit that is under way counts: it arrives within microseconds, and must not be lost. */
static int push_timeout(lh_task *task, lua_State *T) {
    if (lh_shared_is_granted(task->object)) return LH_TASK_STAY;
    lh_shared_give_up(task->object);
    lua_pushboolean(T, 0);
    return 1;
}

static void give_up(lh_task *task) { lh_shared_give_up(task->object); }

static void put_back(lh_task *task, lua_State *T, int n) {
    (void)T;
    (void)n;
    lh_shared_put_back(task->object);
}

static const lh_wait acquire_wait = {.name = "semaphore:acquire",
                                     .is_plain = true,
                                     .on_deadline = push_timeout,
                                     .withdraw = give_up,
                                     .on_undelivered = put_back,
                                     .on_run = push_taken};

static int core_acquire(lua_State *L) {
    lh_shared_queue *semaphore = check_semaphore(L);
    const lh_ns timeout = lh_check_timeout(L, 2);
    lh_blob *unit;
    lh_shared_waiter *waiter;
    bool is_taken = lh_shared_take(semaphore, &unit);
    if (!is_taken && timeout > 0) {
        lh_task *task = lh_task_may_park(L, &acquire_wait);
        is_taken = lh_shared_take_or_wait(semaphore, &unit, task, &waiter);
        if (!is_taken) {
            task->object = waiter;
            return lh_task_park(task, L, &acquire_wait, lh_loop_deadline(timeout));
        }
    }
    lua_pushboolean(L, is_taken);
    return 1;
}

static int semaphore_try_acquire(lua_State *L) {
    lh_blob *unit;
    lua_pushboolean(L, lh_shared_take(check_semaphore(L), &unit));
    return 1;
}

static int semaphore_release(lua_State *L) {
    lh_shared_put(check_semaphore(L), NULL);
    return 0;
}

static const luaL_Reg functions[] = {{"semaphore", mtev_semaphore}, {NULL, NULL}};
static const luaL_Reg core_functions[] = {{"acquire", core_acquire}, {NULL, NULL}};
static const luaL_Reg methods[] = {
    {"try_acquire", semaphore_try_acquire},
    {"release", semaphore_release},
    {NULL, NULL},
};

void lh_open_semaphore(lua_State *L) {
    lh_set_functions(L, LH_MTEV, functions);
    lh_set_functions(L, LH_CORE, core_functions);
    lh_type_new(L, SEMAPHORE);
    lua_newtable(L);
    lh_set_functions(L, lua_gettop(L), methods);
    lua_pushvalue(L, -1);
    lua_setfield(L, LH_CORE, "semaphore_methods");
    lua_setfield(L, -2, "__index");
}
