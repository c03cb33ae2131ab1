/* What lualib/inner/check.lua is made of: it shares the words, and the way to raise, with functions written in C. */
#include <pthread.h>
#include <string.h>

#include "base/strmap.h"
#include "base/word.h"
#include "mtev/init.h"
#include "runtime/errors.h"
#include "runtime/type.h"

/* raise(message): at the script's line, however many built-in functions are between. */
static int core_raise(lua_State *L) {
    size_t length;
    const char *message = lh_check_string(L, 1, &length);
    lh_raise(L, "%s", message);
}

/* set_seconds(function): what reads a timeval (lh_check_seconds) */
static int core_set_seconds(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_pushvalue(L, 1);
    lua_setfield(L, LUA_REGISTRYINDEX, LH_SECONDS);
    return 0;
}

static int core_position(lua_State *L) {
    lh_push_position(L);
    return 1;
}

/* is_first(text): nobody in the process has asked so before. After a thousand texts it is false: they are for warnings,
 * of which that many are enough. */
static int core_is_first(lua_State *L) {
    enum { TEXTS_MAX = 1000 };
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    static lh_strmap texts; /* guarded by `mutex` */
    size_t length;
    const char *text = lh_check_string(L, 1, &length);
    pthread_mutex_lock(&mutex);
    const bool is_first = texts.count < TEXTS_MAX && !lh_strmap_get(&texts, text, length);
    if (is_first) *lh_strmap_slot(&texts, text, length) = &texts;
    pthread_mutex_unlock(&mutex);
    lua_pushboolean(L, is_first);
    return 1;
}

/* boolean(word) -> true, false; nil: it is neither */
static int core_boolean(lua_State *L) {
    size_t length;
    const char *word = lh_check_string(L, 1, &length);
    const int truth = strlen(word) == length ? lh_word_boolean(word) : -1;
    if (truth < 0) {
        lua_pushnil(L);
    } else {
        lua_pushboolean(L, truth);
    }
    return 1;
}

/* word_distance(word, known) -> a number; nil: too different */
static int core_word_distance(lua_State *L) {
    const int distance = lh_word_distance(lh_check_string(L, 1, NULL), lh_check_string(L, 2, NULL));
    if (distance < 0) {
        lua_pushnil(L);
    } else {
        lua_pushinteger(L, distance);
    }
    return 1;
}

/* type_name(value): "mtev.process", "string" ... */
static int core_type_name(lua_State *L) {
    lua_settop(L, 1);
    lua_pushstring(L, lh_type_name(L, 1));
    return 1;
}

static const luaL_Reg core_functions[] = {{"raise", core_raise},
                                          {"type_name", core_type_name},
                                          {"position", core_position},
                                          {"is_first", core_is_first},
                                          {"boolean", core_boolean},
                                          {"word_distance", core_word_distance},
                                          {"set_seconds", core_set_seconds},
                                          {NULL, NULL}};

void lh_open_check(lua_State *L) { lh_set_functions(L, LH_CORE, core_functions); }
