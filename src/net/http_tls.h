/* How a request of libcurl's verifies its server and shows itself.
 *
 * Owner: the settings and their strings are the caller's, and outlive the handles that were told of them.
 * Thread: any, one at a time; libcurl is loaded.
 * Errors: 0 or -ENOMEM. */
#pragma once
#include <curl/curl.h>
#include <stdbool.h>

#include "base/buffer.h"

/* Paths of PEM files, or PEM text (then there is a line break in it); NULL = none. */
typedef struct lh_http_tls {
    const char *certificate, *key;
    const char *ca;      /* also a directory; NULL = the system's store */
    const char *crl;     /* a file */
    const char *ciphers; /* OpenSSL's syntax */
    const char *ciphers_13;
    unsigned versions; /* LH_TLS_* of tls_context.h; 0 = any */
    bool is_verifying;
    bool accepts_unknown_issuer, ignores_dates; /* as in lh_tls_config */
} lh_http_tls;

/* Spells the settings out, with the state that their files are in now. Two that differ in how a server is verified have
 * different texts. `*has_files` becomes true when there are files; what is not there is spelled as such. */
int lh_http_tls_spell(lh_buffer *to, const lh_http_tls *tls, bool *has_files) __attribute__((warn_unused_result));

/* Tells a handle. `verification` is their spelling (empty: there was no memory for it, and the connection is for one
 * request); `sessions` is for those with that spelling alone, NULL = none are kept. */
void lh_http_tls_set(CURL *easy, const lh_http_tls *tls, const lh_buffer *verification, CURLSH *sessions);
