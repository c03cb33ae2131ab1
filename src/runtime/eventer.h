/* mtev.eventer: a socket or pipe as scripts hold it.
 *
 * An eventer is a handle: a userdata that points at an lh_socket and belongs to a task. When the task ends its eventers
 * are closed. `own` makes a new handle and leaves the old one dead; `split` makes two, one per direction, that share
 * the socket. A task that waits for a socket waits on the lh_socket, not on the handle, so the handle may be collected
 * meanwhile: the socket is then closed when the wait ends.
 *
 * Owner: the handle is Lua's; the socket is closed with its last handle.
 * Thread: the state's own.
 * Errors: lh_check_eventer and lh_eventer_expect raise; the rest cannot fail. */
#pragma once
#include "net/socket.h"
#include "runtime/task.h"

typedef enum lh_eventer_life {
    LH_EVENTER_OPEN,
    LH_EVENTER_CLOSED,   /* by close */
    LH_EVENTER_ENDED,    /* because the owning task ended */
    LH_EVENTER_DISOWNED, /* another handle has taken over */
} lh_eventer_life;

enum { LH_EVENTER_READS = 1, LH_EVENTER_WRITES = 2 };

typedef struct lh_eventer lh_eventer;

struct lh_eventer {
    lh_owned owned;      /* in its task's list while open */
    lh_socket *socket;   /* NULL unless open */
    lh_task *owner;      /* valid while linked */
    lh_eventer *sibling; /* the other half after a split, while that is open */
    char *created_at;    /* "script.lua:12"; kept only while debug/lua is enabled */
    uint8_t life;        /* lh_eventer_life */
    uint8_t directions;  /* LH_EVENTER_* it may use */
};

/* Sees to it that the next `count` calls of lh_eventer_push do not raise: to be called before there is a socket that
 * they could lose. */
void lh_eventer_reserve(lua_State *L, int count);
enum { LH_EVENTER_RESERVE_MAX = 3 };

/* Pushes a handle that owns `socket` for the running task. */
lh_eventer *lh_eventer_push(lua_State *L, lh_socket *take_socket);

/* The eventer at `index`; raises when it is none, closed or disowned. */
lh_eventer *lh_check_eventer(lua_State *L, int index);

/* The same, and raises when it is a half that lacks `directions`. */
lh_eventer *lh_check_eventer_half(lua_State *L, int index, int directions);

/* The same, and raises when the running task does not own it. */
lh_eventer *lh_check_own_eventer(lua_State *L, int index, int directions);

/* The eventer at `index` in whatever state, or a raise. */
lh_eventer *lh_check_any_eventer(lua_State *L, int index);

/* Closes; idempotent. Tasks parked on it wake with their call's failure and "closed". */
void lh_eventer_close(lh_eventer *eventer);

/* Takes the socket out of a handle that has both directions, which is closed from then on; raises when somebody waits
 * on it. */
lh_socket *lh_eventer_take_socket(lua_State *L, lh_eventer *eventer);

/* Creates the metatable; `methods` ends with a NULL name. Leaves the table of methods on the stack. */
void lh_eventer_open_type(lua_State *L, const luaL_Reg *methods);

/* The address for `socket` that a script gave at `index`, `port_index`: an IP literal and port, or a unix path. Misuse
 * raises; NULL on success, else why there is none (valid while it stays on the stack). */
const char *lh_check_target(lua_State *L, const lh_socket *socket, int index, int port_index, lh_address *address);
