/* Pushing what was allocated outside of Lua, and freeing it whether or not there is memory for the copy.
 *
 * Owner: the function, from the call on. Thread: the state's own. Errors: raised, for lack of memory. */
#pragma once
#include <lua.h>
#include <stddef.h>

/* Pushes `length` bytes of `take_text` as a string, and calls `release` with it. */
void lh_push_taken(lua_State *L, char *take_text, size_t length, void (*release)(void *block));
