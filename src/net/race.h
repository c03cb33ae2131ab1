/* Connecting to one of several addresses: "happy eyeballs" (RFC 8305).
 *
 * The addresses are tried in order, families taking turns, each on a socket of its own: the next one begins when an
 * attempt fails, or a quarter of a second after it began without an answer. The first that is connected wins, the
 * others are closed.
 *
 * Owner: the race is its own; it is gone after on_done or lh_race_stop.
 * Thread: the loop's own.
 * Errors: positive errno in on_done. */
#pragma once
#include "net/socket.h"

typedef struct lh_race lh_race;

/* How it ended: `take_winner` is connected, or NULL and `error` is that of the first attempt. */
typedef void (*lh_race_fn)(void *owner, lh_socket *take_winner, int error);

/* `addresses` (at least one) are copied. Sockets get the options that were set on `like`, whose family is tried first;
 * `like` outlives the race. on_done is not called from in here. */
lh_race *lh_race_start(lh_socket *like, const lh_address *addresses, size_t count, lh_race_fn on_done, void *owner);

/* Accepts NULL. */
void lh_race_stop(lh_race *race);
