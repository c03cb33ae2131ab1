/* CVE-2024-39702: OpenResty's LuaJIT hashed long strings by samples, so that a peer can send lines which all have one
 * hash, and each costs a comparison with all before it. Mended on 2024-06-26. LuaJIT of LuaJIT's own authors never had
 * it, nor has Debian's libluajit-5.1-2 of Debian 12.
 *
 * OpenResty's library is told by a function that only it has; its age by the number that LuaJIT ends its version with,
 * the time of the last commit in it ("LuaJIT 2.1.1720049189"); older ones have none ("LuaJIT 2.1.0-beta3"). */
#include "runtime/luajit.h"

#include <stdio.h>

#include "host/log.h"

extern void *lua_getexdata(lua_State *L) __attribute__((weak)); /* NULL where the library does not have it */

enum { MENDED = 1719360000 }; /* 2024-06-26 */

static void push_version(lua_State *L) {
    lua_getglobal(L, "jit");
    lua_getfield(L, -1, "version");
    lua_remove(L, -2);
}

void lh_luajit_check(lua_State *L) {
    if (!lua_getexdata) return;
    push_version(L);
    const char *version = lua_tostring(L, -1);
    unsigned long built = 0;
    if (!version || sscanf(version, "LuaJIT 2.1.%lu", &built) != 1) built = 0;
    if (built < MENDED) {
        lh_log_print(
            "error",
            "lhotse: this %s is OpenResty's and has CVE-2024-39702: peers can stall the program with lines that "
            "look alike; install libluajit-5.1-2 in place of libluajit2-5.1-2\n",
            version ? version : "LuaJIT");
    }
    lua_pop(L, 1);
}
