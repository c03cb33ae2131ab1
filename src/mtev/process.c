/* What scripts get: mtev.spawn and the methods of mtev.process: pid, wait, kill, pgkill. The W* functions, and the half
 * of `wait` that raises, are in lualib/mtev/process.lua; mtev.exec is in exec.c.
 *
 * A process object holds its lh_child. Any number of coroutines may wait for it; each keeps the object alive meanwhile.
 * When Lua collects the object, a child that still runs is killed. */
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/descriptors.h"
#include "base/error.h"
#include "loop/child.h"
#include "mtev/init.h"
#include "runtime/collector.h"
#include "runtime/command.h"
#include "runtime/errors.h"
#include "runtime/eventer.h"
#include "runtime/option_table.h"
#include "runtime/type.h"

#define PROCESS "mtev.process"
#define USAGE "spawn(path [,{args} [,{env}]])"

typedef struct process {
    lh_child *child; /* NULL: it never started */
    int status;      /* what wait gives when it never started */
    lh_list waiters; /* lh_task.wait_node, first come first */
} process;

static process *check_process(lua_State *L, int index) {
    if (lua_type(L, index) == LUA_TUSERDATA && lua_getmetatable(L, index)) {
        lua_getfield(L, LUA_REGISTRYINDEX, PROCESS);
        const bool is_process = lua_rawequal(L, -1, -2);
        lua_pop(L, 2);
        if (is_process) return lua_touserdata(L, index);
    }
    lh_raise_type(L, index, PROCESS);
}

/* -- spawn --------------------------------------------------------------------------------------------------------- */

static lh_stdio check_stdio(lua_State *L, int index, const char *key) {
    static const char *const names[] = {"pipe", "null", "inherit"};
    const char *name = lua_tostring(L, -1);
    for (int i = 0; i < 3; i++) {
        if (name && strcmp(name, names[i]) == 0) return (lh_stdio)i;
    }
    lh_raise_argument(L, index, lua_pushfstring(L, "%s must be 'pipe', 'null' or 'inherit'", key));
}

/* NULL = none. */
static const char *check_dir(lua_State *L, int index) {
    size_t length = 0;
    lua_getfield(L, index, "dir");
    const char *dir = lua_isnil(L, -1) ? NULL : lua_tolstring(L, -1, &length);
    if (!lua_isnil(L, -1) && (lua_type(L, -1) != LUA_TSTRING || strlen(dir) != length)) {
        lh_raise_argument(L, index, "dir must be a path");
    }
    lua_pop(L, 1);
    return dir;
}

/* {dir =, stdin =, stdout =, stderr =} at `index`; the strings stay in the table. */
static void get_options(lua_State *L, int index, lh_command *command) {
    static const char *const names[] = {"stdin", "stdout", "stderr", "dir", NULL};
    if (!lh_check_options(L, index, names)) return;
    for (int i = 0; i < 3; i++) {
        lua_getfield(L, index, names[i]);
        if (!lua_isnil(L, -1)) command->stdio[i] = check_stdio(L, index, names[i]);
        lua_pop(L, 1);
    }
    command->dir = check_dir(L, index);
}

static process *push_process(lua_State *L) {
    process *p = lua_newuserdata(L, sizeof(*p));
    *p = (process){.child = NULL};
    lh_list_init(&p->waiters);
    lua_getfield(L, LUA_REGISTRYINDEX, PROCESS);
    lua_setmetatable(L, -2);
    return p;
}

static int push_status(lua_State *L, const process *p) {
    assert(!p->child || p->child->has_exited);
    if (p->child && p->child->error) {
        lua_pushnil(L);
        lua_pushinteger(L, p->child->error);
        return 2;
    }
    lua_pushinteger(L, p->child ? p->child->status : p->status);
    return 1;
}

/* Woken, not resumed: it may be a script's call that has found out. */
static void on_exit(lh_child *child) {
    process *p = child->owner;
    assert(p->child == child);
    for (lh_list *node; (node = lh_list_take_first(&p->waiters));) {
        lh_task *task = LH_CONTAINER(node, lh_task, wait_node);
        lh_task_wake(task, push_status(task->L, p));
    }
}

/* Pushes an eventer for each pipe, nil for what is none. */
static void push_pipes(lua_State *L, const int pipes[3]) {
    lh_state *state = lh_state_here();
    for (int i = 0; i < 3; i++) {
        if (pipes[i] < 0) {
            lua_pushnil(L);
        } else {
            lh_eventer_push(L, lh_socket_adopt(&state->net, pipes[i], LH_SOCKET_PIPE, SOCK_STREAM));
        }
    }
}

/* -> process, errno, and a text if it was the directory's fault; `process` is on top. */
static int push_not_started(lua_State *L, process *p, const lh_command *command, int error) {
    const int dir_error = lh_child_check_dir(command);
    p->status = lh_child_status_of_error(error);
    lua_pushinteger(L, error);
    if (dir_error != -error) return 2;
    lua_pushfstring(L, "%s: %s", command->dir, lh_error_text(error));
    return 3;
}

static int mtev_spawn(lua_State *L) {
    lh_command command;
    lh_task_current(L, "mtev.spawn");
    lua_settop(L, 4);
    lh_check_command(L, USAGE, &command);
    lh_check_memory(L);
    get_options(L, 4, &command);
    luaL_checkstack(L, 8, "spawn");
    lh_eventer_reserve(L, 3);
    process *p = push_process(L);
    int pipes[3];
    const int rv = lh_child_start(&lh_state_here()->net.loop, &command, &p->child, pipes);
    if (rv < 0) return push_not_started(L, p, &command, -rv);
    p->child->owner = p;
    p->child->on_exit = on_exit;
    push_pipes(L, pipes);
    return 4;
}

/* -- pid, wait ----------------------------------------------------------------------------------------------------- */

static int process_pid(lua_State *L) {
    const process *p = check_process(L, 1);
    lua_pushinteger(L, p->child ? p->child->pid : -1);
    return 1;
}

static int push_timeout(lua_State *L) {
    lua_pushnil(L);
    lua_pushinteger(L, ETIMEDOUT);
    return 2;
}

static void leave(lh_task *task) { lh_list_remove(&task->wait_node); }

static int on_deadline(lh_task *task, lua_State *T) {
    leave(task);
    return push_timeout(T);
}

static const lh_wait wait_wait = {
    .name = "process:wait", .is_world = true, .on_deadline = on_deadline, .withdraw = leave};

static int core_process_wait(lua_State *L) {
    process *p = check_process(L, 1);
    const lh_ns timeout = lua_isnoneornil(L, 2) ? 0 : lh_check_timeout(L, 2);
    if (!p->child || lh_child_poll(p->child)) return push_status(L, p);
    if (timeout == 0) return push_timeout(L);
    lh_task *task = lh_task_may_park(L, &wait_wait);
    lh_task_hold(task, L, 1);
    lh_list_append(&p->waiters, &task->wait_node);
    return lh_task_park(task, L, &wait_wait, lh_loop_deadline(timeout));
}

/* -- kill, pgkill -------------------------------------------------------------------------------------------------- */

/* A number, or a name with or without "SIG". */
static int check_signal(lua_State *L, int index) {
    if (lua_isnoneornil(L, index)) return SIGTERM;
    if (lua_type(L, index) != LUA_TSTRING || lua_isnumber(L, index))
        return (int)lh_check_integer(L, index, 0, NSIG - 1);
    const char *name = lua_tostring(L, index);
    if (strncmp(name, "SIG", 3) == 0) name += 3;
    for (int i = 1; i < NSIG; i++) {
        const char *known = sigabbrev_np(i);
        if (known && strcmp(known, name) == 0) return i;
    }
    lh_raise_argument(L, index, "unknown signal");
}

static int push_killed(lua_State *L, int rv) {
    lua_pushboolean(L, rv == 0);
    if (rv == 0) {
        lua_pushnil(L);
    } else {
        lua_pushinteger(L, -rv);
    }
    return 2;
}

static int process_kill(lua_State *L) {
    process *p = check_process(L, 1);
    const int signal = check_signal(L, 2);
    return push_killed(L, p->child ? lh_child_kill(p->child, signal) : -ESRCH);
}

static int process_pgkill(lua_State *L) {
    process *p = check_process(L, 1);
    const int signal = check_signal(L, 2);
    return push_killed(L, p->child ? lh_child_kill_group(p->child, signal) : -ESRCH);
}

/* -- Metamethods --------------------------------------------------------------------------------------------------- */

static int process_gc(lua_State *L) {
    process *p = lua_touserdata(L, 1);
    if (!lh_collector_may_close(!lh_list_is_empty(&p->waiters))) return 0;
    lh_child_abandon(p->child);
    p->child = NULL;
    return 0;
}

static int process_tostring(lua_State *L) {
    const process *p = check_process(L, 1);
    if (!p->child) {
        lua_pushliteral(L, PROCESS ": not started");
        return 1;
    }
    const int status = p->child->status;
    char state[64];
    if (!p->child->has_exited) {
        snprintf(state, sizeof(state), "running");
    } else if (WIFSIGNALED(status)) {
        const char *name = sigabbrev_np(WTERMSIG(status));
        snprintf(state, sizeof(state), "ended by signal %d (SIG%s)", WTERMSIG(status), name ? name : "?");
    } else {
        snprintf(state, sizeof(state), "exited with %d", WEXITSTATUS(status));
    }
    lua_pushfstring(L, PROCESS ": %d %s", (int)p->child->pid, state);
    return 1;
}

/* -- For Proc.lua -------------------------------------------------------------------------------------------------- */

static int core_strerror(lua_State *L) {
    lua_pushstring(L, lh_error_text((int)luaL_checkinteger(L, 1)));
    return 1;
}

static int core_monotonic(lua_State *L) {
    lua_pushnumber(L, (double)lh_clock_now() / (double)LH_SECOND);
    return 1;
}

static const luaL_Reg functions[] = {{"spawn", mtev_spawn}, {NULL, NULL}};
static const luaL_Reg core_functions[] = {
    {"process_wait", core_process_wait}, {"strerror", core_strerror}, {"monotonic", core_monotonic}, {NULL, NULL}};
static const luaL_Reg methods[] = {
    {"pid", process_pid},
    {"kill", process_kill},
    {"pgkill", process_pgkill},
    {NULL, NULL},
};
static const luaL_Reg metamethods[] = {{"__tostring", process_tostring}, {NULL, NULL}};

void lh_open_process(lua_State *L) {
    lh_set_functions(L, LH_MTEV, functions);
    lh_set_functions(L, LH_CORE, core_functions);
    lua_pushinteger(L, ETIMEDOUT);
    lua_setfield(L, LH_CORE, "ETIMEDOUT");
    lh_type_new(L, PROCESS);
    lh_set_functions(L, lua_gettop(L), metamethods);
    lh_set_collector(L, process_gc);
    lua_newtable(L);
    lh_set_functions(L, lua_gettop(L), methods);
    lua_pushvalue(L, -1);
    lua_setfield(L, LH_CORE, "process_methods");
    lua_setfield(L, -2, "__index");
}
