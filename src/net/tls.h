/* TLS over a connected stream socket, on OpenSSL.
 *
 * lh_tls_start makes a TLS connection of a socket; after the handshake lh_stream_* read and write plain bytes as
 * before. What connections of one configuration share (certificates, sessions to resume) is an lh_tls_context: see
 * tls_context.h.
 *
 * An idle connection holds no buffers. Renegotiation is refused. The peer's end without its close_notify is an error:
 * somebody may have cut the rest off.
 *
 * Owner: an lh_tls belongs to its socket and to those that lh_tls_hold it; the socket's end leaves it readable.
 * Thread: the loop's own.
 * Errors: negative errno; -EPROTO = TLS's own, in words from lh_tls_error. */
#pragma once
#include "net/socket.h"
#include "net/tls_context.h"

typedef struct lh_tls lh_tls;

/* The socket speaks TLS from here on; bytes of it that were received but not read belong to the handshake. `name` is
 * the peer's, for SNI and for its certificate (a host name or an IP literal: see tls_name.h), NULL = none. 0,
 * -ENOTCONN, -EALREADY, -EOPNOTSUPP, -EINVAL for a name that is none, or -ENOMEM. */
int lh_tls_start(lh_socket *socket, lh_tls_context *context, const char *name) __attribute__((warn_unused_result));

/* LH_STREAM_DONE, LH_STREAM_WAIT (try again in on_readable), or a negative errno that ended the socket. */
int lh_tls_handshake(lh_socket *socket) __attribute__((warn_unused_result));

/* The TLS connection of a socket, NULL = it speaks plain. */
lh_tls *lh_tls_at(const lh_socket *socket);

/* What went wrong, in words; NULL = nothing did. */
const char *lh_tls_error(const lh_tls *tls);

/* Why the peer's certificate did not verify, whether that was enforced or not; NULL = it did, or there was none. */
const char *lh_tls_verify_error(const lh_tls *tls);

/* The name given to lh_tls_start, or NULL. */
const char *lh_tls_name(const lh_tls *tls);

/* The peer's own certificate, also one that was refused; NULL = none was seen. */
struct x509_st *lh_tls_certificate(const lh_tls *tls);

/* The peer's certificate verified and is `name`'s: as one of its DNS names or its common name, to the letter but for
 * case.
 */
bool lh_tls_peer_is(const lh_tls *tls, const char *name);

/* OpenSSL's object, for whoever wants to know more about the connection; not to be read from or written to. */
struct ssl_st *lh_tls_ssl(const lh_tls *tls);

/* -- Holding -- */

lh_tls *lh_tls_hold(lh_tls *tls);
void lh_tls_release(lh_tls *tls);
