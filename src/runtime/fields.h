/* Fields of tables that the built-in Lua library hands to C: settings that it has checked.
 *
 * Owner: a text is the table's, and valid while the table is.
 * Thread: the state's own.
 * Errors: none: what is absent, or of another type, is NULL, false or 0. */
#pragma once
#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

/* `length` may be NULL. */
const char *lh_field_text(lua_State *L, int table, const char *key, size_t *length);
bool lh_field_boolean(lua_State *L, int table, const char *key);
double lh_field_number(lua_State *L, int table, const char *key);
