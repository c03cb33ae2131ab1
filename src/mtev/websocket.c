/* What lualib/mtev/websocket.lua gets: WebSocket connections after their handshake.
 *
 *     ws = core.ws_open(e, message_max, close_timeout[, window_bits, is_out_independent, is_in_independent])
 *                                                        over e, which is closed from then on; nil, message. With
 *                                                        window_bits messages are compressed (RFC 7692)
 *     core.ws_next(ws) -> opcode, payload                waits for a message
 *                         nil, error, code               it is over; error nil: by an orderly close
 *                         nil, INTERRUPTED, message
 *     core.ws_send(ws, opcode, payload) -> true; false: it is over; nil: there is no room, wait first
 *     core.ws_wait_for_room(ws) -> true; nil, INTERRUPTED, message
 *     core.ws_shutdown(ws, code, reason)                 sends a close frame
 *     core.ws_close(ws)                                  ends it at once */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "data/json.h"
#include "mtev/init.h"
#include "net/websocket.h"
#include "runtime/collector.h"
#include "runtime/errors.h"
#include "runtime/eventer.h"
#include "runtime/type.h"

#define WEBSOCKET "mtev.websocket"

typedef struct websocket {
    lh_websocket *websocket;     /* NULL = closed */
    lh_websocket_message *taken; /* which there was no memory to hand out, NULL = none */
    lh_task *reader;             /* parked in ws_next, which holds this userdata; NULL = nobody */
    lh_list senders;             /* lh_task.wait_node, parked in ws_wait_for_room, each of which holds this userdata */
} websocket;

static websocket *check_websocket(lua_State *L) { return lh_type_check(L, 1, WEBSOCKET); }

/* -- Receiving ----------------------------------------------------------------------------------------------------- */

static int push_end(lua_State *L, const websocket *object) {
    lua_pushnil(L);
    const char *error = object->websocket ? lh_websocket_error(object->websocket) : "closed";
    if (error) {
        lua_pushstring(L, error);
    } else {
        lua_pushnil(L);
    }
    lua_pushinteger(L, object->websocket ? lh_websocket_close_code(object->websocket) : LH_WEBSOCKET_ABNORMAL);
    return 3;
}

/* The next message or the end, or LH_TASK_STAY. */
static int push_next(lua_State *L, websocket *object) {
    if (!object->taken && object->websocket) object->taken = lh_websocket_take(object->websocket);
    lh_websocket_message *message = object->taken;
    if (!message)
        return object->websocket && !lh_websocket_is_over(object->websocket) ? LH_TASK_STAY : push_end(L, object);
    lua_pushinteger(L, message->opcode);
    lua_pushlstring(L, message->bytes, message->length);
    object->taken = NULL;
    lh_free(message);
    return 2;
}

static void forget_taken(websocket *object) {
    lh_free(object->taken);
    object->taken = NULL;
}

static bool has_room(const websocket *object) { return !object->websocket || !lh_websocket_is_full(object->websocket); }

/* Those that wait for room go on; whoever finds none again waits anew. */
static void wake_senders(websocket *object) {
    for (lh_list *node; has_room(object) && (node = lh_list_take_first(&object->senders));) {
        lh_task *task = LH_CONTAINER(node, lh_task, wait_node);
        assert(task->object == object);
        lua_pushboolean(task->L, 1);
        lh_task_wake(task, 1);
    }
}

static int push_news(lh_task *task, lua_State *T, void *context) {
    (void)task;
    websocket *object = context;
    assert(object->reader == task);
    const int n = push_next(T, object);
    if (n != LH_TASK_STAY) object->reader = NULL;
    return n;
}

static void on_news(lh_websocket *which) {
    websocket *object = lh_websocket_owner(which);
    assert(object->websocket == which);
    wake_senders(object);
    if (object->reader) lh_task_answer(object->reader, push_news, object);
}

static void withdraw_reader(lh_task *task) {
    websocket *object = task->object;
    assert(object->reader == task);
    object->reader = NULL;
}

/* It was closed by another coroutine. */
static int push_closed(lh_task *task, lua_State *T) { return push_end(T, task->object); }

static const lh_wait next_wait = {
    .name = "mtev.websocket_client", .is_world = true, .withdraw = withdraw_reader, .on_run = push_closed};

static int core_ws_next(lua_State *L) {
    websocket *object = check_websocket(L);
    const int n = push_next(L, object);
    if (n != LH_TASK_STAY) return n;
    lh_task *task = lh_task_may_park(L, &next_wait);
    lh_task_hold(task, L, 1);
    task->object = object;
    object->reader = task;
    return lh_task_park(task, L, &next_wait, LH_NEVER);
}

/* -- Sending ------------------------------------------------------------------------------------------------------- */

static int core_ws_send(lua_State *L) {
    const websocket *object = check_websocket(L);
    const int opcode = (int)luaL_checkinteger(L, 2);
    size_t length;
    const char *bytes = luaL_checklstring(L, 3, &length);
    if (!has_room(object)) {
        lua_pushnil(L);
        return 1;
    }
    const int rv = object->websocket ? lh_websocket_send(object->websocket, opcode, bytes, length) : -EPIPE;
    if (rv == -ENOMEM) lh_raise(L, "send: not enough memory");
    lua_pushboolean(L, rv == 0);
    return 1;
}

static void withdraw_sender(lh_task *task) { lh_list_remove(&task->wait_node); }

static const lh_wait room_wait = {.name = "websocket_client:send", .is_world = true, .withdraw = withdraw_sender};

static int core_ws_wait_for_room(lua_State *L) {
    websocket *object = check_websocket(L);
    if (has_room(object)) {
        lua_pushboolean(L, 1);
        return 1;
    }
    lh_task *task = lh_task_may_park(L, &room_wait);
    lh_task_hold(task, L, 1);
    task->object = object;
    lh_list_append(&object->senders, &task->wait_node);
    return lh_task_park(task, L, &room_wait, LH_NEVER);
}

static int core_ws_is_utf8(lua_State *L) {
    size_t length;
    const char *bytes = luaL_checklstring(L, 1, &length);
    lua_pushboolean(L, lh_json_is_utf8(bytes, length));
    return 1;
}

/* -- Life ---------------------------------------------------------------------------------------------------------- */

static int core_ws_open(lua_State *L) {
    lh_eventer *e = lh_check_own_eventer(L, 1, LH_EVENTER_READS | LH_EVENTER_WRITES);
    lua_settop(L, 6);
    websocket *object = lua_newuserdata(L, sizeof(*object));
    const lh_websocket_options options = {.message_max = (uint64_t)lh_check_integer(L, 2, 1, INT64_C(1) << 53),
                                          .close_timeout_ns = lh_check_timeout(L, 3),
                                          .is_deflating = lua_isnumber(L, 4),
                                          .deflate = {.out_window_bits = (int)lua_tointeger(L, 4),
                                                      .is_out_independent = lua_toboolean(L, 5),
                                                      .is_in_independent = lua_toboolean(L, 6)},
                                          .on_news = on_news,
                                          .owner = object};
    *object = (websocket){0};
    lh_list_init(&object->senders);
    luaL_getmetatable(L, WEBSOCKET);
    lua_setmetatable(L, -2);
    object->websocket = lh_websocket_open(lh_eventer_take_socket(L, e), &options);
    return object->websocket ? 1 : lh_push_nil_error(L, lh_error_text(ENOMEM));
}

static int core_ws_shutdown(lua_State *L) {
    const websocket *object = check_websocket(L);
    const int code = (int)luaL_checkinteger(L, 2);
    if (object->websocket) lh_websocket_shutdown(object->websocket, code, luaL_checkstring(L, 3));
    return 0;
}

/* Who waits on it is told. */
static int core_ws_close(lua_State *L) {
    websocket *object = check_websocket(L);
    lh_websocket *closing = object->websocket;
    object->websocket = NULL;
    forget_taken(object);
    wake_senders(object);
    if (object->reader) {
        lh_task *task = object->reader;
        object->reader = NULL;
        lh_task_wake(task, 0);
    }
    lh_websocket_close(closing);
    return 0;
}

static int websocket_gc(lua_State *L) {
    websocket *object = lua_touserdata(L, 1);
    if (!lh_collector_may_close(object->reader || !lh_list_is_empty(&object->senders))) return 0;
    lh_websocket_close(object->websocket);
    object->websocket = NULL;
    forget_taken(object);
    return 0;
}

static const luaL_Reg core_functions[] = {
    {"ws_open", core_ws_open},         {"ws_next", core_ws_next},
    {"ws_send", core_ws_send},         {"ws_wait_for_room", core_ws_wait_for_room},
    {"ws_shutdown", core_ws_shutdown}, {"ws_close", core_ws_close},
    {"ws_is_utf8", core_ws_is_utf8},   {NULL, NULL}};

void lh_open_websocket(lua_State *L) {
    lh_set_functions(L, LH_CORE, core_functions);
    lh_new_type(L, WEBSOCKET, websocket_gc);
}
