/* Asking DNS servers: c-ares on our loop.
 *
 * A resolver is a c-ares channel: it sends, retries, goes over to TCP when an answer was cut off, and drops what does
 * not answer a question of its own. One per thread and name server, or for the servers of /etc/resolv.conf, which is
 * read again when it has changed. At most a few hundred fresh questions are on their way at once, lest the kernel's
 * buffers overflow; the others queue.
 *
 * Owner: the net keeps resolvers until it closes; a question is the resolver's.
 * Thread: the loop's own.
 * Errors: as each function says. */
#pragma once
#include <stdbool.h>

#include "net/net.h"

typedef struct lh_resolver lh_resolver;
typedef struct lh_question lh_question;

/* Called once, from the loop; `bytes` is the message, or NULL with why there is none:
 * "timeout", "no such name", "server failure" ... A message may still say that there is no such name. */
typedef void (*lh_answer_fn)(lh_question *question, const char *bytes, size_t length, const char *error);

struct lh_question {
    lh_answer_fn on_answer; /* NULL = nobody wants it any more */
    void *owner;            /* the caller's */
    lh_resolver *resolver;
    lh_list node; /* in one of the resolver's lists */
    lh_ns sent_ns;
    bool is_fresh;     /* counts as on its way */
    const char *error; /* why it could not even be sent, NULL = it was */
    unsigned class_number, type;
    char name[];
};

/* The resolver for `nameserver`: "ip", "ip:port", "[ip]:port"; NULL = the system's. NULL when it is none of these, or
 * when c-ares cannot start. */
lh_resolver *lh_resolver_get(lh_net *net, const char *nameserver);

/* As it was given to lh_resolver_get. */
const char *lh_resolver_nameserver(const lh_resolver *resolver);

/* Asks. The question is the resolver's and gone after on_answer, which is never called from in here. */
lh_question *lh_resolver_ask(lh_resolver *resolver, const char *name, unsigned class_number, unsigned type,
                             lh_answer_fn on_answer, void *owner);

/* The answer is not wanted any more. */
void lh_resolver_forget(lh_question *question);

/* Closes all resolvers of the net. */
void lh_resolvers_close(lh_net *net);
