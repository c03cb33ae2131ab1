/* What scripts get: mtev.exec (and mtev.sh), whose other half is lualib/mtev/process.lua.
 *
 * One object follows the command: its child, the two pipes that it is read from, the coroutine that waits. The pipes
 * are read in the loop, each into one growing buffer, without resuming anybody. It is over when the child has exited
 * and both pipes are at their end. When the deadline comes first:
 *   the child has exited, a grandchild keeps a pipe open: the status, with what was read
 *   else SIGTERM to its group; 3 s later SIGKILL; when it has exited: nil, with what was read
 *
 * The object is a userdata held by the coroutine: however the wait ends, its collection releases what is left. */
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "loop/child.h"
#include "mtev/init.h"
#include "net/stream.h"
#include "runtime/collector.h"
#include "runtime/command.h"
#include "runtime/errors.h"
#include "runtime/task.h"
#include "runtime/type.h"

#define EXECUTION "mtev.execution"
#define USAGE "exec(path [,{args} [,{env} [,timeout]]])"

enum { OUTPUTS = 2 }; /* stdout, stderr */

static const lh_ns TERM_TIME = 3 * LH_SECOND;  /* from SIGTERM to SIGKILL */
static const lh_ns KILL_TIME = 10 * LH_SECOND; /* from SIGKILL until we stop waiting for what the kernel cannot end */

typedef enum phase { RUNNING, TERMINATED, KILLED } phase;

typedef struct execution {
    lh_task *task;               /* who waits; NULL = nobody any more */
    lh_child *child;             /* NULL = released */
    lh_socket *outputs[OUTPUTS]; /* read to their end; NULL = released */
    bool is_at_end[OUTPUTS];
    size_t limit; /* bytes of each output */
    bool is_over_limit;
    phase phase;
} execution;

/* Idempotent: kills the child if it runs, and closes the pipes. */
static void release(execution *e) {
    e->task = NULL;
    lh_child_abandon(e->child);
    e->child = NULL;
    for (int i = 0; i < OUTPUTS; i++) {
        lh_socket_close(e->outputs[i]);
        e->outputs[i] = NULL;
    }
}

/* -- Reading ------------------------------------------------------------------------------------------------------- */

/* Nothing more can be kept: the command is ended as at its deadline, so that no shortened output passes for whole. */
static void give_up(execution *e, int i) {
    e->is_at_end[i] = true;
    e->phase = KILLED;
    lh_child_kill_group(e->child, SIGKILL);
}

static void read_output(execution *e, int i) {
    if (e->is_at_end[i]) return;
    const int rv = lh_stream_gather(e->outputs[i]);
    e->is_over_limit = e->is_over_limit || e->outputs[i]->in.length > e->limit;
    if (rv == -ENOMEM || e->outputs[i]->in.length > e->limit) {
        give_up(e, i);
    } else if (rv != LH_STREAM_WAIT) {
        e->is_at_end[i] = true;
    }
}

static void push_output(lua_State *L, const execution *e, int i) {
    const lh_buffer *in = &e->outputs[i]->in;
    const size_t length = in->length < e->limit ? in->length : e->limit;
    lua_pushlstring(L, length ? lh_buffer_bytes(in) : "", length);
}

/* -- The end ------------------------------------------------------------------------------------------------------- */

static int push_results(lua_State *L, execution *e) {
    for (int i = 0; i < OUTPUTS; i++) { /* what came since; a pipe holds less than one call reads */
        e->outputs[i]->is_readable = true;
        read_output(e, i);
    }
    if (e->phase == RUNNING && e->child->has_exited) {
        lua_pushinteger(L, e->child->status);
    } else {
        lua_pushnil(L);
    }
    for (int i = 0; i < OUTPUTS; i++) push_output(L, e, i);
    if (!e->is_over_limit) return 1 + OUTPUTS;
    lua_pushliteral(L, "limit");
    return 1 + OUTPUTS + 1;
}

static int end(execution *e, lua_State *T) {
    const int n = push_results(T, e);
    release(e);
    return n;
}

static int push_end(lh_task *task, lua_State *T, void *context) {
    (void)task;
    return end(context, T);
}

static void end_if_over(execution *e) {
    assert(!e->task || (e->child && e->outputs[0] && e->outputs[1]));
    if (!e->task || !e->child->has_exited) return;
    if (e->phase == RUNNING && !(e->is_at_end[0] && e->is_at_end[1])) return;
    lh_task_answer(e->task, push_end, e);
}

static void on_exit(lh_child *child) { end_if_over(child->owner); }

static void on_readable(lh_socket *socket) {
    execution *e = socket->reader;
    assert(e && (socket == e->outputs[0] || socket == e->outputs[1]));
    read_output(e, socket == e->outputs[0] ? 0 : 1);
    end_if_over(e);
}

static const lh_socket_events events = {.on_readable = on_readable};

/* -- The deadline -------------------------------------------------------------------------------------------------- */

static int wait_longer(lh_task *task, lh_ns duration) {
    lh_timer_start(&lh_state_here()->net.loop.timers, &task->timer, lh_loop_deadline(duration));
    return LH_TASK_STAY;
}

static int on_deadline(lh_task *task, lua_State *T) {
    execution *e = task->object;
    assert(e->task == task && e->child);
    e->child->on_exit = NULL; /* this call ends it if it must */
    if (lh_child_poll(e->child)) return end(e, T);
    e->child->on_exit = on_exit;
    switch (e->phase) {
    case RUNNING:
        e->phase = TERMINATED;
        lh_child_kill_group(e->child, SIGTERM);
        return wait_longer(task, TERM_TIME);
    case TERMINATED:
        e->phase = KILLED;
        lh_child_kill_group(e->child, SIGKILL);
        return wait_longer(task, KILL_TIME);
    default: return end(e, T);
    }
}

static void withdraw(lh_task *task) { release(task->object); }

static const lh_wait exec_wait = {
    .name = "mtev.exec", .is_world = true, .on_deadline = on_deadline, .withdraw = withdraw};

/* -- Starting ------------------------------------------------------------------------------------------------------ */

static int push_failure(lua_State *L, const char *path, int error) {
    lua_pushinteger(L, lh_child_status_of_error(error));
    lua_pushliteral(L, "");
    lua_pushfstring(L, "exec: %s: %s", path, lh_error_text(error));
    return 3;
}

static execution *push_execution(lua_State *L) {
    execution *e = lua_newuserdata(L, sizeof(*e));
    *e = (execution){.child = NULL};
    lua_getfield(L, LUA_REGISTRYINDEX, EXECUTION);
    lua_setmetatable(L, -2);
    return e;
}

/* 0, or a negative errno with nothing left behind. */
static int run(execution *e, const lh_command *command) {
    lh_net *net = &lh_state_here()->net;
    int pipes[3];
    int rv = lh_child_start(&net->loop, command, &e->child, pipes);
    if (rv < 0) return rv;
    e->child->owner = e;
    for (int i = 0; i < OUTPUTS; i++) {
        lh_socket *socket = e->outputs[i] = lh_socket_adopt(net, pipes[i + 1], LH_SOCKET_PIPE, SOCK_STREAM);
        socket->events = &events;
        socket->reader = e;
        socket->is_readable = false; /* watching tells; a try now would find nothing and cost a buffer */
        if (rv == 0) rv = lh_socket_expect(socket);
    }
    if (rv < 0) release(e);
    return rv;
}

/* exec(path, argv, env, timeout, limit) */
static int core_exec(lua_State *L) {
    lh_command command;
    const double limit = lh_check_number(L, 5);
    lua_settop(L, 4);
    const lh_ns timeout = lh_check_timeout(L, 4);
    lh_check_command(L, USAGE, &command);
    lh_check_memory(L);
    command.stdio[0] = LH_STDIO_NULL;
    lh_task *task = lh_task_may_park(L, &exec_wait);
    execution *e = push_execution(L);
    e->limit = limit < (double)LH_STRING_MAX ? (size_t)limit : LH_STRING_MAX;
    const int rv = run(e, &command);
    if (rv < 0) return push_failure(L, command.path, -rv);
    e->task = task;
    e->child->on_exit = on_exit;
    task->object = e;
    lh_task_hold(task, L, lua_gettop(L));
    return lh_task_park(task, L, &exec_wait, lh_loop_deadline(timeout));
}

static int execution_gc(lua_State *L) {
    release(lua_touserdata(L, 1));
    return 0;
}

static const luaL_Reg core_functions[] = {{"exec", core_exec}, {NULL, NULL}};

void lh_open_exec(lua_State *L) {
    lh_set_functions(L, LH_CORE, core_functions);
    lh_type_new(L, EXECUTION);
    lh_set_collector(L, execution_gc);
}
