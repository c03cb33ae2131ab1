/* Collectors of our own types of userdata: what LuaJIT calls when it frees one.
 *
 * A script may call one as well, by getmetatable(object).__gc, and with anything: so it is wrapped in a function that
 * raises for what is not of its type. A collector makes of an object one that is closed; it may be called twice, and
 * while a coroutine waits on the object.
 *
 * Owner: the metatable. Thread: the state's own. Errors: raised, where a script gives the wrong argument. */
#pragma once
#include <lua.h>

/* Makes `gc` the collector of the metatable on top of `L`. */
void lh_set_collector(lua_State *L, lua_CFunction gc);
