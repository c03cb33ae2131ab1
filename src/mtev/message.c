/* What scripts get: mtev.notify, mtev.waitfor: messages by key, within one state.
 *
 * A channel exists per key that somebody waits on or that holds messages. With a waiter, a message's values go straight
 * to its stack; without, they are kept in a Lua table. Empty channels stay for a while, because the next message
 * usually has the same key, and are swept when many have gathered.
 *
 * A channel is found by the address of its key's bytes: equal strings of a state are one object, and a Lua table keeps
 * the keys that have channels. That costs one call into Lua where a look-up in the table would cost five. */
#include <assert.h>

#include "base/alloc.h"
#include "base/ptrmap.h"
#include "mtev/init.h"
#include "runtime/collector.h"
#include "runtime/errors.h"
#include "runtime/task.h"

enum { SWEEP_MIN = 1024 };

/* A waiter gets the count and the key as well. More values come in a table, which is told by the count PACKED. */
enum { VALUES_MAX = LH_TASK_RESULTS_MAX - 2, PACKED = -1 };

/* What a call can return for certain: LuaJIT gives a C function 8000 slots. */
enum { MESSAGE_VALUES_MAX = 7900 };

typedef struct channel {
    lh_list waiters;    /* lh_task.wait_node, oldest first */
    double first, last; /* numbers of the oldest and newest message in its table; first > last = none */
} channel;

typedef struct lh_messages {
    lh_slab channels;
    lh_ptrmap channel_of; /* the key's bytes -> channel */
    int map_ref;          /* registry: key -> channel (light userdata); anchors the keys */
    int queues_ref;       /* registry: channel -> table of messages: {n = count, ...}, or true for one without values */
    size_t sweep_at;      /* channels that make a sweep worth while */
} lh_messages;

static bool is_empty(const channel *ch) { return lh_list_is_empty(&ch->waiters) && ch->first > ch->last; }

/* -- Channels ------------------------------------------------------------------------------------------------------ */

static void sweep(lua_State *L, lh_messages *messages) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, messages->queues_ref);
    lua_rawgeti(L, LUA_REGISTRYINDEX, messages->map_ref); /* stack: queues, map */
    lua_pushnil(L);
    while (lua_next(L, -2)) { /* stack: queues, map, key, channel */
        channel *ch = lua_touserdata(L, -1);
        assert(lh_slab_has(&messages->channels, ch));
        if (is_empty(ch)) {
            lua_pushnil(L);
            lua_rawset(L, -5); /* queues[channel] = nil; pops the channel */
            lua_pushvalue(L, -1);
            lua_pushnil(L);
            lua_rawset(L, -4); /* assigning nil to the key at hand is allowed during a traversal */
            lh_ptrmap_remove(&messages->channel_of, lua_tolstring(L, -1, NULL));
            lh_slab_give(&messages->channels, ch);
        } else {
            lua_pop(L, 1);
        }
    }
    lua_pop(L, 2);
    const size_t left = messages->channels.used_count;
    messages->sweep_at = left * 2 > SWEEP_MIN ? left * 2 : SWEEP_MIN;
}

static channel *find_channel(const lh_messages *messages, const char *bytes) {
    return lh_ptrmap_get(&messages->channel_of, bytes);
}

/* The channel of the string at `key`, whose bytes are `bytes`; made if need be. */
static channel *get_channel(lua_State *L, lh_messages *messages, int key, const char *bytes) {
    assert(lua_type(L, key) == LUA_TSTRING && lua_tostring(L, key) == bytes);
    channel *ch = find_channel(messages, bytes);
    if (ch) return ch;
    if (messages->channels.used_count >= messages->sweep_at) sweep(L, messages);
    lh_check_memory(L);
    lua_rawgeti(L, LUA_REGISTRYINDEX, messages->map_ref);
    lua_pushvalue(L, key);
    lua_pushboolean(L, 0);
    lua_rawset(L, -3); /* makes the place for it: from here on nothing raises */
    ch = lh_slab_take(&messages->channels);
    lh_list_init(&ch->waiters);
    ch->first = 1;
    ch->last = 0;
    lua_pushvalue(L, key);
    lua_pushlightuserdata(L, ch);
    lua_rawset(L, -3);
    lua_pop(L, 1);
    lh_ptrmap_set(&messages->channel_of, bytes, ch);
    return ch;
}

/* -- Messages in the queue ----------------------------------------------------------------------------------------- */

/* Pushes the table of messages of `ch`. */
static void push_queue(lua_State *L, const lh_messages *messages, channel *ch) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, messages->queues_ref); /* stack: queues */
    lua_pushlightuserdata(L, ch);
    lua_rawget(L, -2);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushlightuserdata(L, ch);
        lua_pushvalue(L, -2);
        lua_rawset(L, -4);
    }
    lua_remove(L, -2);
}

/* Makes one value of the `n` on top. */
static void pack(lua_State *L, int n) {
    if (n == 0) {
        lua_pushboolean(L, 1);
        return;
    }
    lua_createtable(L, n, 1);
    lua_insert(L, -(n + 1));
    for (int i = n; i > 0; i--) lua_rawseti(L, -(i + 1), i);
    lua_pushinteger(L, n);
    lua_setfield(L, -2, "n");
}

/* The number of values in the message on top. */
static int count_packed(lua_State *L) {
    if (!lua_istable(L, -1)) return 0;
    lua_getfield(L, -1, "n");
    const int n = (int)lua_tointeger(L, -1);
    lua_pop(L, 1);
    return n;
}

/* Pushes the values in the table on top; returns their number. */
static int push_packed(lua_State *L) {
    const int n = count_packed(L);
    luaL_checkstack(L, n + 2, "message too long");
    const int message = lua_gettop(L);
    for (int i = 1; i <= n; i++) lua_rawgeti(L, message, i);
    return n;
}

/* Pops the message's `n` values and queues them, at the end or (taken back) at the front. */
static void enqueue(lua_State *L, const lh_messages *messages, channel *ch, int n, bool at_front) {
    pack(L, n);
    push_queue(L, messages, ch);
    lua_insert(L, -2);
    const double at = at_front ? --ch->first : ++ch->last;
    lua_pushnumber(L, at);
    lua_insert(L, -2);
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

/* Pushes the values of the oldest message; returns their number. Where there is no room for them it raises, and the
 * message stays. */
static int dequeue(lua_State *L, const lh_messages *messages, channel *ch) {
    assert(ch->first <= ch->last);
    push_queue(L, messages, ch); /* stack: queue */
    lua_pushnumber(L, ch->first);
    lua_rawget(L, -2); /* stack: queue, message */
    luaL_checkstack(L, count_packed(L) + 3, "message too long");
    lua_pushnumber(L, ch->first++);
    lua_pushnil(L);
    lua_rawset(L, -4);
    lua_remove(L, -2); /* stack: message */
    if (ch->first > ch->last) {
        ch->first = 1;
        ch->last = 0;
    }
    if (!lua_istable(L, -1)) {
        lua_pop(L, 1);
        return 0;
    }
    const int n = push_packed(L);
    lua_remove(L, -(n + 1));
    return n;
}

/* -- notify and waitfor -------------------------------------------------------------------------------------------- */

/* Hands the key (its bytes) and `n` values, all on top of `L` (popped), to the first waiter, or queues the values. */
static void deliver(lua_State *L, lh_messages *messages, const char *bytes, int n, bool at_front) {
    assert(n >= 0 && n < lua_gettop(L));
    channel *ch = get_channel(L, messages, lua_gettop(L) - n, bytes);
    assert(lh_slab_has(&messages->channels, ch));
    assert(lh_list_is_empty(&ch->waiters) || ch->first > ch->last);
    const bool is_packed = n > VALUES_MAX && !lh_list_is_empty(&ch->waiters);
    if (is_packed) pack(L, n); /* may raise: before a waiter is taken */
    lh_list *node = lh_list_take_first(&ch->waiters);
    if (!node) {
        enqueue(L, messages, ch, n, at_front);
        lua_pop(L, 1); /* the key */
        return;
    }
    lh_task *task = LH_CONTAINER(node, lh_task, wait_node);
    lua_pushinteger(task->L, is_packed ? PACKED : n);
    if (is_packed) n = 1;
    lua_xmove(L, task->L, n + 1);
    lh_task_wake(task, n + 2);
}

/* The bytes of the key at 1. */
static const char *check_key(lua_State *L, const char *message) {
    const char *bytes = lua_tolstring(L, 1, NULL); /* converts a number in place */
    if (bytes) return bytes;
    if (lua_isnoneornil(L, 1)) lh_raise(L, "%s", message);
    lh_raise_type(L, 1, "string");
}

static int mtev_notify(lua_State *L) {
    const int count = lua_gettop(L);
    if (count == 0) return 0;
    const char *bytes = check_key(L, "notify called without key");
    if (count - 1 > MESSAGE_VALUES_MAX) {
        lua_settop(L, 1); /* room for the error */
        lh_raise(L, "mtev.notify: at most %d values", MESSAGE_VALUES_MAX);
    }
    lh_state *state = lh_state_here();
    if (!state->is_closing) deliver(L, state->messages, bytes, count - 1, false);
    return 0;
}

static void leave_queue(lh_task *task) { lh_list_remove(&task->wait_node); }

static int push_timeout(lh_task *task, lua_State *T) {
    leave_queue(task);
    lua_pushboolean(T, 0);
    return 1;
}

/* The task was cancelled with a message in its hands: count, key, values. */
static void give_back(lh_task *task, lua_State *T, int n) {
    (void)task;
    const char *bytes = lua_tolstring(T, -(n - 1), NULL);
    int count = n - 2;
    if (lua_tointeger(T, -n) == PACKED) {
        count = push_packed(T);
        lua_remove(T, -(count + 1));
    }
    deliver(T, lh_state_here()->messages, bytes, count, true);
}

static const lh_wait waitfor_wait = {.name = "mtev.waitfor",
                                     .is_plain = true,
                                     .on_deadline = push_timeout,
                                     .withdraw = leave_queue,
                                     .on_undelivered = give_back};

/* Returns the number of values, key, values; PACKED, key, {n = count, values}; or false on timeout. */
static int core_waitfor(lua_State *L) {
    if (lua_gettop(L) != 2) lua_settop(L, 2);
    const char *bytes = check_key(L, "waitfor called without key");
    const lh_ns timeout = lh_check_timeout(L, 2);
    lh_messages *messages = lh_state_here()->messages;
    channel *ch = find_channel(messages, bytes);
    if (ch && ch->first <= ch->last && lh_list_is_empty(&ch->waiters)) {
        lua_pushnil(L);
        lua_pushvalue(L, 1);
        const int n = dequeue(L, messages, ch);
        lua_pushinteger(L, n);
        lua_replace(L, 3);
        return 2 + n;
    }
    if (timeout == 0) {
        lua_pushboolean(L, 0);
        return 1;
    }
    lh_task *task = lh_task_may_park(L, &waitfor_wait);
    if (!ch) ch = get_channel(L, messages, 1, bytes);
    lh_list_append(&ch->waiters, &task->wait_node);
    return lh_task_park(task, L, &waitfor_wait, lh_loop_deadline(timeout));
}

static int messages_gc(lua_State *L) {
    lh_messages *messages = lua_touserdata(L, 1);
    lh_slab_fini(&messages->channels);
    lh_ptrmap_fini(&messages->channel_of);
    return 0;
}

static const luaL_Reg functions[] = {{"notify", mtev_notify}, {NULL, NULL}};
static const luaL_Reg core_functions[] = {{"waitfor", core_waitfor}, {NULL, NULL}};

void lh_open_message(lua_State *L) {
    lh_messages *messages = lua_newuserdata(L, sizeof(*messages)); /* anchored by the registry until the state closes */
    *messages = (lh_messages){.sweep_at = SWEEP_MIN};
    lh_slab_init(&messages->channels, sizeof(channel) + sizeof(void *), 0); /* the slab's link goes behind the fields */
    lh_state_here()->messages = messages;
    lua_createtable(L, 0, 1);
    lh_set_collector(L, messages_gc);
    lua_setmetatable(L, -2);
    lua_setfield(L, LUA_REGISTRYINDEX, "mtev.messages");
    lua_newtable(L);
    messages->map_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_newtable(L);
    messages->queues_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lh_set_functions(L, LH_MTEV, functions);
    lh_set_functions(L, LH_CORE, core_functions);
}
