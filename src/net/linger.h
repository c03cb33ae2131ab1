/* Connections that a script has closed, until what was written has arrived.
 *
 * close(2) answers what the peer has sent and nobody has read, or sends later, with a reset, and drops what has not
 * been acknowledged yet (RFC 2525, 2.17): an answer to a request that was not read to its end would be cut off. So a
 * TCP connection that may lose something is shut down first; what comes is read away, until the peer ends too, or has
 * all; after 30 seconds, or 64 MiB, the kernel gets it as it is. While there are any the program does not end by
 * itself.
 *
 * Owner: the net; a thousand at a time, then the oldest goes.
 * Thread: the loop's own.
 * Errors: none: what cannot linger is closed at once. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct lh_net;
struct lh_socket;

void lh_linger_open(struct lh_net *net);

/* Takes over the descriptor of a socket that closes, which is out of the poll. False: nothing can be lost, close it. */
bool lh_linger_take(struct lh_socket *socket);

/* Descriptors are short: gives up the oldest one. False: there is none. */
bool lh_linger_give_up(struct lh_net *net);

/* Armed timers of its own, for whoever counts leaks. */
size_t lh_linger_timers(const struct lh_net *net);

/* Closes all of them. */
void lh_linger_close(struct lh_net *net);
