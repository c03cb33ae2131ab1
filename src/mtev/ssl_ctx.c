/* What scripts get: e:ssl_ctx() and what it leads to, `crypto.x509` and `crypto.ssl_session`: objects with fields,
 * each read when it is asked for. They keep OpenSSL's objects alive, also after e:close(). */
#include <arpa/inet.h>
#include <assert.h>
#include <string.h>
#include <time.h>

#include "mtev/init.h"
#include "net/openssl.h"
#include "net/tls.h"
#include "runtime/collector.h"
#include "runtime/errors.h"
#include "runtime/eventer.h"
#include "runtime/type.h"

#define SSL_CTX_TYPE "mtev.eventer.ssl_ctx"
#define X509_TYPE "crypto.x509"
#define SESSION_TYPE "crypto.ssl_session"
#define KNOWN "mtev.ssl_ctx" /* registry: lh_tls -> its object, while somebody has it */

/* A field: pushes one value. */
typedef struct field {
    const char *name;
    void (*push)(lua_State *L, void *object);
} field;

/* __index(self, name): upvalues are the array of fields, the type's name. */
static int index_field(lua_State *L) {
    const char *type = lua_tostring(L, lua_upvalueindex(2));
    void **object = lh_type_test(L, 1, type);
    if (!object) lh_raise_type(L, 1, type);
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    for (const field *f = lua_touserdata(L, lua_upvalueindex(1)); *object && f->name; f++) {
        if (strcmp(f->name, name) != 0) continue;
        f->push(L, *object);
        return 1;
    }
    return 0;
}

static void push_text(lua_State *L, const char *text) {
    if (text) {
        lua_pushstring(L, text);
    } else {
        lua_pushnil(L);
    }
}

/* -- Parts of certificates ----------------------------------------------------------------------------------------- */

static void push_name(lua_State *L, const X509_NAME *name) {
    char *line = X509_NAME_oneline(name, NULL, 0);
    push_text(L, line);
    OPENSSL_free(line);
}

static void push_time(lua_State *L, const ASN1_TIME *time) {
    struct tm fields;
    if (time && ASN1_TIME_to_tm(time, &fields) == 1) {
        lua_pushnumber(L, (double)timegm(&fields));
    } else {
        lua_pushnil(L);
    }
}

static void add_separated(luaL_Buffer *out, int count, const char *bytes, size_t length) {
    if (count > 0) luaL_addlstring(out, ", ", 2);
    luaL_addlstring(out, bytes, length);
}

static int add_dns(luaL_Buffer *out, int count, const GENERAL_NAME *name) {
    if (name->type != GEN_DNS) return count;
    add_separated(out, count, (const char *)ASN1_STRING_get0_data(name->d.dNSName),
                  (size_t)ASN1_STRING_length(name->d.dNSName));
    return count + 1;
}

static int add_ip(luaL_Buffer *out, int count, const GENERAL_NAME *name) {
    if (name->type != GEN_IPADD) return count;
    char text[INET6_ADDRSTRLEN];
    const int family = ASN1_STRING_length(name->d.iPAddress) == 4 ? AF_INET : AF_INET6;
    if (family == AF_INET6 && ASN1_STRING_length(name->d.iPAddress) != 16) return count;
    inet_ntop(family, ASN1_STRING_get0_data(name->d.iPAddress), text, sizeof(text));
    add_separated(out, count, text, strlen(text));
    return count + 1;
}

/* The subject's alternative names that `add` takes, joined; nil if there is none. */
static void push_alternatives(lua_State *L, X509 *certificate, int (*add)(luaL_Buffer *, int, const GENERAL_NAME *)) {
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    int count = 0;
    luaL_Buffer out;
    luaL_buffinit(L, &out);
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) count = add(&out, count, sk_GENERAL_NAME_value(names, i));
    luaL_pushresult(&out);
    GENERAL_NAMES_free(names);
    if (count > 0) return;
    lua_pop(L, 1);
    lua_pushnil(L);
}

/* -- crypto.x509 --------------------------------------------------------------------------------------------------- */

/* Numbers above 2^53 go by their decimal digits. */
static void x509_serial(lua_State *L, void *object) {
    enum { EXACT_BITS = 53 };
    BIGNUM *serial = ASN1_INTEGER_to_BN(X509_get0_serialNumber(object), NULL);
    if (!serial) {
        lua_pushnil(L);
        return;
    }
    char *digits = BN_bn2dec(serial);
    lua_pushstring(L, digits);
    if (BN_num_bits(serial) <= EXACT_BITS) {
        lua_pushnumber(L, lua_tonumber(L, -1));
        lua_remove(L, -2);
    }
    OPENSSL_free(digits);
    BN_free(serial);
}

static void x509_bits(lua_State *L, void *object) {
    const EVP_PKEY *key = X509_get0_pubkey(object);
    if (key) {
        lua_pushinteger(L, EVP_PKEY_get_bits(key));
    } else {
        lua_pushnil(L);
    }
}

static void x509_type(lua_State *L, void *object) {
    const EVP_PKEY *key = X509_get0_pubkey(object);
    switch (key ? EVP_PKEY_get_base_id(key) : NID_undef) {
    case EVP_PKEY_RSA:
    case EVP_PKEY_RSA_PSS: push_text(L, "rsa"); break;
    case EVP_PKEY_DSA: push_text(L, "dsa"); break;
    case EVP_PKEY_EC: push_text(L, "ec"); break;
    case EVP_PKEY_ED25519: push_text(L, "ed25519"); break;
    case EVP_PKEY_ED448: push_text(L, "ed448"); break;
    default: push_text(L, key ? EVP_PKEY_get0_type_name(key) : NULL);
    }
}

static void x509_signature_algorithm(lua_State *L, void *object) {
    push_text(L, OBJ_nid2ln(X509_get_signature_nid(object)));
}

static void x509_purpose(lua_State *L, void *object) {
    lua_newtable(L);
    for (int i = 0; i < X509_PURPOSE_get_count(); i++) {
        const X509_PURPOSE *purpose = X509_PURPOSE_get0(i);
        lua_pushinteger(L, X509_check_purpose(object, X509_PURPOSE_get_id(purpose), 0) == 1);
        lua_pushvalue(L, -1);
        lua_setfield(L, -3, X509_PURPOSE_get0_name(purpose));  /* "SSL client" */
        lua_setfield(L, -2, X509_PURPOSE_get0_sname(purpose)); /* "sslclient" */
    }
}

static void x509_ocsp(lua_State *L, void *object) {
    STACK_OF(OPENSSL_STRING) *urls = X509_get1_ocsp(object);
    push_text(L, sk_OPENSSL_STRING_num(urls) > 0 ? sk_OPENSSL_STRING_value(urls, 0) : NULL);
    X509_email_free(urls);
}

static void x509_subject(lua_State *L, void *object) { push_name(L, X509_get_subject_name(object)); }
static void x509_issuer(lua_State *L, void *object) { push_name(L, X509_get_issuer_name(object)); }
static void x509_start_time(lua_State *L, void *object) { push_time(L, X509_get0_notBefore(object)); }
static void x509_end_time(lua_State *L, void *object) { push_time(L, X509_get0_notAfter(object)); }
static void x509_san_list(lua_State *L, void *object) { push_alternatives(L, object, add_dns); }
static void x509_san_ips(lua_State *L, void *object) { push_alternatives(L, object, add_ip); }

static void push_pem(lua_State *L, X509 *certificate) {
    BIO *bio = BIO_new(BIO_s_mem());
    char *bytes;
    PEM_write_bio_X509(bio, certificate);
    const long length = BIO_get_mem_data(bio, &bytes);
    lua_pushlstring(L, bytes, length > 0 ? (size_t)length : 0);
    BIO_free(bio);
}

static void x509_pem(lua_State *L, void *object) { push_pem(L, object); }

static const field x509_fields[] = {{"serial", x509_serial},
                                    {"bits", x509_bits},
                                    {"type", x509_type},
                                    {"signature_algorithm", x509_signature_algorithm},
                                    {"purpose", x509_purpose},
                                    {"ocsp", x509_ocsp},
                                    {"subject", x509_subject},
                                    {"issuer", x509_issuer},
                                    {"start_time", x509_start_time},
                                    {"end_time", x509_end_time},
                                    {"san_list", x509_san_list},
                                    {"san_ips", x509_san_ips},
                                    {"pem", x509_pem},
                                    {NULL, NULL}};

static int x509_gc(lua_State *L) {
    void **object = lua_touserdata(L, 1);
    X509_free(*object);
    *object = NULL;
    return 0;
}

/* -- crypto.ssl_session -------------------------------------------------------------------------------------------- */

enum { MASTER_KEY_MAX = 256 };

static void session_cipher(lua_State *L, void *object) {
    const SSL_CIPHER *cipher = SSL_SESSION_get0_cipher(object);
    push_text(L, cipher ? SSL_CIPHER_get_name(cipher) : NULL);
}

static const char *version_name(int version) {
    switch (version) {
    case TLS1_VERSION: return "TLSv1";
    case TLS1_1_VERSION: return "TLSv1.1";
    case TLS1_2_VERSION: return "TLSv1.2";
    case TLS1_3_VERSION: return "TLSv1.3";
    default: return NULL;
    }
}

static void session_version(lua_State *L, void *object) {
    push_text(L, version_name(SSL_SESSION_get_protocol_version(object)));
}

static void session_master_key(lua_State *L, void *object) {
    unsigned char key[MASTER_KEY_MAX];
    const size_t length = SSL_SESSION_get_master_key(object, key, sizeof(key));
    lua_pushlstring(L, (const char *)key, length);
    OPENSSL_cleanse(key, sizeof(key));
}

static void session_master_key_bits(lua_State *L, void *object) {
    lua_pushinteger(L, 8 * (lua_Integer)SSL_SESSION_get_master_key(object, NULL, 0));
}

static int session_gc(lua_State *L) {
    void **object = lh_type_check(L, 1, SESSION_TYPE);
    SSL_SESSION_free(*object);
    *object = NULL;
    return 0;
}

static void session_release(lua_State *L, void *object) {
    (void)object;
    lua_pushcfunction(L, session_gc);
}

static const field session_fields[] = {{"cipher", session_cipher},         {"ssl_version", session_version},
                                       {"master_key", session_master_key}, {"master_key_bits", session_master_key_bits},
                                       {"release", session_release},       {NULL, NULL}};

/* -- mtev.eventer.ssl_ctx ------------------------------------------------------------------------------------------ */

static SSL *ssl_of(void *tls) { return lh_tls_ssl(tls); }
static X509 *peer_of(void *tls) { return lh_tls_certificate(tls); }

/* A field of the peer's certificate. */
static void push_of_peer(lua_State *L, void *tls, void (*push)(lua_State *L, void *object)) {
    X509 *certificate = peer_of(tls);
    if (certificate) {
        push(L, certificate);
    } else {
        lua_pushnil(L);
    }
}

static void ctx_error(lua_State *L, void *tls) {
    const char *reason = lh_tls_verify_error(tls);
    push_text(L, reason ? reason : lh_tls_error(tls));
}

static void ctx_subject(lua_State *L, void *tls) { push_of_peer(L, tls, x509_subject); }
static void ctx_issuer(lua_State *L, void *tls) { push_of_peer(L, tls, x509_issuer); }
static void ctx_start_time(lua_State *L, void *tls) { push_of_peer(L, tls, x509_start_time); }
static void ctx_end_time(lua_State *L, void *tls) { push_of_peer(L, tls, x509_end_time); }
static void ctx_san_list(lua_State *L, void *tls) { push_of_peer(L, tls, x509_san_list); }
static void ctx_san_ips(lua_State *L, void *tls) { push_of_peer(L, tls, x509_san_ips); }

static void ctx_sni_name(lua_State *L, void *tls) {
    push_text(L, SSL_get_servername(ssl_of(tls), TLSEXT_NAMETYPE_host_name));
}

static void ctx_current_cipher(lua_State *L, void *tls) {
    const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl_of(tls));
    push_text(L, cipher ? SSL_CIPHER_get_name(cipher) : NULL);
}

static void ctx_ciphers(lua_State *L, void *tls) {
    lua_newtable(L);
    const STACK_OF(SSL_CIPHER) *ciphers = SSL_get_ciphers(ssl_of(tls));
    for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); i++) {
        lua_pushstring(L, SSL_CIPHER_get_name(sk_SSL_CIPHER_value(ciphers, i)));
        lua_rawseti(L, -2, i + 1);
    }
}

static void ctx_method(lua_State *L, void *tls) {
    lua_pushinteger(L, (lua_Integer)SSL_get_min_proto_version(ssl_of(tls)));
}

static void ctx_protocol(lua_State *L, void *tls) {
    if (SSL_is_init_finished(ssl_of(tls))) {
        push_text(L, SSL_get_version(ssl_of(tls)));
    } else {
        lua_pushnil(L);
    }
}

static void ctx_alpn(lua_State *L, void *tls) {
    const unsigned char *name;
    unsigned length;
    SSL_get0_alpn_selected(ssl_of(tls), &name, &length);
    if (length > 0) {
        lua_pushlstring(L, (const char *)name, length);
    } else {
        lua_pushnil(L);
    }
}

static void ctx_verified(lua_State *L, void *tls) { lua_pushboolean(L, peer_of(tls) && !lh_tls_verify_error(tls)); }

static void ctx_resumed(lua_State *L, void *tls) { lua_pushboolean(L, SSL_session_reused(ssl_of(tls))); }

/* The leaf first; OpenSSL's chain has it on the client's side only. */
static void ctx_peer_chain(lua_State *L, void *tls) {
    lua_newtable(L);
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl_of(tls));
    X509 *leaf = peer_of(tls);
    int count = 0;
    if (leaf && SSL_is_server(ssl_of(tls))) {
        push_pem(L, leaf);
        lua_rawseti(L, -2, ++count);
    }
    for (int i = 0; i < sk_X509_num(chain); i++) {
        push_pem(L, sk_X509_value(chain, i));
        lua_rawseti(L, -2, ++count);
    }
}

static void ctx_peer_certificate(lua_State *L, void *tls) {
    if (!peer_of(tls)) {
        lua_pushnil(L);
        return;
    }
    void **object = lh_push_object(L, X509_TYPE);
    *object = peer_of(tls);
    X509_up_ref(*object);
}

static void ctx_session(lua_State *L, void *tls) {
    if (!SSL_get_session(ssl_of(tls))) {
        lua_pushnil(L);
        return;
    }
    void **object = lh_push_object(L, SESSION_TYPE);
    *object = SSL_get1_session(ssl_of(tls));
}

static const field ctx_fields[] = {{"error", ctx_error},
                                   {"subject", ctx_subject},
                                   {"issuer", ctx_issuer},
                                   {"start_time", ctx_start_time},
                                   {"end_time", ctx_end_time},
                                   {"san_list", ctx_san_list},
                                   {"san_ips", ctx_san_ips},
                                   {"sni_name", ctx_sni_name},
                                   {"current_cipher", ctx_current_cipher},
                                   {"ciphers", ctx_ciphers},
                                   {"method", ctx_method},
                                   {"peer_certificate", ctx_peer_certificate},
                                   {"ssl_session", ctx_session},
                                   {"protocol", ctx_protocol},
                                   {"alpn", ctx_alpn},
                                   {"verified", ctx_verified},
                                   {"resumed", ctx_resumed},
                                   {"peer_chain", ctx_peer_chain},
                                   {NULL, NULL}};

static int ctx_gc(lua_State *L) {
    void **object = lua_touserdata(L, 1);
    if (*object) lh_tls_release(*object);
    *object = NULL;
    return 0;
}

static int eventer_ssl_ctx(lua_State *L) {
    lh_tls *tls = lh_tls_at(lh_check_eventer(L, 1)->socket);
    if (!tls) {
        lua_pushnil(L);
        return 1;
    }
    lua_getfield(L, LUA_REGISTRYINDEX, KNOWN);
    lua_pushlightuserdata(L, tls);
    lua_rawget(L, -2);
    void **known = lua_touserdata(L, -1);
    if (known && *known == tls) return 1; /* else it was finalized, and `tls` lies where its own one did */
    void **object = lh_push_object(L, SSL_CTX_TYPE);
    *object = lh_tls_hold(tls);
    lua_pushlightuserdata(L, tls);
    lua_pushvalue(L, -2);
    assert(lua_istable(L, -5));
    lua_rawset(L, -5); /* stack: ..., known, nil or the old one, object */
    return 1;
}

/* ------------------------------------------------------------------------------------------------------------------ */

static void open_type(lua_State *L, const char *type, const field *fields, lua_CFunction gc) {
    lh_type_new(L, type);
    lua_pushlightuserdata(L, (void *)(uintptr_t)fields);
    lua_pushstring(L, type);
    lua_pushcclosure(L, index_field, 2);
    lua_setfield(L, -2, "__index");
    lh_set_collector(L, gc);
    lua_pop(L, 1);
}

static const luaL_Reg methods[] = {{"ssl_ctx", eventer_ssl_ctx}, {NULL, NULL}};

void lh_open_ssl_ctx(lua_State *L) {
    open_type(L, SSL_CTX_TYPE, ctx_fields, ctx_gc);
    open_type(L, X509_TYPE, x509_fields, x509_gc);
    open_type(L, SESSION_TYPE, session_fields, session_gc);
    lua_newtable(L);
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "v");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    lua_setfield(L, LUA_REGISTRYINDEX, KNOWN);
    lua_getfield(L, LH_CORE, "eventer_methods");
    lh_set_functions(L, lua_gettop(L), methods);
}
