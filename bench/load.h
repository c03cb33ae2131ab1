/* The load generator: one thread, one epoll, a number of connections that each send a message, wait for the whole
 * answer and send the next. The same for every server. */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stdbool.h>
#include <stddef.h>

typedef struct load load;

typedef struct load_plan {
    int port;
    int connections;
    bool is_http;     /* requests for "/", instead of lines of 64 bytes */
    bool is_upgraded; /* a line server inside an HTTP server: each connection begins with a request for "/echo" */
} load_plan;

/* Connects all and sends one message on each, to warm both sides up. NULL, with a message on stderr, when that fails.
 */
load *load_open(const load_plan *plan);

/* Exchanges `count` messages in all; false, with a message on stderr, when the server fails or nothing comes for 30 s.
 */
bool load_run(load *l, long count);

void load_close(load *l);

#endif
