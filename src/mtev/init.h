/* The API's table of contents: one function per topic, each in the file of that name.
 *
 * Each is called once per state with the table `mtev` at index 1 and the table `core` at index 2 (what the built-in Lua
 * library needs of C and scripts do not see), and leaves the stack as it was.
 *
 * Owner: nothing. Thread: the state's own. Errors: raised, while the state opens. */
#pragma once
#include <lauxlib.h>
#include <lua.h>

/* Fills the table on top of the stack: everything below, then the built-in Lua library. */
void lh_open_api(lua_State *L);

void lh_open_Api(lua_State *L);
void lh_open_check(lua_State *L);
void lh_open_codec(lua_State *L);
void lh_open_condition(lua_State *L);
void lh_open_conf(lua_State *L);
void lh_open_coroutine(lua_State *L);
void lh_open_dns(lua_State *L);
void lh_open_eventer(lua_State *L);
void lh_open_eventer_connect(lua_State *L);
void lh_open_eventer_options(lua_State *L);
void lh_open_eventer_socket(lua_State *L);
void lh_open_exec(lua_State *L);
void lh_open_files(lua_State *L);
void lh_open_files_lock(lua_State *L);
void lh_open_files_tree(lua_State *L);
void lh_open_gzip(lua_State *L);
void lh_open_hook(lua_State *L);
void lh_open_http_head(lua_State *L);
void lh_open_json(lua_State *L);
void lh_open_log(lua_State *L);
void lh_open_message(lua_State *L);
void lh_open_pcre(lua_State *L);
void lh_open_process(lua_State *L);
void lh_open_profile(lua_State *L);
void lh_open_reverse(lua_State *L);
void lh_open_semaphore(lua_State *L);
void lh_open_shared(lua_State *L);
void lh_open_ssl_ctx(lua_State *L);
void lh_open_stop(lua_State *L);
void lh_open_thread(lua_State *L);
void lh_open_tls(lua_State *L);
void lh_open_watchdog(lua_State *L);
void lh_open_websocket(lua_State *L);
void lh_open_xml(lua_State *L);

/* What core.http_head makes and core.read takes: an lh_http_head. */
#define LH_HTTP_HEAD_TYPE "mtev.http_head"

enum { LH_MTEV = 1, LH_CORE = 2 }; /* stack indexes while opening */

/* Sets each of `functions` (ends with a NULL name) in the table at `index`. */
void lh_set_functions(lua_State *L, int index, const luaL_Reg *functions);

/* Sets each of `functions` in core.files: core.read and core.write are the eventers'. */
void lh_set_file_functions(lua_State *L, const luaL_Reg *functions);

/* Makes the metatable `name` for userdata with a collector; leaves nothing on the stack. */
void lh_new_type(lua_State *L, const char *name, lua_CFunction gc);

/* Pushes a userdata of that type that is one pointer, NULL as yet: so that making it cannot lose what it shall hold. */
void **lh_push_object(lua_State *L, const char *type);
