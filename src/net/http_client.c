/* curl says what it wants of each socket, and when it wants to be called; the poll and a timer of ours call it. It
 * expects level-triggered readiness. A connection that is idle is not wanted for anything, but stays registered: when
 * the next request uses it, as it soon does, nothing has to be told to the kernel. Should something come meanwhile (the
 * peer closes), it is taken out then.
 *
 * curl must not be called from its own callbacks: they only note (`news`), and tell_news does the rest. */
#include "net/http_client.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "net/http_curl.h"
#include "base/descriptors.h"
#include "base/ptrmap.h"
#include "base/strmap.h"
#include "data/http_head.h"
#include "net/file_mark.h"
#include "net/openssl.h"
#include "net/tls_context.h"

enum { KEPT_CONNECTIONS = 256, KEPT_HANDLES = 32, SESSION_CACHES_MAX = 64 };

/* How a handle was told to send a request; what has not changed is not told again. */
typedef enum http_kind { KIND_GET, KIND_POST, KIND_OTHER } http_kind;

/* A socket that curl has, or had, wishes for. */
typedef struct http_socket {
    lh_watch watch;
    struct lh_http *http;
    unsigned wants;      /* LH_POLL_*: curl's */
    unsigned registered; /* the poll's */
    bool is_ours;        /* made by open_socket, so that its end will be told by close_socket */
} http_socket;

struct lh_http {
    lh_net *net;
    CURLM *multi;
    lh_strmap sessions;  /* of TLS: how the server is verified -> CURLSH */
    lh_timer timer;      /* curl's */
    lh_ptrmap sockets;   /* descriptor + 1 -> http_socket */
    lh_list news;        /* requests that have something to tell ... */
    lh_timer news_timer; /* ... in the next turn */
    unsigned depth;      /* calls into curl at work */
};

struct lh_http_settings {
    struct lh_http *http;
    lh_http_options options;
    lh_http_lines *connect_to;
    unsigned holds;
    lh_buffer
        verification; /* how the server is verified, spelled out, with the files as they were at the last request */
    bool has_files;   /* ... which is to be looked at again by the next one */
    CURL *kept[KEPT_HANDLES]; /* that have these settings already */
    http_kind kinds[KEPT_HANDLES];
    int kept_count;
};

struct lh_http_request {
    lh_list news_node; /* in lh_http.news */
    struct lh_http *http;
    lh_http_settings *settings;
    CURL *easy; /* NULL = over */
    http_kind kind;
    lh_http_call call;
    lh_buffer head, body, up;
    bool has_status;    /* `head` has its status line: it comes once for each time that the request is sent, and behind
                           each interim head */
    bool is_leading;    /* the answer leads elsewhere */
    lh_buffer redirect; /* to where, with a NUL */
    int head_lines;     /* of `head`, or of the trailers */
    size_t head_length; /* of `head`, with its empty line; what follows are trailers; 0 = it is not whole yet */
    long status;
    bool is_over;
    bool is_paused_down, is_paused_up; /* curl waits for us */
    bool is_up_ended;
    uint64_t down_bytes; /* of the body so far; at most the limit */
    int64_t up_bytes;    /* of the body that curl has been given */
    bool is_idempotent;  /* may be made twice (RFC 9110, 9.2.2) */
    int attempts;        /* times that it was sent, or part of it */
    const char *refusal; /* why we have ended it, which counts more than what curl makes of it; NULL = we have not */
    double progress[4];  /* once it is over */
    char error[CURL_ERROR_SIZE];
};

/* -- Sockets ------------------------------------------------------------------------------------------------------- */

static void *socket_key(curl_socket_t fd) { return (void *)(uintptr_t)(fd + 1); }

static void tell_news(struct lh_http *http);
static void collect(struct lh_http *http);

static void act(struct lh_http *http, curl_socket_t fd, int events) {
    int running;
    http->depth++;
    curl_multi_socket_action(http->multi, fd, events, &running);
    http->depth--;
    collect(http);
}

static void on_ready(lh_watch *watch, unsigned events) {
    http_socket *s = LH_CONTAINER(watch, http_socket, watch);
    struct lh_http *http = s->http;
    const curl_socket_t fd = watch->fd;
    const unsigned wanted = events & s->wants;
    if (events & s->registered & ~s->wants) { /* nobody wants to hear of it: once is enough */
        s->registered = s->wants;
        if (lh_poll_want(&http->net->loop.poll, watch, s->wants) < 0) s->registered = 0;
    }
    const bool has_failed = (events & LH_POLL_HANGUP) && s->wants;
    if (!wanted && !has_failed) return;
    int mask = 0;
    if (wanted & LH_POLL_IN) mask |= CURL_CSELECT_IN;
    if (wanted & LH_POLL_OUT) mask |= CURL_CSELECT_OUT;
    act(http, fd, mask ? mask : CURL_CSELECT_ERR);
    tell_news(http);
}

static http_socket *find_socket(struct lh_http *http, curl_socket_t fd) {
    return lh_ptrmap_get(&http->sockets, socket_key(fd));
}

static void drop_socket(http_socket *s) {
    lh_poll_remove(&s->http->net->loop.poll, &s->watch);
    lh_list_remove(&s->watch.again_node);
    lh_ptrmap_remove(&s->http->sockets, socket_key(s->watch.fd));
    lh_free(s);
}

static http_socket *add_socket(struct lh_http *http, curl_socket_t fd, bool is_ours) {
    http_socket *old = find_socket(http, fd); /* curl has closed one without a word, and the number is in use again */
    if (old) drop_socket(old);
    http_socket *s = lh_alloc(sizeof(*s));
    s->http = http;
    s->is_ours = is_ours;
    lh_watch_init(&s->watch, fd, on_ready);
    lh_ptrmap_set(&http->sockets, socket_key(fd), s);
    return s;
}

/* curl's wishes. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *unused) {
    (void)easy;
    (void)unused;
    struct lh_http *http = context;
    http_socket *s = find_socket(http, fd);
    if (what == CURL_POLL_REMOVE) {
        if (!s) return 0;
        s->wants = 0;
        if (!s->is_ours) drop_socket(s);
        return 0;
    }
    if (!s) s = add_socket(http, fd, false);
    s->wants = (what & CURL_POLL_IN ? LH_POLL_IN : 0) | (what & CURL_POLL_OUT ? LH_POLL_OUT : 0);
    if (s->wants & ~s->registered) {
        s->registered = s->wants;
        if (lh_poll_want(&http->net->loop.poll, &s->watch, s->wants) < 0) s->registered = 0; /* it times out */
    }
    return 0;
}

static curl_socket_t open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address) {
    (void)purpose;
    struct lh_http *http = context;
    const int fd = lh_descriptor_claim(
        socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address->protocol));
    if (fd < 0) return CURL_SOCKET_BAD;
    add_socket(http, fd, true);
    return fd;
}

static int close_socket(void *context, curl_socket_t fd) {
    http_socket *s = find_socket(context, fd);
    if (s) drop_socket(s);
    lh_descriptor_close(fd);
    return 0;
}

/* -- Time ---------------------------------------------------------------------------------------------------------- */

static int on_timer_wish(CURLM *multi, long ms, void *context) {
    (void)multi;
    struct lh_http *http = context;
    lh_timers *timers = &http->net->loop.timers;
    if (ms < 0) {
        lh_timer_stop(timers, &http->timer);
    } else {
        lh_timer_start(timers, &http->timer, lh_loop_deadline((lh_ns)ms * LH_MILLISECOND));
    }
    return 0;
}

static void on_timer(lh_timer *timer) {
    struct lh_http *http = LH_CONTAINER(timer, struct lh_http, timer);
    act(http, CURL_SOCKET_TIMEOUT, 0);
    tell_news(http);
}

/* -- News ---------------------------------------------------------------------------------------------------------- */

static void has_news(lh_http_request *request) {
    if (!lh_list_is_linked(&request->news_node)) lh_list_append(&request->http->news, &request->news_node);
}

/* Only when curl is at rest. */
static void tell_news(struct lh_http *http) {
    if (http->depth > 0) return;
    for (lh_list *node; (node = lh_list_take_first(&http->news));) {
        lh_http_request *request = LH_CONTAINER(node, lh_http_request, news_node);
        request->call.on_news(request);
    }
}

static void on_news_timer(lh_timer *timer) { tell_news(LH_CONTAINER(timer, struct lh_http, news_timer)); }

/* Not now: the caller is about to wait for it. */
static void tell_news_soon(struct lh_http *http) {
    if (lh_list_is_empty(&http->news)) return;
    lh_timer_start(&http->net->loop.timers, &http->news_timer, lh_loop_deadline(0));
}

static void get_progress(CURL *easy, double progress[4]) {
    curl_off_t now[4] = {0};
    curl_easy_getinfo(easy, CURLINFO_SIZE_DOWNLOAD_T, &now[0]);
    curl_easy_getinfo(easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &now[1]);
    curl_easy_getinfo(easy, CURLINFO_SIZE_UPLOAD_T, &now[2]);
    curl_easy_getinfo(easy, CURLINFO_CONTENT_LENGTH_UPLOAD_T, &now[3]);
    for (int i = 0; i < 4; i++) progress[i] = now[i] > 0 ? (double)now[i] : 0;
}

static void give_back_handle(lh_http_request *request) {
    lh_http_settings *settings = request->settings;
    CURL *easy = request->easy;
    if (!easy) return;
    request->easy = NULL;
    curl_multi_remove_handle(request->http->multi, easy);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, NULL);
    if (settings->kept_count < KEPT_HANDLES && request->kind != KIND_OTHER) {
        settings->kinds[settings->kept_count] = request->kind;
        settings->kept[settings->kept_count++] = easy;
    } else {
        curl_easy_cleanup(easy);
    }
}

/* Why there is no answer, or not all of it. curl's texts change from version to version: where a script may want to
 * know what happened, the words are ours. */
static void explain(lh_http_request *request, CURLcode result) {
    const double got = request->progress[0], expected = request->progress[1];
    char *error = request->error;
    if (request->refusal) {
        snprintf(error, sizeof(request->error), "%s", request->refusal);
    } else if (result == CURLE_PARTIAL_FILE && expected > got) {
        snprintf(error, sizeof(request->error), "answer ended with %.0f of %.0f bytes missing", expected - got,
                 expected);
    } else if (result == CURLE_PARTIAL_FILE) {
        snprintf(error, sizeof(request->error), "answer ended before the end of its body");
    } else if (request->status == 0 && (result == CURLE_WEIRD_SERVER_REPLY || result == CURLE_UNSUPPORTED_PROTOCOL)) {
        snprintf(error, sizeof(request->error), "what came is no HTTP");
    } else if (!error[0]) {
        snprintf(error, sizeof(request->error), "%s", curl_easy_strerror(result));
    }
}

static void end_request(lh_http_request *request, CURLcode result) {
    curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &request->status);
    get_progress(request->easy, request->progress);
    const char *redirect = NULL;
    if (request->is_leading) curl_easy_getinfo(request->easy, CURLINFO_REDIRECT_URL, &redirect);
    if (redirect && lh_buffer_append(&request->redirect, redirect, strlen(redirect) + 1) < 0)
        result = CURLE_OUT_OF_MEMORY;
    request->is_over = true;
    if (result == CURLE_OK) {
        request->error[0] = 0;
    } else {
        explain(request, result);
    }
    give_back_handle(request);
    has_news(request);
}

/* What curl has finished. */
static void collect(struct lh_http *http) {
    if (http->depth > 0) return;
    int left;
    for (CURLMsg *message; (message = curl_multi_info_read(http->multi, &left));) {
        if (message->msg != CURLMSG_DONE) continue;
        lh_http_request *request;
        const CURLcode result = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &request);
        end_request(request, result);
    }
}

/* -- Bytes --------------------------------------------------------------------------------------------------------- */

static size_t refuse(lh_http_request *request, const char *why) {
    request->refusal = why;
    return 0; /* less than what came: curl gives up */
}

static size_t on_body(char *bytes, size_t size, size_t count, void *context) {
    lh_http_request *request = context;
    const lh_http_options *options = &request->settings->options;
    const size_t length = size * count;
    if (request->is_leading && request->call.drops_redirects) return length;
    if (options->streams_down && request->body.length >= LH_HTTP_STREAM_BYTES) {
        request->is_paused_down = true;
        has_news(request);
        return CURL_WRITEFUNC_PAUSE;
    }
    if (length > options->limit_bytes - request->down_bytes) {
        return refuse(request, "the answer's body is longer than the limit");
    }
    request->down_bytes += length;
    if (lh_buffer_append(&request->body, bytes, length) < 0) return refuse(request, "not enough memory");
    if (options->streams_down) has_news(request);
    return length;
}

/* The head's status is one that leads elsewhere (RFC 9110, 15.4): "HTTP/1.1 302 Found". */
static bool is_redirect(const lh_buffer *head) {
    const char *space = head->length > 0 ? memchr(lh_buffer_bytes(head), ' ', head->length) : NULL;
    if (!space || lh_buffer_bytes(head) + head->length - space < 4 || memcmp(space + 1, "30", 2) != 0) return false;
    return memchr("12378", space[3], 5) != NULL;
}

/* The answers before it are past. */
static void begin_head(lh_http_request *request) {
    lh_buffer_reset(&request->head);
    request->head_length = 0;
    request->head_lines = 0;
    request->is_leading = false;
    request->has_status = true;
}

static void end_head(lh_http_request *request) {
    long status = 0;
    curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
    request->head_length = request->head.length;
    request->head_lines = 0; /* of the trailers */
    request->has_status = status < 100 || status == 101 || status > 199;
}

/* Whether a line is a status line is not for its bytes to say: a field's name, or a trailer's, may begin with
 * "HTTP/". */
static size_t on_header(char *bytes, size_t size, size_t count, void *context) {
    lh_http_request *request = context;
    const size_t length = size * count;
    if (!request->has_status) begin_head(request);
    /* The first line and the empty one are no fields, nor is what begins with white space (obs-fold). */
    if (bytes[0] != ' ' && bytes[0] != '\t' && ++request->head_lines > LH_HTTP_FIELDS_MAX + 2) {
        return refuse(request, "the answer has more than 1000 header fields");
    }
    if (length >= 9 && strncasecmp(bytes, "location:", 9) == 0) request->is_leading = is_redirect(&request->head);
    if (request->head.length - request->head_length + length > LH_HTTP_HEAD_MAX) {
        return refuse(request, request->head_length ? "the answer's trailers are longer than 64 KiB"
                                                    : "the answer's header is longer than 64 KiB");
    }
    if (lh_buffer_append(&request->head, bytes, length) < 0) return refuse(request, "not enough memory");
    const bool is_end = length <= 2 && bytes[length - 1] == '\n' && (length == 1 || bytes[0] == '\r');
    if (is_end && !request->head_length) end_head(request);
    return length;
}

/* curl is about to send. When a kept connection was closed before any answer it tries again on another one, which is
 * good only for what may be made twice. */
static int on_send(void *context, char *ip, char *local_ip, int port, int local_port) {
    lh_http_request *request = context;
    request->has_status = false;
    if (port == local_port && ip && local_ip && strcmp(ip, local_ip) == 0) { /* see refuse_itself in socket.c */
        refuse(request, "Connection refused");
        return CURL_PREREQFUNC_ABORT;
    }
    if (++request->attempts == 1 || request->is_idempotent || request->head.length > 0) return CURL_PREREQFUNC_OK;
    refuse(request, "the connection was closed before the answer came, and this method is not to be repeated");
    return CURL_PREREQFUNC_ABORT;
}

static bool is_idempotent(const char *method) {
    static const char *const methods[] = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"};
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (strcmp(methods[i], method) == 0) return true;
    }
    return false;
}

static size_t on_read(char *to, size_t size, size_t count, void *context) {
    lh_http_request *request = context;
    const size_t room = size * count;
    const size_t length = room < request->up.length ? room : request->up.length;
    /* What is not as long as was said ends the connection: more would begin the next request, less never ends. */
    const int64_t said = request->call.up_length;
    if (said >= 0 && request->up_bytes + (int64_t)request->up.length > said) { /* curl 8 never asks for the rest */
        refuse(request, "the body is longer than body_length");
        return CURL_READFUNC_ABORT;
    }
    if (length == 0 && request->is_up_ended && said >= 0 && request->up_bytes < said) {
        refuse(request, "the body is shorter than body_length");
        return CURL_READFUNC_ABORT;
    }
    request->up_bytes += (int64_t)length;
    if (length == 0) {
        if (request->is_up_ended) return 0;
        request->is_paused_up = true;
        has_news(request);
        return CURL_READFUNC_PAUSE;
    }
    memcpy(to, lh_buffer_bytes(&request->up), length);
    lh_buffer_consume(&request->up, length);
    lh_buffer_relax(&request->up);
    return length;
}

/* -- TLS ----------------------------------------------------------------------------------------------------------- */

static bool is_text(const char *pem) { return strchr(pem, '\n') != NULL; }

static void set_pem(CURL *easy, CURLoption file_option, CURLoption blob_option, const char *pem) {
    if (!pem) return;
    if (is_text(pem)) {
        struct curl_blob blob = {.data = (void *)pem, .len = strlen(pem), .flags = CURL_BLOB_COPY};
        curl_easy_setopt(easy, blob_option, &blob);
    } else {
        curl_easy_setopt(easy, file_option, pem);
    }
}

/* The directory of certificates to trust, NULL: none. For the system's store it is curl's own. */
static const char *set_authorities(CURL *easy, const char *ca) {
    struct stat status;
    char *systems = NULL;
    if (!ca) {
        curl_easy_getinfo(easy, CURLINFO_CAPATH, &systems); /* never what was set */
        return systems;
    }
    const bool is_directory = !is_text(ca) && stat(ca, &status) == 0 && S_ISDIR(status.st_mode);
    if (is_directory) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
    } else {
        set_pem(easy, CURLOPT_CAINFO, CURLOPT_CAINFO_BLOB, ca);
    }
    curl_easy_setopt(easy, CURLOPT_CAPATH, is_directory ? ca : NULL);
    return is_directory ? ca : NULL;
}

/* What curl cannot say by their lowest and highest: one between that is not to be, and old ones, for which OpenSSL 3
 * has no cipher unless told so. */
static bool has_unusual_versions(unsigned versions) {
    if (versions == 0) return false;
    const unsigned run = versions >> __builtin_ctz(versions);
    return (run & (run + 1)) != 0 || (versions & (LH_TLS_1_0 | LH_TLS_1_1)) != 0;
}

static void set_versions(CURL *easy, unsigned versions) {
    static const long lowest[] = {CURL_SSLVERSION_TLSv1_0, CURL_SSLVERSION_TLSv1_1, CURL_SSLVERSION_TLSv1_2,
                                  CURL_SSLVERSION_TLSv1_3};
    static const long highest[] = {CURL_SSLVERSION_MAX_TLSv1_0, CURL_SSLVERSION_MAX_TLSv1_1,
                                   CURL_SSLVERSION_MAX_TLSv1_2, CURL_SSLVERSION_MAX_TLSv1_3};
    versions &= LH_TLS_1_0 | LH_TLS_1_1 | LH_TLS_1_2 | LH_TLS_1_3;
    if (versions == 0) return;
    const int low = __builtin_ctz(versions), high = 31 - __builtin_clz(versions);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, lowest[low] | highest[high]);
}

/* curl looks at the result once more, so it must not stay. */
static int accept_unknown_issuer(int is_good, X509_STORE_CTX *store) {
    if (is_good) return 1;
    if (!lh_tls_is_unknown_issuer(X509_STORE_CTX_get_error(store))) return 0;
    X509_STORE_CTX_set_error(store, X509_V_OK);
    return 1;
}

static CURLcode on_ssl_context(CURL *easy, void *context, void *settings) {
    (void)easy;
    const lh_http_tls *tls = &((lh_http_settings *)settings)->options.tls;
    SSL_CTX *ssl = context;
    if (tls->ignores_dates) X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ssl), X509_V_FLAG_NO_CHECK_TIME);
    if (tls->accepts_unknown_issuer) SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER, accept_unknown_issuer);
    if (!has_unusual_versions(tls->versions)) return CURLE_OK;
    if (!lh_tls_use_versions(ssl, tls->versions)) return CURLE_SSL_CONNECT_ERROR;
    /* Again: the list may say how strong certificates are to be (@SECLEVEL), which old versions have just lowered. */
    return !tls->ciphers || SSL_CTX_set_cipher_list(ssl, tls->ciphers) == 1 ? CURLE_OK : CURLE_SSL_CIPHER;
}

/* -- Sessions -- */

typedef struct spelling {
    lh_buffer *to;
    int rv;
} spelling;

static void spell_hashed_file(void *context, const char *path, const struct stat *status) {
    spelling *s = context;
    s->rv |= lh_file_mark(s->to, path, status);
}

/* 0 or -ENOMEM. */
static int spell_path(lh_buffer *to, const char *path, const struct stat *status) {
    spelling s = {.to = to, .rv = lh_file_mark(to, path, status)};
    if (S_ISDIR(status->st_mode)) lh_hashed_files(path, spell_hashed_file, &s);
    return s.rv;
}

/* 0 or -ENOMEM. What is not there is spelled as such. */
static int spell_pem(lh_buffer *to, const char *pem, bool *has_files) {
    struct stat status;
    if (!pem) return lh_buffer_print(to, " -");
    if (is_text(pem)) return lh_buffer_print(to, " %zu:%s", strlen(pem), pem);
    *has_files = true;
    return stat(pem, &status) == 0 ? spell_path(to, pem, &status) : lh_buffer_print(to, " !%s", pem);
}

static int spell_text(lh_buffer *to, const char *text) { return lh_buffer_print(to, " %s", text ? text : "-"); }

/* 0 or -ENOMEM. */
static int spell_verification(lh_buffer *to, const lh_http_tls *tls, bool *has_files) {
    return lh_buffer_print(to, "%d %d %d %u", tls->is_verifying, tls->accepts_unknown_issuer, tls->ignores_dates,
                           tls->versions) |
           spell_text(to, tls->ciphers) | spell_text(to, tls->ciphers_13) | spell_pem(to, tls->certificate, has_files) |
           spell_pem(to, tls->key, has_files) | spell_pem(to, tls->ca, has_files) | spell_pem(to, tls->crl, has_files);
}

/* A session that is resumed verifies nothing, so it counts only for who would have verified the server in the same way
 * (CVE-2016-5420): curl's own key of a session does not know all of it. NULL: none are kept. */
static CURLSH *sessions_of(struct lh_http *http, const lh_buffer *verification) {
    const char *key = lh_buffer_bytes(verification);
    CURLSH *known = lh_strmap_get(&http->sessions, key, verification->length);
    if (known || http->sessions.count >= SESSION_CACHES_MAX) return known;
    CURLSH *made = curl_share_init();
    if (!made) return NULL;
    curl_share_setopt(made, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    *lh_strmap_slot(&http->sessions, key, verification->length) = made;
    return made;
}

static void set_sessions(CURL *easy, lh_http_settings *settings) {
    CURLSH *sessions = settings->verification.length > 0 ? sessions_of(settings->http, &settings->verification) : NULL;
    if (sessions) {
        curl_easy_setopt(easy, CURLOPT_SHARE, sessions);
    } else {
        curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
    }
}

static void drop_kept_handles(lh_http_settings *settings) {
    for (int i = 0; i < settings->kept_count; i++) curl_easy_cleanup(settings->kept[i]);
    settings->kept_count = 0;
}

/* Files may have changed since the last request: then handles, with what they know of them, are made afresh. */
static void look_at_files(lh_http_settings *settings) {
    lh_buffer now = {0};
    if (settings->verification.length > 0 && !settings->has_files) return;
    if (spell_verification(&now, &settings->options.tls, &settings->has_files) < 0) lh_buffer_reset(&now);
    if (now.length == settings->verification.length &&
        memcmp(lh_buffer_bytes(&now), lh_buffer_bytes(&settings->verification), now.length) == 0) {
        lh_buffer_reset(&now);
        return;
    }
    drop_kept_handles(settings);
    lh_buffer_reset(&settings->verification);
    settings->verification = now;
}

/* curl's pool gives a connection to whoever has the same settings as far as it looks: not at the key, the versions'
 * upper end, what a file holds. It does look at the path of certificates: so that gets an entry which is nowhere, and
 * has all of them in its name, beside `authorities`. */
static void separate_connections(CURL *easy, const lh_http_settings *settings, const char *authorities) {
    unsigned char digest[SHA256_DIGEST_LENGTH];
    lh_buffer path = {0};
    SHA256((const unsigned char *)lh_buffer_bytes(&settings->verification), settings->verification.length, digest);
    int rv = authorities ? lh_buffer_print(&path, "%s:", authorities) : 0;
    rv |= lh_buffer_print(&path, "/dev/null/");
    for (size_t i = 0; i < sizeof(digest); i++) rv |= lh_buffer_print(&path, "%02x", digest[i]);
    rv |= lh_buffer_append(&path, "", 1);
    if (rv < 0 || settings->verification.length == 0) { /* no memory: a connection for this request alone */
        curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
        curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    } else {
        curl_easy_setopt(easy, CURLOPT_CAPATH, lh_buffer_bytes(&path));
    }
    lh_buffer_reset(&path);
}

static void set_tls(CURL *easy, lh_http_settings *settings) {
    const lh_http_tls *tls = &settings->options.tls;
    set_sessions(easy, settings);
    if (!tls->is_verifying) {
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    const char *authorities = set_authorities(easy, tls->ca);
    if (tls->ca) curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L); /* a file is read again: it may have changed */
    set_pem(easy, CURLOPT_SSLCERT, CURLOPT_SSLCERT_BLOB, tls->certificate);
    set_pem(easy, CURLOPT_SSLKEY, CURLOPT_SSLKEY_BLOB, tls->key ? tls->key : tls->certificate);
    if (tls->crl) curl_easy_setopt(easy, CURLOPT_CRLFILE, tls->crl);
    if (tls->ciphers) curl_easy_setopt(easy, CURLOPT_SSL_CIPHER_LIST, tls->ciphers);
    if (tls->ciphers_13) curl_easy_setopt(easy, CURLOPT_TLS13_CIPHERS, tls->ciphers_13);
    set_versions(easy, tls->versions);
    if (tls->ignores_dates || tls->accepts_unknown_issuer || has_unusual_versions(tls->versions)) {
        curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, on_ssl_context);
        curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, settings);
    }
    separate_connections(easy, settings, authorities);
}

/* -- Settings ------------------------------------------------------------------------------------------------------ */

static void set_limits(CURL *easy, const lh_http_options *options) {
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, options->connect_timeout_ms);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, options->total_timeout_ms);
    if (options->idle_timeout_s > 0) {
        curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, options->idle_timeout_s);
    }
}

extern char **environ;

/* curl asks the environment at each request; mostly there is nothing to be found. */
static bool has_proxy_variable(void) {
    static const char ending[] = "_proxy";
    for (char **variable = environ; variable && *variable; variable++) {
        const size_t length = strcspn(*variable, "=");
        if (length < sizeof(ending) - 1) continue;
        if (strncasecmp(*variable + length - (sizeof(ending) - 1), ending, sizeof(ending) - 1) == 0) return true;
    }
    return false;
}

static void set_proxy(CURL *easy, const char *proxy) {
    if (proxy) {
        curl_easy_setopt(easy, CURLOPT_PROXY, proxy);
    } else if (!has_proxy_variable()) {
        curl_easy_setopt(easy, CURLOPT_PROXY, "");
    }
}

static size_t on_body(char *bytes, size_t size, size_t count, void *context);
static size_t on_header(char *bytes, size_t size, size_t count, void *context);
static size_t on_read(char *to, size_t size, size_t count, void *context);
static int on_send(void *context, char *ip, char *local_ip, int port, int local_port);

/* All that the settings' requests have in common. */
static void prepare(CURL *easy, lh_http_settings *settings) {
    struct lh_http *http = settings->http;
    const lh_http_options *options = &settings->options;
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_send);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, http);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, http);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    if (!options->keeps_encoding) curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");
    if (options->is_http1) {
        curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    } else {
        curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L); /* counts for https only */
    }
    if (settings->connect_to) curl_easy_setopt(easy, CURLOPT_CONNECT_TO, settings->connect_to);
    set_proxy(easy, options->proxy);
    set_limits(easy, options);
    set_tls(easy, settings);
}

bool lh_http_lines_add(lh_http_lines **lines, const char *line) {
    struct curl_slist *longer = curl_slist_append(*lines, line);
    if (!longer) return false;
    *lines = longer;
    return true;
}

/* Without libcurl there are none to free. */
void lh_http_lines_free(lh_http_lines *lines) {
    if (lines) curl_slist_free_all(lines);
}

static struct lh_http *open_pool(lh_net *net) {
    struct lh_http *http = lh_alloc(sizeof(*http));
    http->net = net;
    http->multi = curl_multi_init();
    if (!http->multi) {
        lh_free(http);
        return NULL;
    }
    lh_list_init(&http->news);
    lh_timer_init(&http->timer, on_timer);
    lh_timer_init(&http->news_timer, on_news_timer);
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, on_timer_wish);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
    curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, (long)KEPT_CONNECTIONS);
    return http;
}

static struct lh_http *pool_of(lh_net *net) {
    if (!net->http) net->http = open_pool(net);
    return net->http;
}

lh_http_settings *lh_http_settings_new(lh_net *net, const lh_http_options *options,
                                       char message[LH_HTTP_MESSAGE_BYTES]) {
    if (!lh_curl_load(message, LH_HTTP_MESSAGE_BYTES)) return NULL;
    snprintf(message, LH_HTTP_MESSAGE_BYTES, "not enough memory");
    struct lh_http *http = pool_of(net);
    if (!http) return NULL;
    lh_http_settings *settings = lh_alloc(sizeof(*settings));
    settings->http = http;
    settings->options = *options;
    settings->holds = 1;
    if (options->connect_to && !lh_http_lines_add(&settings->connect_to, options->connect_to)) {
        lh_http_settings_release(settings);
        return NULL;
    }
    return settings;
}

void lh_http_settings_release(lh_http_settings *settings) {
    if (--settings->holds > 0) return;
    drop_kept_handles(settings);
    lh_buffer_reset(&settings->verification);
    lh_http_lines_free(settings->connect_to);
    lh_free(settings);
}

bool lh_http_settings_stream_down(const lh_http_settings *settings) { return settings->options.streams_down; }

/* -- Requests ------------------------------------------------------------------------------------------------------ */

static http_kind kind_of(const lh_http_call *call) {
    if (call->streams_up) return KIND_OTHER;
    if (strcmp(call->method, "POST") == 0) return KIND_POST;
    return strcmp(call->method, "GET") == 0 && !call->body ? KIND_GET : KIND_OTHER;
}

/* A handle with the settings, of the same kind as before if there is one; else a fresh one. */
static CURL *take_handle(lh_http_settings *settings, http_kind kind) {
    look_at_files(settings);
    for (int i = settings->kept_count - 1; i >= 0; i--) {
        if (settings->kinds[i] != kind) continue;
        CURL *easy = settings->kept[i];
        settings->kept_count--;
        settings->kept[i] = settings->kept[settings->kept_count];
        settings->kinds[i] = settings->kinds[settings->kept_count];
        return easy;
    }
    CURL *easy = curl_easy_init();
    if (easy) prepare(easy, settings);
    return easy;
}

static void set_streamed_body(CURL *easy, const lh_http_call *call, bool is_post) {
    curl_easy_setopt(easy, is_post ? CURLOPT_POST : CURLOPT_UPLOAD, 1L);
    const CURLoption size_option = is_post ? CURLOPT_POSTFIELDSIZE_LARGE : CURLOPT_INFILESIZE_LARGE;
    curl_easy_setopt(easy, size_option, (curl_off_t)call->up_length);
}

static void set_method(CURL *easy, const lh_http_call *call) {
    const bool is_post = strcmp(call->method, "POST") == 0;
    if (call->streams_up) {
        set_streamed_body(easy, call, is_post);
    } else if (call->body || is_post) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body_length);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, call->body ? call->body : "");
    } else if (strcmp(call->method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
        return;
    } else if (strcmp(call->method, "GET") == 0) {
        return;
    }
    if (!is_post) curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, call->method);
}

static bool set_up(lh_http_request *request) {
    CURL *easy = request->easy;
    const lh_http_call *call = &request->call;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, request);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, request->error);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, request);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, request);
    curl_easy_setopt(easy, CURLOPT_READDATA, request);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, request);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->lines);
    curl_easy_setopt(easy, CURLOPT_RESOLVE, call->resolved);
    set_method(easy, call);
    return curl_easy_setopt(easy, CURLOPT_URL, call->url) == CURLE_OK;
}

lh_http_request *lh_http_start(lh_http_settings *settings, const lh_http_call *call) {
    struct lh_http *http = settings->http;
    lh_http_request *request = lh_alloc(sizeof(*request));
    request->http = http;
    request->settings = settings;
    settings->holds++;
    request->call = *call;
    request->kind = kind_of(call);
    request->is_idempotent = is_idempotent(call->method);
    lh_list_init(&request->news_node);
    request->easy = take_handle(settings, request->kind);
    if (!request->easy || !set_up(request) || curl_multi_add_handle(http->multi, request->easy) != CURLM_OK) {
        lh_http_free(request);
        return NULL;
    }
    act(http, CURL_SOCKET_TIMEOUT, 0);
    tell_news_soon(http);
    return request;
}

void lh_http_free(lh_http_request *request) {
    if (!request) return;
    lh_list_remove(&request->news_node);
    give_back_handle(request);
    lh_http_settings_release(request->settings);
    lh_buffer_reset(&request->head);
    lh_buffer_reset(&request->body);
    lh_buffer_reset(&request->up);
    lh_buffer_reset(&request->redirect);
    lh_free(request);
}

/* -- Asking -------------------------------------------------------------------------------------------------------- */

void *lh_http_owner(const lh_http_request *request) { return request->call.owner; }
bool lh_http_is_over(const lh_http_request *request) { return request->is_over; }
const char *lh_http_error(const lh_http_request *request) { return request->error[0] ? request->error : NULL; }
const char *lh_http_redirect(const lh_http_request *request) {
    return request->redirect.length > 0 ? lh_buffer_bytes(&request->redirect) : NULL;
}
long lh_http_status(const lh_http_request *request) { return request->status; }
const lh_buffer *lh_http_fields(const lh_http_request *request) { return &request->head; }
lh_buffer *lh_http_body(lh_http_request *request) { return &request->body; }
bool lh_http_wants_more(const lh_http_request *request) { return request->is_paused_up && !request->is_over; }

static void go_on(lh_http_request *request) {
    struct lh_http *http = request->http;
    if (!request->easy) return;
    const int bits = (request->is_paused_down ? CURLPAUSE_RECV : 0) | (request->is_paused_up ? CURLPAUSE_SEND : 0);
    http->depth++;
    curl_easy_pause(request->easy, bits);
    http->depth--;
    collect(http);
    tell_news_soon(http);
}

void lh_http_took(lh_http_request *request) {
    lh_buffer_relax(&request->body);
    if (!request->is_paused_down || request->body.length >= LH_HTTP_STREAM_BYTES) return;
    request->is_paused_down = false;
    go_on(request);
}

int lh_http_feed(lh_http_request *request, const char *bytes, size_t length) {
    if (!bytes) {
        request->is_up_ended = true;
    } else if (lh_buffer_append(&request->up, bytes, length) < 0) {
        return -ENOMEM;
    }
    if (request->is_paused_up && (request->up.length > 0 || request->is_up_ended)) {
        request->is_paused_up = false;
        go_on(request);
    }
    return 0;
}

void lh_http_progress(const lh_http_request *request, double *down, double *down_total, double *up, double *up_total) {
    double progress[4];
    memcpy(progress, request->progress, sizeof(progress));
    if (request->easy) get_progress(request->easy, progress);
    *down = progress[0];
    *down_total = progress[1];
    *up = progress[2];
    *up_total = progress[3];
}

static void free_sessions(const lh_strmap_node *node, void *context) {
    (void)context;
    curl_share_cleanup(node->value);
}

/* Those that curl has closed without a word. */
static void drop_sockets(struct lh_http *http) {
    for (size_t i = 0; i < http->sockets.capacity;) {
        http_socket *s = http->sockets.entries[i].value;
        if (s) drop_socket(s);
        i = s ? 0 : i + 1; /* what is removed may move others */
    }
}

void lh_http_close(lh_net *net) {
    struct lh_http *http = net->http;
    if (!http) return;
    curl_multi_cleanup(http->multi);
    drop_sockets(http);
    lh_strmap_each(&http->sessions, free_sessions, NULL);
    lh_strmap_fini(&http->sessions);
    lh_timer_stop(&net->loop.timers, &http->news_timer);
    lh_timer_stop(&net->loop.timers, &http->timer);
    lh_ptrmap_fini(&http->sockets);
    lh_free(http);
    net->http = NULL;
}
