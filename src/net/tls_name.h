/* The name of a TLS peer, as it is asked for and compared with the certificate.
 *
 * A name that is used without a look verifies something else than it says: OpenSSL takes ".x" for everything below x, a
 * NUL ends a C string in the middle, "127.1" is an address to some and a name to others. So each name, whichever
 * function it came through, is read here once.
 *
 * Owner: the caller's buffer. Thread: any. Errors: in words. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

enum { LH_TLS_NAME_MAX = 256 }; /* with its NUL: a host name has 253 bytes at most */

/* Writes the name as it is to be verified: a host name without the root's dot at its end, or an IP address without zone
 * and brackets, in its one spelling (RFC 5952). NULL; or why it is none of these: it is for people, behind the name. */
const char *lh_tls_name_read(const char *text, size_t length, char name[LH_TLS_NAME_MAX]);

/* The name, as written by lh_tls_name_read, is an IP address: it is compared with the certificate's addresses. */
bool lh_tls_name_is_ip(const char *name);
