/* What lualib/mtev/Api.lua gets: HTTP requests.
 *
 *     settings = core.http_settings(table)    fields: see get_options
 *     lines = core.http_lines(array)          of "Name: value", to be shared among requests
 *     r = core.http_start(settings, method, url, lines, body[, up_length[, resolved[, drops_redirects]]])
 *                                         or nil, message; body true: it is fed; resolved: lines for CURLOPT_RESOLVE;
 *                                         drops_redirects: the body of an answer that leads elsewhere is not wanted
 *     core.http_wait(r[, seconds]) ->     what there is, or what comes next:
 *         "done", error, status, head, body    error nil: the answer is whole; body nil if it was streamed
 *         "data", bytes                        of a streaming answer
 *         "more"                               the body's next piece is wanted: http_feed
 *         "tick"                               nothing for so many seconds
 *         nil, INTERRUPTED, message
 *     core.http_feed(r, bytes)            nil ends the body
 *     core.http_redirect(r) -> URL        where the answer leads; nil: nowhere
 *     core.http_progress(r) -> down, down_total, up, up_total
 *     core.http_free(r) */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "mtev/init.h"
#include "net/http_client.h"
#include "runtime/errors.h"
#include "runtime/fields.h"
#include "runtime/task.h"
#include "runtime/type.h"

#define REQUEST "mtev.http_request"
#define SETTINGS "mtev.http_settings"
#define LINES "mtev.http_lines"

typedef struct request {
    lh_http_request *http; /* NULL = freed */
    lh_task *waiter;       /* parked in http_wait, which holds this userdata; NULL = nobody */
    bool streams_down;
} request;

/* -- Options ------------------------------------------------------------------------------------------------------- */

/* Whole units of a duration in seconds, rounded up; 0 stays 0. */
static long get_duration(lua_State *L, int table, const char *key, double units) {
    const double seconds = lh_field_number(L, table, key);
    if (!(seconds > 0)) return 0;
    const double count = seconds * units;
    return count < 1e9 ? (long)count + (count > (double)(long)count) : 1000000000L;
}

static void get_tls(lua_State *L, int table, lh_http_tls *tls) {
    lua_getfield(L, table, "tls");
    const int settings = lua_gettop(L);
    if (lua_istable(L, settings)) {
        *tls = (lh_http_tls){.certificate = lh_field_text(L, settings, "certificate", NULL),
                             .key = lh_field_text(L, settings, "key", NULL),
                             .ca = lh_field_text(L, settings, "ca", NULL),
                             .crl = lh_field_text(L, settings, "crl", NULL),
                             .ciphers = lh_field_text(L, settings, "ciphers", NULL),
                             .ciphers_13 = lh_field_text(L, settings, "ciphers_13", NULL),
                             .versions = (unsigned)lh_field_number(L, settings, "versions"),
                             .is_verifying = lh_field_boolean(L, settings, "is_verifying"),
                             .accepts_unknown_issuer = lh_field_boolean(L, settings, "accepts_unknown_issuer"),
                             .ignores_dates = lh_field_boolean(L, settings, "ignores_dates")};
    }
    lua_pop(L, 1);
}

static lh_http_options get_options(lua_State *L, int table) {
    lh_http_options options = {.connect_to = lh_field_text(L, table, "connect_to", NULL),
                               .proxy = lh_field_text(L, table, "proxy", NULL),
                               .streams_down = lh_field_boolean(L, table, "streams_down"),
                               .keeps_encoding = lh_field_boolean(L, table, "keeps_encoding"),
                               .is_http1 = lh_field_boolean(L, table, "is_http1"),
                               .limit_bytes = (uint64_t)lh_field_number(L, table, "limit"),
                               .connect_timeout_ms = get_duration(L, table, "connect_timeout", 1e3),
                               .total_timeout_ms = get_duration(L, table, "timeout", 1e3),
                               .idle_timeout_s = get_duration(L, table, "idle_timeout", 1)};
    get_tls(L, table, &options.tls);
    return options;
}

/* -- Settings and lines -------------------------------------------------------------------------------------------- */

static int core_http_settings(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    void **object = lh_push_object(L, SETTINGS);
    lua_pushvalue(L, 1);
    lua_setfenv(L, -2); /* keeps the strings */
    const lh_http_options options = get_options(L, 1);
    char message[LH_HTTP_MESSAGE_BYTES];
    *object = lh_http_settings_new(&lh_state_here()->net, &options, message);
    return *object ? 1 : lh_push_nil_error(L, message);
}

static int settings_gc(lua_State *L) {
    void **object = lua_touserdata(L, 1);
    if (*object) lh_http_settings_release(*object);
    *object = NULL;
    return 0;
}

static int core_http_lines(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    void **object = lh_push_object(L, LINES);
    lh_http_lines *lines = NULL;
    for (int i = 1; i <= (int)lua_objlen(L, 1); i++) {
        lua_rawgeti(L, 1, i);
        const bool is_added = lh_http_lines_add(&lines, luaL_checkstring(L, -1));
        *object = lines;
        if (!is_added) return luaL_error(L, "not enough memory");
        lua_pop(L, 1);
    }
    return 1;
}

static int lines_gc(lua_State *L) {
    void **object = lua_touserdata(L, 1);
    lh_http_lines_free(*object);
    *object = NULL;
    return 0;
}

/* -- Waiting ------------------------------------------------------------------------------------------------------- */

static int push_data(lua_State *L, lh_http_request *http) {
    lh_buffer *body = lh_http_body(http);
    lua_pushliteral(L, "data");
    lua_pushlstring(L, lh_buffer_bytes(body), body->length);
    lh_buffer_consume(body, body->length);
    lh_http_took(http);
    return 2;
}

static int push_done(lua_State *L, const request *r) {
    const char *error = lh_http_error(r->http);
    const lh_buffer *head = lh_http_fields(r->http), *body = lh_http_body(r->http);
    lua_pushliteral(L, "done");
    if (error) {
        lua_pushstring(L, error);
    } else {
        lua_pushnil(L);
    }
    lua_pushinteger(L, (lua_Integer)lh_http_status(r->http));
    lua_pushlstring(L, head->length ? lh_buffer_bytes(head) : "", head->length);
    if (r->streams_down) return 4;
    lua_pushlstring(L, body->length ? lh_buffer_bytes(body) : "", body->length);
    return 5;
}

/* What there is to say, or LH_TASK_STAY. */
static int push_event(lua_State *L, const request *r) {
    if (r->streams_down && lh_http_body(r->http)->length > 0) return push_data(L, r->http);
    if (lh_http_is_over(r->http)) return push_done(L, r);
    if (!lh_http_wants_more(r->http)) return LH_TASK_STAY;
    lua_pushliteral(L, "more");
    return 1;
}

static int push_news(lh_task *task, lua_State *T, void *context) {
    (void)task;
    request *r = context;
    assert(r->waiter == task && r->http);
    const int n = push_event(T, r);
    if (n != LH_TASK_STAY) r->waiter = NULL;
    return n;
}

static void on_news(lh_http_request *http) {
    request *r = lh_http_owner(http);
    assert(r->http == http);
    if (r->waiter) lh_task_answer(r->waiter, push_news, r);
}

/* Cancelled: nobody will take the answer. */
static void withdraw(lh_task *task) {
    request *r = task->object;
    assert(r->waiter == task);
    r->waiter = NULL;
    lh_http_free(r->http);
    r->http = NULL;
}

static int on_deadline(lh_task *task, lua_State *T) {
    assert(((request *)task->object)->waiter == task);
    ((request *)task->object)->waiter = NULL;
    lua_pushliteral(T, "tick");
    return 1;
}

static const lh_wait http_wait = {
    .name = "Api:request", .is_world = true, .on_deadline = on_deadline, .withdraw = withdraw};

static request *check_request(lua_State *L) {
    request *r = lh_type_check(L, 1, REQUEST);
    if (!r->http) lh_raise(L, "the request is over");
    return r;
}

static int core_http_wait(lua_State *L) {
    request *r = check_request(L);
    const lh_ns timeout = lh_check_timeout(L, 2);
    const int n = push_event(L, r);
    if (n != LH_TASK_STAY) return n;
    lh_task *task = lh_task_may_park(L, &http_wait);
    lh_task_hold(task, L, 1);
    task->object = r;
    r->waiter = task;
    return lh_task_park(task, L, &http_wait, lh_loop_deadline(timeout));
}

/* -- Requests ------------------------------------------------------------------------------------------------------ */

/* What curl still reads lives in the request's environment: an array of settings, lines, body and resolved names. */
static void keep_arguments(lua_State *L, int object) {
    assert(lua_gettop(L) == object);
    lua_createtable(L, 4, 0);
    for (int i = 1; i <= 4; i++) {
        static const int arguments[] = {1, 4, 5, 7};
        lua_pushvalue(L, arguments[i - 1]);
        lua_rawseti(L, -2, i);
    }
    lua_setfenv(L, object);
}

static int core_http_start(lua_State *L) {
    lh_http_settings **settings = lh_type_check(L, 1, SETTINGS);
    lh_http_lines **lines = lh_type_check(L, 4, LINES);
    lh_check_memory(L);
    lh_task_may_park(L, &http_wait); /* what cannot be waited for is not begun */
    lua_settop(L, 8);
    lh_http_lines **resolved = lua_isnil(L, 7) ? NULL : lh_type_check(L, 7, LINES);
    request *r = lua_newuserdata(L, sizeof(*r));
    *r = (request){.streams_down = lh_http_settings_stream_down(*settings)};
    luaL_getmetatable(L, REQUEST);
    lua_setmetatable(L, -2);
    keep_arguments(L, 9);
    lh_http_call call = {.method = luaL_checkstring(L, 2),
                         .url = luaL_checkstring(L, 3),
                         .lines = *lines,
                         .resolved = resolved ? *resolved : NULL,
                         .drops_redirects = lua_toboolean(L, 8),
                         .streams_up = lua_isboolean(L, 5),
                         .up_length = lua_isnumber(L, 6) ? (int64_t)lua_tonumber(L, 6) : -1,
                         .on_news = on_news,
                         .owner = r};
    if (lua_type(L, 5) == LUA_TSTRING) call.body = lua_tolstring(L, 5, &call.body_length);
    r->http = lh_http_start(*settings, &call);
    if (!r->http) return lh_push_nil_error(L, "the request cannot be made");
    return 1;
}

static int core_http_redirect(lua_State *L) {
    const char *redirect = lh_http_redirect(check_request(L)->http);
    if (redirect) {
        lua_pushstring(L, redirect);
    } else {
        lua_pushnil(L);
    }
    return 1;
}

static int core_http_feed(lua_State *L) {
    const request *r = check_request(L);
    size_t length = 0;
    const char *bytes = lua_isnil(L, 2) ? NULL : luaL_checklstring(L, 2, &length);
    if (lh_http_feed(r->http, bytes, length) < 0) return luaL_error(L, "not enough memory");
    return 0;
}

static int core_http_progress(lua_State *L) {
    double down, down_total, up, up_total;
    lh_http_progress(check_request(L)->http, &down, &down_total, &up, &up_total);
    lua_pushnumber(L, down);
    lua_pushnumber(L, down_total);
    lua_pushnumber(L, up);
    lua_pushnumber(L, up_total);
    return 4;
}

static int core_http_free(lua_State *L) {
    request *r = lh_type_check(L, 1, REQUEST);
    lh_http_free(r->http);
    r->http = NULL;
    return 0;
}

static const luaL_Reg core_functions[] = {
    {"http_settings", core_http_settings}, {"http_lines", core_http_lines},       {"http_start", core_http_start},
    {"http_wait", core_http_wait},         {"http_redirect", core_http_redirect}, {"http_feed", core_http_feed},
    {"http_free", core_http_free},         {"http_progress", core_http_progress}, {NULL, NULL}};

void lh_open_Api(lua_State *L) {
    lh_set_functions(L, LH_CORE, core_functions);
    lua_pushliteral(L, LHOTSE_VERSION);
    lua_setfield(L, LH_CORE, "version");
    lh_new_type(L, REQUEST, core_http_free);
    lh_new_type(L, SETTINGS, settings_gc);
    lh_new_type(L, LINES, lines_gc);
}
