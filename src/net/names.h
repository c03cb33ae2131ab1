/* Addresses of a host's name, as the system finds them: getaddrinfo(3) on the pools, which honours /etc/hosts.
 *
 * Names of /etc/hosts and addresses in any form that getaddrinfo reads have threads of their own: they are answered
 * also while name servers do not.
 *
 * Owner: a request is the caller's; it frees it with lh_names_free in on_done.
 * Thread: the loop's own.
 * Errors: `error` is one of EAI_*, 0 = none. */
#pragma once
#include "loop/pool.h"
#include "net/address.h"

typedef struct lh_names lh_names;

struct lh_names {
    lh_job job;
    void (*on_done)(lh_names *names, bool is_closing); /* takes it; is_closing: only to free it */
    void *owner;                                       /* the caller's; NULL = nobody wants it any more */
    int family;                                        /* AF_UNSPEC, AF_INET, AF_INET6 */
    int error;
    int system_error;      /* errno, where the system lacked something; 0 = `error` says it */
    bool is_far;           /* a server has to be asked */
    lh_address *addresses; /* as the system orders them (RFC 6724); ports are 0 */
    size_t count;
    char host[];
};

lh_names *lh_names_ask(lh_loop *loop, const char *host, int family, void (*on_done)(lh_names *names, bool is_closing),
                       void *owner);

/* Nobody wants it any more; on_done is still called, with `owner` NULL, to free it. */
void lh_names_forget(lh_names *names);

/* Why there is none, in words. */
const char *lh_names_error_text(const lh_names *names);

void lh_names_free(lh_names *names);
