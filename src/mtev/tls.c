/* What scripts get: e:ssl_upgrade_socket (finished in lualib/mtev/tls.lua, which reads its many forms). e:ssl_ctx is in
 * ssl_ctx.c. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "mtev/init.h"
#include "net/stream.h"
#include "net/tls.h"
#include "net/tls_name.h"
#include "runtime/errors.h"
#include "runtime/eventer.h"
#include "runtime/io.h"
#include "runtime/fields.h"
#include "runtime/type.h"
#include "host/options.h"

#define CONTEXT "mtev.tls_context"

/* -- Settings: the table that tls.lua makes; it stays on the stack as long as the pointers are used ---------------- */

static lh_tls_identity get_identity(lua_State *L, int table) {
    return (lh_tls_identity){.name = lh_field_text(L, table, "name", NULL),
                             .certificate = lh_field_text(L, table, "certificate", NULL),
                             .key = lh_field_text(L, table, "key", NULL)};
}

/* The array `hosts`, in memory of Lua's that stays on the stack. */
static void get_hosts(lua_State *L, int table, lh_tls_config *config) {
    lua_getfield(L, table, "hosts");
    config->host_count = lua_istable(L, -1) ? lua_objlen(L, -1) : 0;
    lh_tls_identity *hosts = lua_newuserdata(L, (config->host_count + 1) * sizeof(*hosts));
    for (size_t i = 0; i < config->host_count; i++) {
        lua_rawgeti(L, -2, (int)i + 1);
        hosts[i] = get_identity(L, lua_gettop(L));
        lua_pop(L, 1);
    }
    config->hosts = hosts;
}

static lh_tls_config get_config(lua_State *L, int table) {
    lh_tls_config config = {.is_server = lh_field_boolean(L, table, "is_server"),
                            .identity = get_identity(L, table),
                            .ca = lh_field_text(L, table, "ca", NULL),
                            .crl = lh_field_text(L, table, "crl", NULL),
                            .ciphers = lh_field_text(L, table, "ciphers", NULL),
                            .versions = (unsigned)lh_field_number(L, table, "versions"),
                            .prefers_own_ciphers = lh_field_boolean(L, table, "prefers_own_ciphers"),
                            .is_verifying = lh_field_boolean(L, table, "is_verifying"),
                            .accepts_unknown_issuer = lh_field_boolean(L, table, "accepts_unknown_issuer"),
                            .ignores_dates = lh_field_boolean(L, table, "ignores_dates"),
                            .requests_certificate = lh_field_boolean(L, table, "requests_certificate"),
                            .requires_certificate = lh_field_boolean(L, table, "requires_certificate")};
    config.alpn = lh_field_text(L, table, "alpn", &config.alpn_length);
    get_hosts(L, table, &config);
    return config;
}

/* -- Contexts: objects that hold one ------------------------------------------------------------------------------ */

/* tls_context(settings) -> context, or nil, message */
static int core_tls_context(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lh_tls_context **object = lua_newuserdata(L, sizeof(*object));
    *object = NULL;
    luaL_getmetatable(L, CONTEXT);
    lua_setmetatable(L, -2);
    const lh_tls_config config = get_config(L, 1);
    char error[LH_TLS_ERROR_MAX];
    lh_tls_context *context = lh_tls_context_get(&lh_state_here()->net, &config, error);
    if (!context) return lh_push_nil_error(L, error);
    lh_tls_context_hold(context);
    *object = context;
    lua_settop(L, 2);
    assert(lua_touserdata(L, 2) == object);
    return 1;
}

static int core_tls_is_current(lua_State *L) {
    lh_tls_context **object = lh_type_check(L, 1, CONTEXT);
    lua_pushboolean(L, lh_tls_context_is_current(*object));
    return 1;
}

static int context_gc(lua_State *L) {
    lh_tls_context **object = lua_touserdata(L, 1);
    if (*object) lh_tls_context_release(*object);
    *object = NULL;
    return 0;
}

/* -- The handshake ------------------------------------------------------------------------------------------------- */

static int fail(lua_State *T, const char *message) { return lh_push_minus1_error(T, message); }

static int push_handshake(lua_State *L, const lh_socket *socket, int rv) {
    if (rv == LH_STREAM_WAIT) return LH_TASK_STAY;
    if (rv < 0) return fail(L, lh_socket_error_text(socket, -rv));
    lua_pushinteger(L, 0);
    return 1;
}

static int attempt(lh_task *task, lua_State *T, lh_socket *socket) {
    assert(socket->reader == task);
    (void)task;
    return push_handshake(T, socket, lh_tls_handshake(socket));
}

static const lh_io_wait handshake_wait = {.wait = {.name = "eventer:ssl_upgrade_socket",
                                                   .is_world = true,
                                                   .on_deadline = lh_io_on_deadline,
                                                   .withdraw = lh_io_withdraw,
                                                   .on_run = lh_io_on_run},
                                          .attempt = attempt,
                                          .fail = fail,
                                          .give_up = lh_socket_fail}; /* half a handshake is of no use to anybody */

/* tls_upgrade(e, context, name, timeout) -> 0, or -1, message */
static int core_tls_upgrade(lua_State *L) {
    lh_eventer *e = lh_check_own_eventer(L, 1, LH_EVENTER_READS | LH_EVENTER_WRITES);
    lh_socket *socket = e->socket;
    lh_io_check_free(L, socket, false);
    lh_io_check_free(L, socket, true);
    lh_tls_context **context = lh_type_check(L, 2, CONTEXT);
    const char *name = lua_isnil(L, 3) ? NULL : lua_tostring(L, 3);
    const lh_ns timeout = lh_check_timeout(L, 4);
    lh_check_memory(L);
    const int rv = lh_tls_start(socket, *context, name);
    if (rv < 0) return fail(L, rv == -EALREADY ? "this socket speaks TLS already" : lh_socket_error_text(socket, -rv));
    const int n = push_handshake(L, socket, lh_tls_handshake(socket));
    if (n != LH_TASK_STAY) return n;
    if (timeout == 0) {
        lh_socket_fail(socket, ETIMEDOUT);
        return fail(L, "timeout");
    }
    lh_task *task = lh_task_may_park(L, &handshake_wait.wait);
    return lh_io_park(task, L, socket, &handshake_wait, lh_loop_deadline(timeout));
}

/* tls_refuse(e): there is no context for it. A script that does not look shall not go on in plain text. */
static int core_tls_refuse(lua_State *L) {
    lh_socket_fail(lh_check_own_eventer(L, 1, 0)->socket, EPROTO);
    return 0;
}

/* tls_peer_is(e, name) -> whether its certificate, verified, is that name's */
static int core_tls_peer_is(lua_State *L) {
    const lh_tls *tls = lh_tls_at(lh_check_own_eventer(L, 1, 0)->socket);
    lua_pushboolean(L, tls && lh_tls_peer_is(tls, lh_check_name(L, 2)));
    return 1;
}

/* tls_name(text) -> the name as it is to be verified; or nil, why it is none */
static int core_tls_name(lua_State *L) {
    size_t length;
    char name[LH_TLS_NAME_MAX];
    const char *text = lh_check_string(L, 1, &length);
    const char *wrong = lh_tls_name_read(text, length, name);
    if (wrong) return lh_push_nil_error(L, wrong);
    lua_pushstring(L, name);
    return 1;
}

static const luaL_Reg core_functions[] = {{"tls_peer_is", core_tls_peer_is},
                                          {"tls_context", core_tls_context},
                                          {"tls_is_current", core_tls_is_current},
                                          {"tls_upgrade", core_tls_upgrade},
                                          {"tls_refuse", core_tls_refuse},
                                          {"tls_name", core_tls_name},
                                          {NULL, NULL}};

void lh_open_tls(lua_State *L) {
    lh_set_functions(L, LH_CORE, core_functions);
    lh_new_type(L, CONTEXT, context_gc);
    lua_pushboolean(L, lh_options_get()->is_luamtev);
    lua_setfield(L, LH_CORE, "is_luamtev");
}
