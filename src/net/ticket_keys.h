/* The keys of session tickets (RFC 5077, RFC 8446 4.6.1) that this process's TLS servers give out.
 *
 * Whoever has such a key can read what was said on resumed TLS 1.2 connections, and sessions of TLS 1.3 that are
 * resumed without a new key exchange, for as long as it is in use: so there is a new one every hour, and an old one
 * reads tickets only until these are too old anyway. All threads share them: a client need not come back to the thread
 * it left.
 *
 * Owner: static, one set per process; unit tests have their own.
 * Thread: any.
 * Errors: false, as said. */
#pragma once
#include <pthread.h>
#include <stdbool.h>

#include "base/clock.h"
#include "net/openssl.h"

enum { LH_TICKET_KEYS = 3, LH_TICKET_NAME_BYTES = 16, LH_TICKET_SECRET_BYTES = 32 };

/* A new key after so long; the oldest one that is kept has been out of use for LH_TICKET_KEYS - 1 of these at most. */
#define LH_TICKET_PERIOD (3600 * LH_SECOND)

typedef struct lh_ticket_key {
    unsigned char name[LH_TICKET_NAME_BYTES]; /* which one it is, in the ticket */
    unsigned char cipher[LH_TICKET_SECRET_BYTES], mac[LH_TICKET_SECRET_BYTES];
    lh_ns made;
} lh_ticket_key;

typedef struct lh_ticket_keys {
    pthread_mutex_t mutex; /* guards the rest */
    lh_ticket_key keys[LH_TICKET_KEYS];
    int count; /* the newest is the first */
} lh_ticket_keys;

/* The key for a ticket that is made at `now`. False: there are no random numbers. */
bool lh_ticket_keys_current(lh_ticket_keys *all, lh_ns now, lh_ticket_key *key);

/* The key that made a ticket. False: it is not known any more. `is_old`: there is a newer one. */
bool lh_ticket_keys_find(lh_ticket_keys *all, lh_ns now, const unsigned char *name, lh_ticket_key *key, bool *is_old);

/* Has the process's keys used by the servers of this SSL_CTX. */
bool lh_ticket_keys_use(SSL_CTX *ssl);
