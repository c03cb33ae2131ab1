/* Collectors of our own types of userdata: what LuaJIT calls when it frees one.
 *
 * A script may call one as well, by getmetatable(object).__gc, and with anything: so it is wrapped in a function that
 * raises for what is not of its type. A collector makes of an object one that is closed; it may be called twice, and
 * while a coroutine waits on the object.
 *
 * Owner: the metatable. Thread: the state's own. Errors: raised, where a script gives the wrong argument. */
#pragma once
#include <lua.h>
#include <stdbool.h>

/* Makes `gc` the collector of the metatable on top of `L`. */
void lh_set_collector(lua_State *L, lua_CFunction gc);

/* May the collector make a closed one of an object that a coroutine waits on (`is_awaited`)? A waiting coroutine holds
 * the object, so LuaJIT cannot be the caller: a script is, and its call does nothing. Unless the state closes: then all
 * is collected, and nobody waits any more. */
bool lh_collector_may_close(bool is_awaited);
