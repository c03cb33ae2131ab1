#include "data/digest.h"

#include <assert.h>
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <string.h>
#include <sys/random.h>

#include "base/alloc.h"

enum { RANDOM_BYTES = 4096, UUID_BYTES = 16 };

static const struct {
    const char *name;
    size_t bytes;
} kinds[LH_DIGEST_KINDS] = {
    [LH_DIGEST_MD5] = {"MD5", 16}, [LH_DIGEST_SHA1] = {"SHA1", 20}, [LH_DIGEST_SHA256] = {"SHA256", 32}};

struct lh_digests {
    EVP_MD *algorithms[LH_DIGEST_KINDS]; /* fetched when first needed */
    EVP_MD_CTX *contexts[LH_DIGEST_KINDS];
    EVP_MAC *hmac;
    unsigned char random[RANDOM_BYTES];
    size_t random_left; /* bytes at the end of `random` not used yet */
};

lh_digests *lh_digests_new(void) { return lh_alloc(sizeof(lh_digests)); }

void lh_digests_free(lh_digests *digests) {
    if (!digests) return;
    for (int i = 0; i < LH_DIGEST_KINDS; i++) {
        EVP_MD_CTX_free(digests->contexts[i]);
        EVP_MD_free(digests->algorithms[i]);
    }
    EVP_MAC_free(digests->hmac);
    lh_free(digests);
}

size_t lh_digest_bytes(lh_digest_kind kind) { return kinds[kind].bytes; }

/* A context of each kind keeps its algorithm: starting anew is then a reset. */
static EVP_MD_CTX *context_of(lh_digests *digests, lh_digest_kind kind) {
    assert(kind < LH_DIGEST_KINDS && !digests->algorithms[kind] == !digests->contexts[kind]);
    EVP_MD_CTX *context = digests->contexts[kind];
    if (context) return EVP_DigestInit_ex2(context, NULL, NULL) ? context : NULL;
    digests->algorithms[kind] = EVP_MD_fetch(NULL, kinds[kind].name, NULL);
    context = EVP_MD_CTX_new();
    if (digests->algorithms[kind] && context && EVP_DigestInit_ex2(context, digests->algorithms[kind], NULL)) {
        digests->contexts[kind] = context;
        return context;
    }
    EVP_MD_CTX_free(context);
    EVP_MD_free(digests->algorithms[kind]);
    digests->algorithms[kind] = NULL;
    return NULL;
}

bool lh_digest(lh_digests *digests, lh_digest_kind kind, const char *bytes, size_t length, unsigned char *out) {
    EVP_MD_CTX *context = context_of(digests, kind);
    return context && EVP_DigestUpdate(context, bytes, length) && EVP_DigestFinal_ex(context, out, NULL);
}

bool lh_digest_hmac(lh_digests *digests, lh_digest_kind kind, const char *message, size_t length, const char *key,
                    size_t key_length, unsigned char *out) {
    if (!digests->hmac) digests->hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *context = digests->hmac ? EVP_MAC_CTX_new(digests->hmac) : NULL;
    if (!context) return false;
    char name[16];
    strncpy(name, kinds[kind].name, sizeof(name) - 1)[sizeof(name) - 1] = '\0';
    const OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
                                     OSSL_PARAM_construct_end()};
    size_t written;
    /* An empty key is a key: NULL would mean "the one before". */
    const unsigned char *bytes = (const unsigned char *)(key_length ? key : "");
    const bool ok = EVP_MAC_init(context, bytes, key_length, parameters) &&
                    EVP_MAC_update(context, (const unsigned char *)message, length) &&
                    EVP_MAC_final(context, out, &written, kinds[kind].bytes);
    assert(!ok || written == kinds[kind].bytes);
    EVP_MAC_CTX_free(context);
    return ok;
}

void lh_digest_hex(const unsigned char *bytes, size_t length, char *out) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < length; i++) {
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
}

/* getrandom cannot fail for long: only before the kernel's generator is ready, or by a signal. */
static void refill(lh_digests *digests) {
    for (size_t done = 0; done < RANDOM_BYTES;) {
        const ssize_t n = getrandom(digests->random + done, RANDOM_BYTES - done, 0);
        if (n > 0) done += (size_t)n;
    }
    digests->random_left = RANDOM_BYTES;
}

void lh_digest_uuid(lh_digests *digests, char out[LH_UUID_LENGTH]) {
    static const int group_bytes[] = {4, 2, 2, 2, 6};
    if (digests->random_left == 0) refill(digests);
    assert(digests->random_left >= UUID_BYTES && digests->random_left <= RANDOM_BYTES);
    unsigned char *bytes = digests->random + RANDOM_BYTES - digests->random_left;
    digests->random_left -= UUID_BYTES;
    bytes[6] = (unsigned char)((bytes[6] & 0x0f) | 0x40);
    bytes[8] = (unsigned char)((bytes[8] & 0x3f) | 0x80);
    const unsigned char *from = bytes;
    for (int group = 0; group < 5; group++) {
        if (group) *out++ = '-';
        lh_digest_hex(from, (size_t)group_bytes[group], out);
        out += 2 * group_bytes[group];
        from += group_bytes[group];
    }
    assert(from == bytes + UUID_BYTES);
    memset(bytes, 0, UUID_BYTES); /* nobody finds it here later */
}
