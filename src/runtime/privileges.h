/* Becoming another user for good.
 *
 * Of what root may do, one thing stays: to bind ports below 1024 (CAP_NET_BIND_SERVICE), because scripts bind after
 * their program has become the user. Programs that a script starts do not have it.
 *
 * Owner: nothing.
 * Thread: the first, before others exist (capabilities are a thread's own, and inherited).
 * Errors: false; `message` says why. The process must not run on then. */
#pragma once
#include <stdbool.h>
#include <sys/types.h>

enum { LH_PRIVILEGES_MESSAGE_BYTES = 256 };

typedef struct lh_identity {
    uid_t user;       /* (uid_t)-1 = stays */
    gid_t group;      /* (gid_t)-1 = stays */
    const char *name; /* of the user, for its other groups; NULL = none */
} lh_identity;

/* Names or numbers; NULL = stays as it is; a user without a group gets that user's. The names must stay. */
bool lh_privileges_find(const char *user, const char *group, lh_identity *identity,
                        char message[LH_PRIVILEGES_MESSAGE_BYTES]);

/* Becomes it, and makes sure that there is no way back. */
bool lh_privileges_drop(const lh_identity *identity, char message[LH_PRIVILEGES_MESSAGE_BYTES]);
