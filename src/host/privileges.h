/* Becoming another user for good.
 *
 * Of what root may do, one thing stays: to bind ports below 1024 (CAP_NET_BIND_SERVICE), because scripts bind after
 * their program has become the user. Programs that a script starts do not have it, nor can they gain anything: not by
 * set-user-ID bits or file capabilities (PR_SET_NO_NEW_PRIVS), and the bounding set holds that one only.
 *
 * Owner: nothing.
 * Thread: the first, before others exist (capabilities are a thread's own, and inherited).
 * Errors: false; `message` says why. The process must not run on then. */
#pragma once
#include <stdbool.h>
#include <sys/types.h>

enum { LH_PRIVILEGES_MESSAGE_BYTES = 256 };

typedef struct lh_identity {
    uid_t user;    /* (uid_t)-1 = stays */
    gid_t group;   /* (gid_t)-1 = stays */
    char name[64]; /* of the user, for its other groups; "" = none */
} lh_identity;

/* Names or numbers; NULL = stays as it is; a user without a group gets that user's. A number that no account has needs
 * a group: it would keep that of root. */
bool lh_privileges_find(const char *user, const char *group, lh_identity *identity,
                        char message[LH_PRIVILEGES_MESSAGE_BYTES]);

/* Becomes it, and makes sure that there is no way back. */
bool lh_privileges_drop(const lh_identity *identity, char message[LH_PRIVILEGES_MESSAGE_BYTES]);
