/* The load generator for TLS servers: a thread per connection, blocking. The servers read 64 KiB and write them back.
 */
#ifndef BENCH_TLS_LOAD_H
#define BENCH_TLS_LOAD_H

#include <stdbool.h>

typedef struct tls_load tls_load;

enum { TLS_MESSAGE_BYTES = 64 * 1024, TLS_THREADS_MAX = 64 };

/* Connects `connections` times and exchanges one message on each; none are needed for handshakes. NULL, with a message
 * on stderr, when that fails. `is_upgraded`: each connection begins with a request for "/echo". */
tls_load *tls_load_open(int port, int connections, bool is_upgraded);

/* `count` exchanges of 64 KiB, on all connections at once (at most TLS_THREADS_MAX). */
bool tls_load_echo(tls_load *l, long count);

/* `count` full handshakes on new connections, `at_once` at a time. */
bool tls_load_handshakes(tls_load *l, long count, int at_once);

void tls_load_close(tls_load *l);

#endif
