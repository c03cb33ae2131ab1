/* Tables of options that scripts hand to functions: {timeout = 1}.
 *
 * A misspelt option raises, naming what was probably meant: ignoring {timeuot = 1} would wait for ever. A value that
 * makes no sense raises as well: it must not silently mean something. The same for functions written in Lua:
 * lualib/inner/check.lua.
 *
 * Owner: nothing; strings are the table's.
 * Thread: the state's own.
 * Errors: all functions raise, with the argument's number. */
#pragma once
#include "runtime/state.h"

/* Raises for a key that is not among `names`, an array that NULL ends; also for what is no table. false for nil. */
bool lh_check_options(lua_State *L, int index, const char *const *names);

/* Raises for an option that there is not. */
void lh_raise_unknown_option(lua_State *L, int index, const char *const *names) __attribute__((noreturn));

/* The option `name` of the table at `index`: true, false, or a word for one of them; nil is false. */
bool lh_option_boolean(lua_State *L, int index, const char *name);

/* The option `name` of the table at `index`: a number, a numeric string or a timeval, not NaN; nil is `absent`. */
double lh_option_number(lua_State *L, int index, const char *name, double absent);
