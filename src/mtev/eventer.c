/* What scripts get: the methods of mtev.eventer that move bytes: read, write, send, sendto, recv, and close. The
 * blocking ones are finished in lualib/mtev/eventer.lua. Opening and naming are in
 * eventer_socket.c, connecting in eventer_connect.c, options in eventer_options.c, own and split in runtime/eventer.c.
 */
#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "data/http_head.h"
#include "mtev/init.h"
#include "net/datagram.h"
#include "net/stream.h"
#include "runtime/errors.h"
#include "runtime/eventer.h"
#include "runtime/io.h"
#include "runtime/option_table.h"
#include "runtime/type.h"
#include "host/options.h"

enum { LINE_MAX_BYTES = 16 * 1024 * 1024 }; /* waited through for a terminator, where the script does not say */

/* -- Options ------------------------------------------------------------------------------------------------------- */

static const char *const timeout_options[] = {"timeout", NULL};
static const char *const read_options[] = {"timeout", "limit", NULL};

/* {timeout = seconds} at `index`, which may be nil, where only `names` are known. */
static lh_ns get_timeout(lua_State *L, int index, const char *const *names) {
    if (!lh_check_options(L, index, names)) return LH_NEVER;
    return lh_clock_from_seconds(lh_option_number(L, index, "timeout", INFINITY));
}

/* A call that does not wait has found nothing: the next one shall hear of what comes meanwhile. */
static void watch_only(lh_socket *socket) {
    const int rv = lh_socket_expect(socket);
    if (rv < 0) socket->is_readable = socket->is_writable = true; /* nobody will tell: the next call tries */
}

/* -- read ---------------------------------------------------------------------------------------------------------- */

static int fail_nil(lua_State *T, const char *message) { return lh_push_nil_error(T, message); }
static int fail_minus1(lua_State *T, const char *message) { return lh_push_minus1_error(T, message); }

/* What lh_stream_read gave, as e:read's results. LH_STREAM_WAIT gives LH_TASK_STAY. */
static int push_read(lua_State *L, const lh_socket *socket, int rv, const char *bytes, size_t length) {
    switch (rv) {
    case LH_STREAM_DONE: lua_pushlstring(L, bytes, length); return 1;
    case LH_STREAM_WAIT: return LH_TASK_STAY;
    case LH_STREAM_END: lua_pushnil(L); return 1;
    case -EMSGSIZE: return lh_push_nil_error(L, "limit");
    case -EBADMSG: return lh_push_nil_error(L, "malformed");
    default: return lh_push_nil_error(L, lh_socket_error_text(socket, -rv));
    }
}

static int attempt_read(lh_task *task, lua_State *T, lh_socket *socket) {
    assert(socket->reader == task);
    (void)task;
    const char *bytes;
    size_t length;
    const int rv = lh_stream_read(socket, &socket->stop, &bytes, &length);
    return push_read(T, socket, rv, bytes, length);
}

static const lh_io_wait read_wait = {.wait = {.name = "eventer:read",
                                              .is_world = true,
                                              .on_deadline = lh_io_on_deadline,
                                              .withdraw = lh_io_withdraw,
                                              .on_run = lh_io_on_run},
                                     .attempt = attempt_read,
                                     .fail = fail_nil};

/* What core.http_head made; scripts have none. Each read begins it from the start. */
static lh_http_head *check_head(lua_State *L, int index) {
    lh_http_head *head = lh_type_test(L, index, LH_HTTP_HEAD_TYPE);
    if (!head) lh_raise_type(L, index, "number or string");
    const bool may_lack_host = head->may_lack_host;
    lh_http_head_init(head, head->kind, head->is_lenient, NULL, 0);
    head->may_lack_host = may_lack_host;
    return head;
}

static lh_read_until check_stop(lua_State *L, int index) {
    lh_read_until stop = {.limit_bytes = LH_STRING_MAX};
    if (lua_isnumber(L, index)) {
        stop.count = (size_t)lh_check_integer(L, index, 0, LH_STRING_MAX);
        return stop;
    }
    if (lua_type(L, index) == LUA_TUSERDATA) {
        stop.head = check_head(L, index);
        stop.terminator_bytes = 1;
        return stop;
    }
    if (lua_type(L, index) != LUA_TSTRING) lh_raise_type(L, index, "number or string");
    stop.terminator = lua_tolstring(L, index, &stop.terminator_bytes);
    if (stop.terminator_bytes == 0) lh_raise(L, "empty terminator");
    if (!lh_options_get()->is_luamtev) stop.limit_bytes = LINE_MAX_BYTES;
    return stop;
}

static void get_limit(lua_State *L, int index, lh_read_until *stop) {
    const double limit = lh_option_number(L, index, "limit", NAN);
    if (isnan(limit)) return; /* not given */
    if (limit < 0) lh_raise_argument(L, index, "limit must be a number of bytes");
    stop->limit_bytes = limit < (double)LH_STRING_MAX ? (size_t)limit : LH_STRING_MAX;
}

/* Stores what a parked read needs; the terminator's bytes must outlive the call. */
static void keep_stop(lh_task *task, lua_State *L, lh_socket *socket, const lh_read_until *stop) {
    socket->stop = *stop;
    if (stop->terminator_bytes == 0) return;
    if (stop->terminator && stop->terminator_bytes <= sizeof(socket->terminator)) {
        memcpy(socket->terminator, stop->terminator, stop->terminator_bytes);
        socket->stop.terminator = socket->terminator;
    } else {
        lh_task_hold(task, L, 2);
    }
}

/* read(e, stop, options, timeout): as the method; `timeout` in seconds is the five-argument form's. */
static int core_read(lua_State *L) {
    lh_eventer *e = lh_check_own_eventer(L, 1, LH_EVENTER_READS);
    lh_read_until stop = check_stop(L, 2);
    lh_ns timeout = LH_NEVER;
    if (!lua_isnoneornil(L, 3)) {
        timeout = get_timeout(L, 3, read_options);
        get_limit(L, 3, &stop);
    }
    if (!lua_isnoneornil(L, 4)) timeout = lh_check_timeout(L, 4);
    lh_socket *socket = e->socket;
    if (socket->reader) lh_io_check_free(L, socket, false);
    const bool is_counted = !stop.terminator && stop.terminator_bytes == 0;
    if (is_counted && stop.count == 0) {
        lua_pushliteral(L, "");
        return 1;
    }
    if (socket->is_listening) return lh_push_nil_error(L, lh_error_text(ENOTCONN));
    if (is_counted && stop.count > stop.limit_bytes) return lh_push_nil_error(L, "limit");
    const char *bytes;
    size_t length;
    if (timeout == 0) lh_socket_renew_turn(socket);
    socket->scanned_bytes = 0; /* another terminator may have been searched before */
    const int rv = lh_stream_read(socket, &stop, &bytes, &length);
    if (rv != LH_STREAM_WAIT) return push_read(L, socket, rv, bytes, length);
    if (timeout == 0) {
        watch_only(socket);
        return lh_push_nil_error(L, "timeout");
    }
    lh_task *task = lh_task_may_park(L, &read_wait.wait);
    keep_stop(task, L, socket, &stop);
    return lh_io_park(task, L, socket, &read_wait, lh_loop_deadline(timeout));
}

/* has_input(e): "data": something came that was not read; "end": nothing will come; nil: neither, as far as is known.
 */
static int core_has_input(lua_State *L) {
    const lh_eventer *e = lh_check_own_eventer(L, 1, LH_EVENTER_READS);
    if (e->socket->reader) lh_io_check_free(L, e->socket, false);
    lh_socket_renew_turn(e->socket);
    const int rv = lh_stream_peek(e->socket);
    if (rv == LH_STREAM_WAIT) return 0;
    lua_pushstring(L, rv == LH_STREAM_DONE ? "data" : "end");
    return 1;
}

/* -- write --------------------------------------------------------------------------------------------------------- */

static int push_write_failure(lua_State *L, const char *message, size_t written) {
    lh_push_minus1_error(L, message);
    lua_pushnumber(L, (double)written);
    return 3;
}

static int push_write(lua_State *L, const lh_socket *socket, int rv, size_t length, size_t written) {
    if (rv == LH_STREAM_WAIT) return LH_TASK_STAY;
    if (rv < 0) return push_write_failure(L, lh_socket_error_text(socket, -rv), written);
    lua_pushnumber(L, (double)length);
    return 1;
}

static int attempt_write(lh_task *task, lua_State *T, lh_socket *socket) {
    assert(socket->writer == task && socket->out.written <= socket->out.length);
    (void)task;
    const int rv = lh_stream_write(socket, socket->out.bytes, socket->out.length, &socket->out.written);
    return push_write(T, socket, rv, socket->out.length, socket->out.written);
}

static int fail_write(lua_State *T, const char *message) { return lh_push_minus1_error(T, message); }

static int on_write_deadline(lh_task *task, lua_State *T) {
    const lh_socket *socket = task->object;
    const int n = push_write_failure(T, "timeout", socket->out.written);
    lh_io_withdraw(task);
    return n;
}

static const lh_io_wait write_wait = {.wait = {.name = "eventer:write",
                                               .is_world = true,
                                               .on_deadline = on_write_deadline,
                                               .withdraw = lh_io_withdraw,
                                               .on_run = lh_io_on_run},
                                      .is_writing = true,
                                      .attempt = attempt_write,
                                      .fail = fail_write};

/* Parks until the string at `index` is written, of which `written` bytes are. */
static int park_write(lua_State *L, lh_socket *socket, int index, size_t written, lh_ns timeout) {
    size_t length;
    const char *bytes = lua_tolstring(L, index, &length);
    assert(bytes && written <= length);
    if (timeout == 0) {
        watch_only(socket);
        return push_write_failure(L, "timeout", written);
    }
    lh_task *task = lh_task_may_park(L, &write_wait.wait);
    lh_task_hold(task, L, index);
    socket->out.bytes = bytes;
    socket->out.length = length;
    socket->out.written = written;
    return lh_io_park(task, L, socket, &write_wait, lh_loop_deadline(timeout));
}

enum { PIECES_MAX = 64 };

/* Checks that the table at `index` is an array of strings; returns their total length. */
static size_t check_pieces(lua_State *L, int index, int count) {
    size_t total = 0;
    for (int i = 1; i <= count; i++) {
        size_t length;
        lua_rawgeti(L, index, i);
        if (!lua_tolstring(L, -1, &length)) lh_raise_argument(L, index, "array of strings expected");
        total += length;
        lua_pop(L, 1);
    }
    return total;
}

/* An array of strings: one writev of the first pieces; if that is not all, the whole is joined and written on. */
static int write_pieces(lua_State *L, lh_socket *socket, lh_ns timeout) {
    const int count = (int)lua_objlen(L, 2);
    const size_t total = check_pieces(L, 2, count);
    struct iovec pieces[PIECES_MAX];
    const int first_count = count < PIECES_MAX ? count : PIECES_MAX;
    luaL_checkstack(L, first_count + 2, "too many pieces");
    for (int i = 0; i < first_count; i++) { /* the strings stay on the stack while their bytes are used */
        lua_rawgeti(L, 2, i + 1);
        size_t length;
        char *bytes = (char *)(uintptr_t)lua_tolstring(L, -1, &length);
        pieces[i] = (struct iovec){.iov_base = bytes, .iov_len = length};
    }
    size_t written = 0;
    const int rv = total > 0 ? lh_stream_write_vector(socket, pieces, first_count, &written) : 0;
    if (rv < 0) return push_write_failure(L, lh_socket_error_text(socket, -rv), written);
    lua_settop(L, 2);
    if (written < total) {
        luaL_Buffer whole;
        luaL_buffinit(L, &whole);
        for (int i = 1; i <= count; i++) {
            lua_rawgeti(L, 2, i);
            luaL_addvalue(&whole);
        }
        luaL_pushresult(&whole); /* stack: e, pieces, whole */
        size_t length;
        const char *bytes = lua_tolstring(L, -1, &length);
        const int more = lh_stream_write(socket, bytes, length, &written);
        if (more == LH_STREAM_WAIT) return park_write(L, socket, lua_gettop(L), written, timeout);
        return push_write(L, socket, more, length, written);
    }
    lua_pushnumber(L, (double)total);
    return 1;
}

static int core_write(lua_State *L) {
    lh_eventer *e = lh_check_own_eventer(L, 1, LH_EVENTER_WRITES);
    lh_socket *socket = e->socket;
    const bool is_array = lua_istable(L, 2);
    size_t length = 0;
    const char *bytes = is_array ? NULL : lh_check_string(L, 2, &length);
    const lh_ns timeout = get_timeout(L, 3, timeout_options);
    lua_settop(L, 2);
    if (socket->writer) lh_io_check_free(L, socket, true);
    if (timeout == 0) lh_socket_renew_turn(socket);
    if (is_array) return write_pieces(L, socket, timeout);
    size_t written = 0;
    const int rv = lh_stream_write(socket, bytes, length, &written);
    if (rv == LH_STREAM_WAIT) return park_write(L, socket, 2, written, timeout);
    return push_write(L, socket, rv, length, written);
}

/* -- send and sendto ----------------------------------------------------------------------------------------------- */

/* One send(2); -EAGAIN to wait. */
static ssize_t send_once(lh_socket *socket, const char *bytes, size_t length, const lh_address *to) {
    if (socket->error) return -socket->error;
    if (socket->layer && to) return -EOPNOTSUPP;
    if (socket->family != LH_SOCKET_PIPE && !socket->layer) return lh_datagram_send(socket, bytes, length, to);
    const struct iovec piece = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = length};
    size_t written;
    const int rv = lh_stream_write_vector(socket, &piece, 1, &written);
    if (rv < 0) return rv;
    return written == 0 && length > 0 ? -EAGAIN : (ssize_t)written;
}

static int push_sent(lua_State *L, const lh_socket *socket, ssize_t n) {
    if (n == -EAGAIN) return LH_TASK_STAY;
    if (n < 0) return lh_push_minus1_error(L, lh_socket_error_text(socket, (int)-n));
    lua_pushnumber(L, (double)n);
    return 1;
}

/* While parked the payload is held, and with it (joined behind it) the address. */
typedef struct sending {
    lh_address to;
    bool has_address;
    size_t length;
    const char *bytes;
} sending;

static int attempt_send(lh_task *task, lua_State *T, lh_socket *socket) {
    (void)task;
    const sending *s = (const void *)socket->out.bytes;
    assert(socket->writer == task && s->bytes);
    return push_sent(T, socket, send_once(socket, s->bytes, s->length, s->has_address ? &s->to : NULL));
}

static const lh_io_wait send_wait = {.wait = {.name = "eventer:send",
                                              .is_world = true,
                                              .on_deadline = lh_io_on_deadline,
                                              .withdraw = lh_io_withdraw,
                                              .on_run = lh_io_on_run},
                                     .is_writing = true,
                                     .attempt = attempt_send,
                                     .fail = fail_minus1};

/* A unix datagram socket is told when its connected peer has room, but not when another has: it is tried again. */
static const lh_ns PAUSE = 5 * LH_MILLISECOND;

static int on_pause_over(lh_task *task, lua_State *T) {
    lh_socket *socket = task->object;
    socket->is_writable = true;
    const int n = attempt_send(task, T, socket);
    if (n == LH_TASK_STAY) {
        lh_timer_start(&socket->net->loop.timers, &task->timer, lh_loop_deadline(PAUSE));
    } else {
        lh_io_withdraw(task);
    }
    return n;
}

static const lh_io_wait unix_send_wait = {.wait = {.name = "eventer:send",
                                                   .is_world = true,
                                                   .on_deadline = on_pause_over,
                                                   .withdraw = lh_io_withdraw,
                                                   .on_run = lh_io_on_run},
                                          .is_writing = true,
                                          .attempt = attempt_send,
                                          .fail = fail_minus1};

/* Sends the string at 2, to `to` or the connected peer. */
static int send_or_park(lua_State *L, lh_socket *socket, const lh_address *to) {
    size_t length;
    const char *bytes = lh_check_string(L, 2, &length);
    lh_io_check_free(L, socket, true);
    const int n = push_sent(L, socket, send_once(socket, bytes, length, to));
    if (n != LH_TASK_STAY) return n;
    lh_task *task = lh_task_may_park(L, &send_wait.wait);
    /* A userdata keeps the address; its environment keeps the payload. */
    sending *s = lua_newuserdata(L, sizeof(*s));
    *s = (sending){.length = length, .bytes = bytes, .has_address = to != NULL};
    if (to) s->to = *to;
    lua_createtable(L, 1, 0);
    lua_pushvalue(L, 2);
    lua_rawseti(L, -2, 1);
    lua_setfenv(L, -2);
    lh_task_hold(task, L, lua_gettop(L));
    socket->out.bytes = (const void *)s;
    if (to && socket->family == AF_UNIX) return lh_io_park(task, L, socket, &unix_send_wait, lh_loop_deadline(PAUSE));
    return lh_io_park(task, L, socket, &send_wait, LH_NEVER);
}

static int core_send(lua_State *L) {
    lh_eventer *e = lh_check_eventer_half(L, 1, LH_EVENTER_WRITES);
    return send_or_park(L, e->socket, NULL);
}

static int core_sendto(lua_State *L) {
    lh_eventer *e = lh_check_eventer_half(L, 1, LH_EVENTER_WRITES);
    lh_check_string(L, 2, NULL);
    lh_address to;
    const char *message = lh_check_target(L, e->socket, 3, 4, &to);
    if (message) return lh_push_minus1_error(L, message);
    return send_or_park(L, e->socket, &to);
}

/* -- recv ---------------------------------------------------------------------------------------------------------- */

static int push_chunk(lua_State *L, const char *bytes, size_t length, const lh_address *from, bool is_truncated) {
    char host[LH_ADDRESS_TEXT_MAX];
    lua_pushnumber(L, (double)length);
    lua_pushlstring(L, bytes, length);
    if (from->length == 0) return 2;
    lua_pushlstring(L, host, lh_address_host(from, host));
    lua_pushinteger(L, (lua_Integer)lh_address_port(from));
    lua_pushboolean(L, is_truncated);
    return 5;
}

static int receive_chunk(lua_State *L, lh_socket *socket, size_t count) {
    const char *bytes;
    size_t length;
    lh_address from = {.length = 0};
    if (socket->type == SOCK_DGRAM) {
        bool is_truncated;
        const int rv = lh_datagram_receive(socket, count, &bytes, &length, &from, &is_truncated);
        if (rv == -EAGAIN) return LH_TASK_STAY;
        if (rv < 0) return lh_push_minus1_error(L, lh_error_text(-rv));
        return push_chunk(L, bytes, length, &from, is_truncated);
    }
    const int rv = lh_stream_read_some(socket, count, &bytes, &length);
    if (rv == LH_STREAM_WAIT) return LH_TASK_STAY;
    if (rv < 0) return lh_push_minus1_error(L, lh_socket_error_text(socket, -rv));
    if (rv == LH_STREAM_END) {
        lua_pushinteger(L, 0);
        lua_pushliteral(L, "");
        return 2;
    }
    if (lh_socket_peer_address(socket, &from) < 0) from.length = 0;
    return push_chunk(L, bytes, length, &from, false);
}

static int attempt_recv(lh_task *task, lua_State *T, lh_socket *socket) {
    assert(socket->reader == task);
    (void)task;
    return receive_chunk(T, socket, socket->stop.count);
}

static const lh_io_wait recv_wait = {.wait = {.name = "eventer:recv",
                                              .is_world = true,
                                              .on_deadline = lh_io_on_deadline,
                                              .withdraw = lh_io_withdraw,
                                              .on_run = lh_io_on_run},
                                     .attempt = attempt_recv,
                                     .fail = fail_minus1};

static int core_recv(lua_State *L) {
    lh_eventer *e = lh_check_eventer_half(L, 1, LH_EVENTER_READS);
    const size_t count = (size_t)lh_check_integer(L, 2, 0, INT64_C(1) << 53);
    const lh_ns timeout = get_timeout(L, 3, timeout_options);
    lh_socket *socket = e->socket;
    lh_io_check_free(L, socket, false);
    if (socket->is_listening) return lh_push_minus1_error(L, lh_error_text(ENOTCONN));
    if (count == 0 && socket->type != SOCK_DGRAM) {
        lua_pushinteger(L, 0);
        lua_pushliteral(L, "");
        return 2;
    }
    if (timeout == 0) lh_socket_renew_turn(socket);
    const int n = receive_chunk(L, socket, count);
    if (n != LH_TASK_STAY) return n;
    if (timeout == 0) {
        watch_only(socket);
        return lh_push_minus1_error(L, "timeout");
    }
    lh_task *task = lh_task_may_park(L, &recv_wait.wait);
    socket->stop.count = count;
    return lh_io_park(task, L, socket, &recv_wait, lh_loop_deadline(timeout));
}

/* -- close --------------------------------------------------------------------------------------------------------- */

static int eventer_close(lua_State *L) {
    lh_eventer *e = lh_check_any_eventer(L, 1);
    if (e->life == LH_EVENTER_DISOWNED) lh_check_eventer(L, 1); /* raises: it is not this handle's any more */
    lh_eventer_close(e);
    lua_pushinteger(L, 0);
    return 1;
}

static const luaL_Reg core_functions[] = {
    {"has_input", core_has_input}, {"read", core_read}, {"write", core_write}, {"send", core_send},
    {"sendto", core_sendto},       {"recv", core_recv}, {NULL, NULL},
};

static const luaL_Reg methods[] = {{"close", eventer_close}, {NULL, NULL}};

void lh_open_eventer(lua_State *L) {
    lh_set_functions(L, LH_CORE, core_functions);
    lh_eventer_open_type(L, methods);
    lua_setfield(L, LH_CORE, "eventer_methods");
}
