/* What is known against the LuaJIT that the program finds at run time, which need not be the one it was built with: two
 * packages have a library of the same name.
 *
 * Thread: the state's own. Errors: none. */
#pragma once
#include <lua.h>

/* One line in the log "error" if the library lets a peer stall the loop (CVE-2024-39702). */
void lh_luajit_check(lua_State *L);
