/* Tunnels by name, for all threads: "reverse:NAME".
 *
 * A process that connected to us offers a name; whoever wants to reach it, on any thread, dials the name and gets one
 * end of a socket pair, whose other end goes through the tunnel on the tunnel's own thread. Of several tunnels of one
 * name the newest counts.
 *
 * Owner: a published tunnel stays its owner's. A dial is the caller's until it ends or is given up.
 * Thread: as each function says.
 * Errors: in words. */
#pragma once
#include "net/tunnel.h"

typedef struct lh_dial lh_dial;

/* How a dial ended, on the thread that dialled: `take_socket` is connected, or NULL and `reason` says why not. */
typedef void (*lh_dial_fn)(void *owner, lh_socket *take_socket, const char *reason);

/* The tunnel's thread. The tunnel is unpublished before it is closed. */
void lh_reverse_publish(lh_tunnel *tunnel, lh_net *net, const char *name);
void lh_reverse_unpublish(const lh_tunnel *tunnel);

/* Any loop's thread. NULL with *error: EHOSTUNREACH: no tunnel has that name; else an errno. on_done comes later. */
lh_dial *lh_reverse_dial(lh_net *net, const char *name, lh_dial_fn on_done, void *owner, int *error);

/* The thread that dialled. The answer is not wanted any more. Accepts NULL. */
void lh_dial_give_up(lh_dial *dial);

/* Every loop has stopped for good: from here on nothing is told any more. The main thread. */
void lh_reverse_end(void);
