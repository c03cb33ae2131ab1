/* Reading a command from a script's arguments: program, arguments, environment.
 *
 * Owner: the arrays and strings of the lh_command belong to Lua values that are left on the stack: keep them there
 * while it is used. Thread: the state's own. Errors: raised, with the caller's position. */
#pragma once
#include "loop/child.h"
#include "runtime/state.h"

/* path, argv and env at stack indexes 1, 2, 3; the last two may be nil: {path}, and our own environment. `usage` is
 * what is raised when they are no tables. All three standard descriptors are pipes. */
void lh_check_command(lua_State *L, const char *usage, lh_command *command);
