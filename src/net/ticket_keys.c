#include "net/ticket_keys.h"

#include <openssl/core_names.h>
#include <string.h>

static bool is_over(const lh_ticket_key *key, lh_ns now, unsigned periods) {
    return now >= key->made && now - key->made >= periods * LH_TICKET_PERIOD;
}

/* A fresh key at the front; the last one is forgotten. */
static bool add_key(lh_ticket_keys *all, lh_ns now) {
    lh_ticket_key key = {.made = now};
    const bool is_random = RAND_bytes(key.name, sizeof(key.name)) == 1 &&
                           RAND_priv_bytes(key.cipher, sizeof(key.cipher)) == 1 &&
                           RAND_priv_bytes(key.mac, sizeof(key.mac)) == 1;
    if (is_random) {
        memmove(&all->keys[1], &all->keys[0], (LH_TICKET_KEYS - 1) * sizeof(key));
        all->keys[0] = key;
        if (all->count < LH_TICKET_KEYS) all->count++;
    }
    OPENSSL_cleanse(&key, sizeof(key));
    return is_random;
}

/* Forgets keys by which no ticket can count any more, also when nobody has asked for a new one meanwhile. */
static void drop_old(lh_ticket_keys *all, lh_ns now) {
    while (all->count > 0 && is_over(&all->keys[all->count - 1], now, LH_TICKET_KEYS)) {
        OPENSSL_cleanse(&all->keys[--all->count], sizeof(lh_ticket_key));
    }
}

bool lh_ticket_keys_current(lh_ticket_keys *all, lh_ns now, lh_ticket_key *key) {
    pthread_mutex_lock(&all->mutex);
    drop_old(all, now);
    const bool is_there = (all->count > 0 && !is_over(&all->keys[0], now, 1)) || add_key(all, now);
    if (is_there) *key = all->keys[0];
    pthread_mutex_unlock(&all->mutex);
    return is_there;
}

bool lh_ticket_keys_find(lh_ticket_keys *all, lh_ns now, const unsigned char *name, lh_ticket_key *key, bool *is_old) {
    bool is_found = false;
    pthread_mutex_lock(&all->mutex);
    drop_old(all, now);
    for (int i = 0; i < all->count && !is_found; i++) {
        if (CRYPTO_memcmp(all->keys[i].name, name, LH_TICKET_NAME_BYTES) != 0) continue;
        *key = all->keys[i];
        *is_old = i > 0 || is_over(&all->keys[0], now, 1);
        is_found = true;
    }
    pthread_mutex_unlock(&all->mutex);
    return is_found;
}

/* -- OpenSSL's callback -------------------------------------------------------------------------------------------- */

static lh_ticket_keys process_keys = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static bool set_mac(EVP_MAC_CTX *mac, lh_ticket_key *key) {
    char digest[] = "SHA256";
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac, sizeof(key->mac)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_CTX_set_params(mac, parameters) == 1;
}

/* OpenSSL's numbers: 1 = done, 2 = done, and the client is to have a new ticket, 0 = no ticket, or not ours, -1 =
 * failed. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                     int is_encrypting) {
    (void)ssl;
    lh_ticket_key key;
    bool is_old = false, is_set;
    if (is_encrypting) {
        if (!lh_ticket_keys_current(&process_keys, lh_clock_now(), &key)) return 0;
        memcpy(name, key.name, sizeof(key.name));
        is_set = RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) == 1 &&
                 EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key.cipher, iv) == 1 && set_mac(mac, &key);
    } else {
        if (!lh_ticket_keys_find(&process_keys, lh_clock_now(), name, &key, &is_old)) return 0;
        is_set = set_mac(mac, &key) && EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key.cipher, iv) == 1;
    }
    OPENSSL_cleanse(&key, sizeof(key));
    return !is_set ? -1 : is_old ? 2 : 1;
}

bool lh_ticket_keys_use(SSL_CTX *ssl) { return SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl, on_ticket) == 1; }
