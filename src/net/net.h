/* The state of the net floor: one per thread, embedding the loop.
 *
 * Owner: embedded in the state of the floor above.
 * Thread: the loop's own.
 * Errors: negative errno. */
#pragma once
#include "base/slab.h"
#include "loop/loop.h"

struct lh_socket;

enum { LH_NET_SCRATCH_BYTES = 64 * 1024 };

typedef struct lh_net {
    lh_loop loop;
    lh_slab sockets;            /* every lh_socket of the thread */
    char *scratch;              /* where all sockets receive; LH_NET_SCRATCH_BYTES */
    struct lh_socket *borrower; /* the socket whose unread bytes still lie in `scratch`, or NULL */
    char *tls_batch;            /* encrypted bytes on their way to the kernel, within one call; NULL = no TLS yet */
    struct lh_tls_contexts *tls_contexts; /* NULL = none yet */
    struct lh_http *http;                 /* NULL = no request yet */
    lh_list resolvers;                    /* of names, by server */
    lh_list held;                         /* listeners that ran out of descriptors, waiting for one to close */
    lh_list lingering;                    /* linger.c's: closed connections, until what was written has arrived */
    size_t lingering_count;               /* ... how many */
    lh_timer linger_timer;                /* ... looks at them while there are any */
    size_t open_count;                    /* open sockets, for whoever counts leaks */
} lh_net;

int lh_net_open(lh_net *net) __attribute__((warn_unused_result));

/* All sockets are closed by their owners before. */
void lh_net_close(lh_net *net);

/* Makes the scratch free to receive into: whoever borrows it moves its bytes to a block of its own. 0 or -ENOMEM. */
int lh_net_claim_scratch(lh_net *net) __attribute__((warn_unused_result));

/* The net whose loop this is. */
static inline lh_net *lh_net_of(lh_loop *loop) { return LH_CONTAINER(loop, lh_net, loop); }
