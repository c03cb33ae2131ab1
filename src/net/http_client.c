/* Each thread has a pool: curl's multi handle, and the sessions of TLS of each way to verify a server. A handle is kept
 * with its settings, which cost as much to set as a request.
 *
 * curl must not be called from its own callbacks: they only note (`news`), and tell_news does the rest. */
#include "net/http_client.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/strmap.h"
#include "data/http_head.h"
#include "net/http_curl.h"
#include "net/http_multi.h"

/* A handle keeps the headers of its last answer, several times as large, until the next: a peer's, while Lua's
 * collector sees nothing of them. */
enum { KEPT_HEADER_BYTES = 8 * 1024 };

/* curl reads a hundred times in a row, and what it has read it unpacks whole, though it was told to stop: what that may
 * be is the peer's choice. */
enum { STREAM_READ_BYTES = 2 * 1024 };

enum { KEPT_HANDLES = 32, SESSION_CACHES_MAX = 64 };

/* How a handle was told to send a request; what has not changed is not told again. */
typedef enum http_kind { KIND_GET, KIND_POST, KIND_OTHER } http_kind;

struct lh_http {
    lh_http_multi multi;
    lh_strmap sessions;  /* of TLS: how the server is verified -> CURLSH */
    lh_list news;        /* requests that have something to tell ... */
    lh_timer news_timer; /* ... in the next turn */
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
    size_t header_bytes; /* of all heads and trailers that came */
    bool is_idempotent;  /* may be made twice (RFC 9110, 9.2.2) */
    int attempts;        /* times that it was sent, or part of it */
    const char *refusal; /* why we have ended it, which counts more than what curl makes of it; NULL = we have not */
    double progress[4];  /* once it is over */
    char error[CURL_ERROR_SIZE];
};

/* -- News ---------------------------------------------------------------------------------------------------------- */

static void has_news(lh_http_request *request) {
    if (!lh_list_is_linked(&request->news_node)) lh_list_append(&request->http->news, &request->news_node);
}

/* Only when curl is at rest. */
static void tell_news(struct lh_http *http) {
    if (http->multi.depth > 0) return;
    for (lh_list *node; (node = lh_list_take_first(&http->news));) {
        lh_http_request *request = LH_CONTAINER(node, lh_http_request, news_node);
        request->call.on_news(request);
    }
}

static void on_rest(lh_http_multi *multi) { tell_news(LH_CONTAINER(multi, struct lh_http, multi)); }

static void on_news_timer(lh_timer *timer) { tell_news(LH_CONTAINER(timer, struct lh_http, news_timer)); }

/* Not now: the caller is about to wait for it. */
static void tell_news_soon(struct lh_http *http) {
    if (lh_list_is_empty(&http->news)) return;
    lh_timer_start(&http->multi.net->loop.timers, &http->news_timer, lh_loop_deadline(0));
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
    curl_multi_remove_handle(request->http->multi.curl, easy);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, NULL);
    const bool is_small = request->header_bytes <= KEPT_HEADER_BYTES;
    if (is_small && settings->kept_count < KEPT_HANDLES && request->kind != KIND_OTHER) {
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
        snprintf(error, sizeof(request->error), "the answer is not HTTP");
    } else if (result == CURLE_OUT_OF_MEMORY && !request->head_length) {
        snprintf(error, sizeof(request->error), "a line of the answer's header is too long, or not enough memory");
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

static void on_done(CURL *easy, CURLcode result) {
    lh_http_request *request;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &request);
    end_request(request, result);
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
    request->header_bytes += length;
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

/* -- Settings ------------------------------------------------------------------------------------------------------ */

/* A session that is resumed verifies nothing, so it counts only for who would have verified the server in the same way
 * (CVE-2016-5420): curl's own key of a session does not know all of it. NULL: none are kept. */
static CURLSH *sessions_of(const lh_http_settings *settings) {
    struct lh_http *http = settings->http;
    const lh_buffer *verification = &settings->verification;
    if (verification->length == 0) return NULL;
    const char *key = lh_buffer_bytes(verification);
    CURLSH *known = lh_strmap_get(&http->sessions, key, verification->length);
    if (known || http->sessions.count >= SESSION_CACHES_MAX) return known;
    CURLSH *made = curl_share_init();
    if (!made) return NULL;
    curl_share_setopt(made, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    *lh_strmap_slot(&http->sessions, key, verification->length) = made;
    return made;
}

static void drop_kept_handles(lh_http_settings *settings) {
    for (int i = 0; i < settings->kept_count; i++) curl_easy_cleanup(settings->kept[i]);
    settings->kept_count = 0;
}

/* Files may have changed since the last request: then handles, with what they know of them, are made afresh. */
static void look_at_files(lh_http_settings *settings) {
    lh_buffer now = {0};
    if (settings->verification.length > 0 && !settings->has_files) return;
    if (lh_http_tls_spell(&now, &settings->options.tls, &settings->has_files) < 0) lh_buffer_reset(&now);
    if (now.length == settings->verification.length &&
        memcmp(lh_buffer_bytes(&now), lh_buffer_bytes(&settings->verification), now.length) == 0) {
        lh_buffer_reset(&now);
        return;
    }
    drop_kept_handles(settings);
    lh_buffer_reset(&settings->verification);
    settings->verification = now;
}

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
    const lh_http_options *options = &settings->options;
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_send);
    lh_http_multi_use_sockets(&settings->http->multi, easy);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    if (!options->keeps_encoding) curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");
    if (options->streams_down && !options->keeps_encoding)
        curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)STREAM_READ_BYTES);
    if (options->is_http1) {
        curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    } else {
        curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L); /* counts for https only */
    }
    if (settings->connect_to) curl_easy_setopt(easy, CURLOPT_CONNECT_TO, settings->connect_to);
    set_proxy(easy, options->proxy);
    set_limits(easy, options);
    lh_http_tls_set(easy, &options->tls, &settings->verification, sessions_of(settings));
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
    http->multi.on_done = on_done;
    http->multi.on_rest = on_rest;
    if (!lh_http_multi_init(&http->multi, net)) {
        lh_free(http);
        return NULL;
    }
    lh_list_init(&http->news);
    lh_timer_init(&http->news_timer, on_news_timer);
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
    if (!request->easy || !set_up(request) || !lh_http_multi_start(&http->multi, request->easy)) {
        lh_http_free(request);
        return NULL;
    }
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
    lh_http_multi_enter(&http->multi);
    curl_easy_pause(request->easy, bits);
    lh_http_multi_leave(&http->multi);
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

void lh_http_close(lh_net *net) {
    struct lh_http *http = net->http;
    if (!http) return;
    lh_http_multi_fini(&http->multi);
    lh_strmap_each(&http->sessions, free_sessions, NULL);
    lh_strmap_fini(&http->sessions);
    lh_timer_stop(&net->loop.timers, &http->news_timer);
    lh_free(http);
    net->http = NULL;
}
