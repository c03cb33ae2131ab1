/* What TLS connections of one configuration share: certificates, keys, the store of trusted ones, sessions to resume.
 *
 * Contexts are cached per thread by their configuration. Files are read when a context is made, and again when one of
 * them has changed.
 *
 * Owner: the net, until it closes; a connection keeps its context alive.
 * Thread: the loop's own.
 * Errors: in words. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "net/net.h"

typedef struct lh_tls_context lh_tls_context;
struct ssl_st;     /* OpenSSL's SSL */
struct ssl_ctx_st; /* its SSL_CTX */

enum { LH_TLS_ERROR_MAX = 256 };

enum { LH_TLS_1_0 = 1, LH_TLS_1_1 = 2, LH_TLS_1_2 = 4, LH_TLS_1_3 = 8 };

/* A certificate may carry its chain, and its key. Each is the path of a PEM file, or the PEM text itself (then there is
 * a line break in it); NULL = none. */
typedef struct lh_tls_identity {
    const char *name; /* server, in `hosts`: the name that the client asks for; may begin with "*." */
    const char *certificate, *key;
} lh_tls_identity;

typedef struct lh_tls_config {
    bool is_server;
    lh_tls_identity identity;
    const lh_tls_identity *hosts; /* server: by the client's SNI, instead of `identity` */
    size_t host_count;
    const char *ca;      /* PEM file, PEM text or directory; NULL = the system's store */
    const char *crl;     /* PEM file or text; NULL = none */
    const char *ciphers; /* OpenSSL's syntax, TLS 1.3 names too; NULL = OpenSSL's default */
    unsigned versions;   /* LH_TLS_*, at least one */
    const char *alpn;    /* as on the wire: each name after its length in one byte; a server's are its preference */
    size_t alpn_length;
    bool prefers_own_ciphers;
    bool is_verifying;           /* a peer whose certificate does not verify is refused */
    bool accepts_unknown_issuer; /* ... except for this reason */
    bool ignores_dates;          /* ... or this */
    bool requests_certificate;   /* server: of its clients */
    bool requires_certificate;
} lh_tls_config;

/* The context of that configuration, or NULL with the reason in `error`. */
lh_tls_context *lh_tls_context_get(lh_net *net, const lh_tls_config *config, char error[LH_TLS_ERROR_MAX]);

/* The files that went into it are still what they were. */
bool lh_tls_context_is_current(const lh_tls_context *context);

/* Keeps a context beyond the cache. */
void lh_tls_context_hold(lh_tls_context *context);
void lh_tls_context_release(lh_tls_context *context);

/* Closes the net's cache. */
void lh_tls_contexts_close(lh_net *net);

/* Leaves the context these versions, LH_TLS_*, at least one. False: OpenSSL has none of them. */
bool lh_tls_use_versions(struct ssl_ctx_st *ssl, unsigned versions);

/* X509_V_ERR_*: the certificate's issuer is not among the trusted ones. */
bool lh_tls_is_unknown_issuer(int reason);

/* -- For tls.c -- */

/* What a context has to know of a connection of its own, and tells. */
typedef struct lh_tls_link {
    char *peer;              /* client: whom a session can be resumed with, by name and address; NULL = nobody */
    int verify_error;        /* X509_V_ERR_*: the first, but one for which the peer was refused counts more */
    struct x509_st *refused; /* the certificate that did not verify; the connection's to free */
} lh_tls_link;

/* OpenSSL's object for a connection of the context, which it holds until lh_tls_context_release. NULL = out of memory.
 * A client's begins with the session of `link->peer`, if there is one. */
struct ssl_st *lh_tls_context_connect(lh_tls_context *context, lh_tls_link *link);

bool lh_tls_context_is_server(const lh_tls_context *context);
