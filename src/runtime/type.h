/* Types of userdata: made, checked, named and printed in one way.
 *
 * A type is a metatable with the name that scripts see: "mtev.process". tostring gives the name and an address, unless
 * the type has a __tostring that says more; errors say "got mtev.process".
 *
 * Owner: metatables are the registry's. Thread: the state's own. Errors: raised. */
#pragma once
#include <lua.h>

/* Pushes the metatable of a new type. */
void lh_type_new(lua_State *L, const char *name);

/* The userdata at `index`, which is of the type: it raises otherwise, or is NULL. */
void *lh_type_check(lua_State *L, int index, const char *name);
void *lh_type_test(lua_State *L, int index, const char *name);

/* What the value at `index` is: "mtev.process", "mtev.Api", "number". Valid while the value is on the stack. */
const char *lh_type_name(lua_State *L, int index);
