/* What scripts get: mtev.shared_set, shared_get, shared_seq, shared_notify, shared_waitfor: values that all threads
 * see.
 *
 * A value crosses threads as bytes: one tag per value, then its payload. The format never leaves the process, so
 * numbers and lengths are in host order. z nil   t true   f false   n double   s length bytes   { key value ... }
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/stack.h"
#include "mtev/init.h"
#include "runtime/errors.h"
#include "runtime/shared.h"

enum { DEPTH_MAX = 200 };

/* -- Lua to bytes -------------------------------------------------------------------------------------------------- */

typedef struct packer {
    lua_State *L;
    lh_buffer out;
    lh_buffer path;                 /* ".a.b" of the value at hand, for errors */
    const void *parents[DEPTH_MAX]; /* tables being packed, to find cycles */
    int depth;
    const char *problem; /* what cannot be packed: "function", "cycle"; NULL = none */
    bool is_out_of_memory;
} packer;

static void put(packer *p, const void *bytes, size_t length) {
    if (lh_buffer_append(&p->out, bytes, length) < 0) p->is_out_of_memory = true;
}

static void put_string(packer *p, int index) {
    size_t length;
    const char *bytes = lua_tolstring(p->L, index, &length);
    put(p, "s", 1);
    put(p, &length, sizeof(length));
    put(p, bytes, length);
}

static void put_number(packer *p, int index) {
    const double number = lua_tonumber(p->L, index);
    put(p, "n", 1);
    put(p, &number, sizeof(number));
}

static bool pack_value(packer *p, int index);

/* Appends the key at `index` to the path; returns its old length. */
static size_t enter_path(packer *p, int index) {
    const size_t length = p->path.length;
    if (lua_type(p->L, index) == LUA_TSTRING) {
        lh_buffer_print(&p->path, ".%s", lua_tostring(p->L, index));
    } else {
        lh_buffer_print(&p->path, "[%.14g]", lua_tonumber(p->L, index));
    }
    return length;
}

static bool fail(packer *p, const char *problem) {
    p->problem = problem;
    return false;
}

static bool pack_key(packer *p, int index) {
    switch (lua_type(p->L, index)) {
    case LUA_TSTRING: put_string(p, index); return true;
    case LUA_TNUMBER: put_number(p, index); return true;
    default: return fail(p, "key is neither string nor number");
    }
}

/* lua_next raises when `__index` or `serialize` of an entry has changed the table that is walked. */
static bool next_entry(packer *p, int index) {
    p->problem = "it changes while it is packed";
    const bool is_there = lua_next(p->L, index);
    p->problem = NULL;
    return is_there;
}

static bool pack_entries(packer *p, int index) {
    lua_State *L = p->L;
    put(p, "{", 1);
    lua_pushnil(L);
    while (next_entry(p, index)) { /* stack: key, value */
        if (!pack_key(p, lua_gettop(L) - 1)) return false;
        const size_t length = enter_path(p, lua_gettop(L) - 1);
        if (!pack_value(p, lua_gettop(L))) return false;
        p->path.length = length;
        lua_pop(L, 1);
    }
    put(p, "}", 1);
    return true;
}

/* If the table at `index` has a function `serialize`, perhaps by its metatable, replaces it there by what that returns.
 */
static bool replace_by_serialized(packer *p, int index) {
    lua_State *L = p->L;
    if (!lh_stack_has_room()) return fail(p, "C stack overflow");
    lua_getfield(L, index, "serialize");
    if (!lua_isfunction(L, -1)) {
        lua_pop(L, 1);
        return true;
    }
    lua_pushvalue(L, index);
    lua_call(L, 1, 1);
    if (!lua_istable(L, -1)) return fail(p, "serialize did not return a table");
    lua_replace(L, index);
    return true;
}

static bool pack_table(packer *p, int index) {
    if (!replace_by_serialized(p, index)) return false;
    const void *table = lua_topointer(p->L, index);
    for (int i = 0; i < p->depth; i++) {
        if (p->parents[i] == table) return fail(p, "cycle");
    }
    if (p->depth == DEPTH_MAX || !lua_checkstack(p->L, 8)) return fail(p, "nested too deeply");
    p->parents[p->depth++] = table;
    const bool is_packed = pack_entries(p, index);
    p->depth--;
    return is_packed;
}

static bool pack_value(packer *p, int index) {
    switch (lua_type(p->L, index)) {
    case LUA_TNIL: put(p, "z", 1); return true;
    case LUA_TBOOLEAN: put(p, lua_toboolean(p->L, index) ? "t" : "f", 1); return true;
    case LUA_TNUMBER: put_number(p, index); return true;
    case LUA_TSTRING: put_string(p, index); return true;
    case LUA_TTABLE: return pack_table(p, index);
    default: return fail(p, luaL_typename(p->L, index));
    }
}

static int push_path(lh_task *task, lua_State *T, void *context) {
    (void)task;
    const lh_buffer *path = context;
    lua_pushlstring(T, path->length ? lh_buffer_bytes(path) : "", path->length);
    return 1;
}

/* The value is all that is on `T`; `serialize` replaces it in place. */
static int pack_top(lh_task *task, lua_State *T, void *context) {
    (void)task;
    packer *p = context;
    p->L = T;
    if (pack_value(p, 1)) assert(p->depth == 0 && !p->problem);
    lua_settop(T, 0);
    return 0;
}

/* False: the error is on top of the stack. Packing raises for nothing but tables. */
static bool pack_safely(packer *p, int index) {
    if (!lua_istable(p->L, index)) {
        pack_value(p, index);
        return true;
    }
    lua_pushvalue(p->L, index);
    return lh_protect_with(p->L, 1, pack_top, p) != LH_PROTECT_RAISED;
}

/* The value at `index` as a blob; raises what cannot be packed, and then nothing is kept. Packing runs code of the
 * script's, and may raise, while it holds buffers that Lua does not know. */
static lh_blob *pack(lua_State *L, int index) {
    packer p = {.L = L};
    const bool is_raised = !pack_safely(&p, index);
    const bool is_whole = !is_raised && !p.problem && !p.is_out_of_memory;
    lh_blob *blob = is_whole ? lh_blob_new(lh_buffer_bytes(&p.out), p.out.length) : NULL;
    lh_buffer_reset(&p.out);
    const bool has_path = p.problem && lh_protect(L, push_path, &p.path) != LH_PROTECT_RAISED;
    lh_buffer_reset(&p.path);
    if (blob) return blob;
    if (has_path) lh_raise(L, "cannot share value%s: %s", lua_tostring(L, -1), p.problem);
    if (is_raised || p.problem) lua_error(L);
    lh_raise(L, "not enough memory");
}

/* -- Bytes to Lua -------------------------------------------------------------------------------------------------- */

static void take(const char **at, void *to, size_t length) {
    memcpy(to, *at, length);
    *at += length;
}

/* Pushes the value at *at and moves behind it. The bytes are our own: they are not checked. */
static void unpack_value(lua_State *L, const char **at) {
    switch (*(*at)++) {
    case 't': lua_pushboolean(L, 1); break;
    case 'f': lua_pushboolean(L, 0); break;
    case 'n': {
        double number;
        take(at, &number, sizeof(number));
        lua_pushnumber(L, number);
        break;
    }
    case 's': {
        size_t length;
        take(at, &length, sizeof(length));
        lua_pushlstring(L, *at, length);
        *at += length;
        break;
    }
    case '{':
        luaL_checkstack(L, 4, "shared value");
        lua_newtable(L);
        while (**at != '}') {
            unpack_value(L, at);
            unpack_value(L, at);
            lua_rawset(L, -3);
        }
        ++*at;
        break;
    default:
        assert((*at)[-1] == 'z');
        lua_pushnil(L);
        break;
    }
}

static int unpack_blob(lh_task *task, lua_State *T, void *context) {
    (void)task;
    const lh_blob *blob = context;
    const char *at = blob->bytes;
    unpack_value(T, &at);
    assert(at == blob->bytes + blob->length);
    return 1;
}

/* False: there was no memory for it; the error is on top instead. */
static bool push_blob(lua_State *L, const lh_blob *blob) {
    const bool takes_memory = blob->bytes[0] == 's' || blob->bytes[0] == '{';
    if (!takes_memory) return unpack_blob(NULL, L, (void *)(uintptr_t)blob) == 1;
    return lh_protect(L, unpack_blob, (void *)(uintptr_t)blob) != LH_PROTECT_RAISED;
}

/* -- Values and sequences ------------------------------------------------------------------------------------------ */

static int mtev_shared_set(lua_State *L) {
    size_t length;
    if (lua_gettop(L) != 2) lh_raise(L, "mtev.shared_set(key, value): two arguments expected, got %d", lua_gettop(L));
    const char *key = lh_check_string(L, 1, &length);
    lh_check_memory(L);
    lh_blob *blob = lua_isnil(L, 2) ? NULL : pack(L, 2);
    lh_shared_set(key, length, blob);
    return 0;
}

static int mtev_shared_get(lua_State *L) {
    size_t length;
    const char *key = lh_check_string(L, 1, &length);
    lh_blob *blob = lh_shared_get(key, length);
    if (!blob) {
        lua_pushnil(L);
        return 1;
    }
    const bool is_pushed = push_blob(L, blob);
    lh_blob_unref(blob);
    return is_pushed ? 1 : lua_error(L);
}

static int mtev_shared_seq(lua_State *L) {
    size_t length;
    const char *key = lh_check_string(L, 1, &length);
    lh_check_memory(L);
    lua_pushnumber(L, (double)lh_shared_sequence(key, length));
    return 1;
}

/* -- Messages ------------------------------------------------------------------------------------------------------ */

static int mtev_shared_notify(lua_State *L) {
    size_t length;
    lua_settop(L, 2);
    const char *key = lh_check_string(L, 1, &length);
    lh_check_memory(L);
    lh_shared_put(lh_shared_messages(key, length), pack(L, 2));
    return 0;
}

/* Without memory the message stays. */
static int push_message(lua_State *L, lh_shared_queue *queue, lh_blob *blob) {
    lua_pushboolean(L, 1);
    if (!push_blob(L, blob)) {
        lh_shared_return(queue, blob);
        return lua_error(L);
    }
    lh_blob_unref(blob);
    return 2;
}

static int push_received(lh_task *task, lua_State *T) {
    lua_pushboolean(T, 1);
    if (!push_blob(T, lh_shared_item(task->object))) {
        lh_shared_put_back(task->object);
        return lua_error(T);
    }
    lh_blob_unref(lh_shared_receive(task->object));
    return 2;
}

static int push_timeout(lh_task *task, lua_State *T) {
    if (lh_shared_is_granted(task->object)) return LH_TASK_STAY;
    lh_shared_give_up(task->object);
    lua_pushboolean(T, 1);
    lua_pushnil(T);
    return 2;
}

static void give_up(lh_task *task) { lh_shared_give_up(task->object); }

static void put_back(lh_task *task, lua_State *T, int n) {
    (void)T;
    (void)n;
    lh_shared_put_back(task->object);
}

static const lh_wait waitfor_wait = {.name = "mtev.shared_waitfor",
                                     .on_deadline = push_timeout,
                                     .withdraw = give_up,
                                     .on_undelivered = put_back,
                                     .on_run = push_received};

/* Returns true, value; true, nil on timeout; false when polling found nothing. */
static int core_shared_waitfor(lua_State *L) {
    size_t length;
    const char *key = lh_check_string(L, 1, &length);
    const bool is_forever = lua_isnumber(L, 2) && lua_tonumber(L, 2) < 0;
    const lh_ns timeout = is_forever ? LH_NEVER : lh_check_timeout(L, 2);
    lh_check_memory(L);
    lh_shared_queue *queue = lh_shared_messages(key, length);
    lh_blob *blob;
    lh_shared_waiter *waiter;
    if (lh_shared_take(queue, &blob)) return push_message(L, queue, blob);
    if (timeout == 0) {
        lua_pushboolean(L, 0);
        return 1;
    }
    lh_task *task = lh_task_may_park(L, &waitfor_wait);
    if (lh_shared_take_or_wait(queue, &blob, task, &waiter)) return push_message(L, queue, blob);
    task->object = waiter;
    return lh_task_park(task, L, &waitfor_wait, lh_loop_deadline(timeout));
}

static const luaL_Reg functions[] = {
    {"shared_set", mtev_shared_set},
    {"shared_get", mtev_shared_get},
    {"shared_seq", mtev_shared_seq},
    {"shared_notify", mtev_shared_notify},
    {NULL, NULL},
};
static const luaL_Reg core_functions[] = {{"shared_waitfor", core_shared_waitfor}, {NULL, NULL}};

void lh_open_shared(lua_State *L) {
    lh_set_functions(L, LH_MTEV, functions);
    lh_set_functions(L, LH_CORE, core_functions);
}
