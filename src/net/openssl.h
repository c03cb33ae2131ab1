/* OpenSSL's headers, whose old names for hash tables begin with lh_ as well. */
#pragma once
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#undef lh_free
