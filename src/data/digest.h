/* Digests and keyed digests on OpenSSL, and random UUIDs.
 *
 * The algorithms are fetched once per lh_digests, not per call, which is what makes short inputs fast.
 *
 * Owner: lh_digests_new, lh_digests_free.
 * Thread: one at a time per lh_digests.
 * Errors: false when OpenSSL refuses the algorithm (a FIPS policy) or is out of memory. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

typedef struct lh_digests lh_digests;

typedef enum lh_digest_kind { LH_DIGEST_MD5, LH_DIGEST_SHA1, LH_DIGEST_SHA256, LH_DIGEST_KINDS } lh_digest_kind;

enum { LH_DIGEST_MAX_BYTES = 32, LH_UUID_LENGTH = 36 };

lh_digests *lh_digests_new(void);
void lh_digests_free(lh_digests *digests);

/* Bytes of the digest: 16, 20, 32. */
size_t lh_digest_bytes(lh_digest_kind kind);

bool lh_digest(lh_digests *digests, lh_digest_kind kind, const char *bytes, size_t length, unsigned char *out);

/* RFC 2104. */
bool lh_digest_hmac(lh_digests *digests, lh_digest_kind kind, const char *message, size_t length, const char *key,
                    size_t key_length, unsigned char *out);

/* Two lower-case digits per byte; no NUL. */
void lh_digest_hex(const unsigned char *bytes, size_t length, char *out);

/* RFC 4122, version 4, lower case, from getrandom(2) in batches; no NUL. */
void lh_digest_uuid(lh_digests *digests, char out[LH_UUID_LENGTH]);
