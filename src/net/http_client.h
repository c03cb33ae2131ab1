/* HTTP requests by libcurl, on our loop.
 *
 * One multi handle per thread, with its pool of kept connections. A request runs by itself from lh_http_start on; its
 * answer gathers in it, or, when it streams, waits in it until it is taken, while curl is told to read no further. All
 * that concerns the owner comes through on_news, which is called when curl is at rest: so it may start, stop and free
 * requests.
 *
 * Owner: a request is its starter's, until lh_http_free, which may come at any time.
 * Thread: the loop's own.
 * Errors: in words, from lh_http_error. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "net/http_tls.h"
#include "net/net.h"

typedef struct lh_http_request lh_http_request;
struct curl_slist;

enum { LH_HTTP_STREAM_BYTES = 256 * 1024 }; /* of a streaming answer, or body, that are held at most */

/* What many requests have in common. Making it costs as much as a request; the next requests cost less for it. */
typedef struct lh_http_options {
    lh_http_tls tls;
    const char *connect_to;                    /* "host:port:host:port": CURLOPT_CONNECT_TO; NULL = as the URL says */
    const char *proxy;                         /* NULL = as the environment says */
    bool streams_down;                         /* the answer's body goes by lh_http_take */
    bool keeps_encoding;                       /* the answer is not decompressed */
    bool is_http1;                             /* never HTTP/2 */
    uint64_t limit_bytes;                      /* of the answer's body, decompressed */
    long connect_timeout_ms, total_timeout_ms; /* 0 = none */
    long idle_timeout_s;                       /* no byte for so long; 0 = none */
} lh_http_options;

/* Counted. The strings of `options` must live as long. */
typedef struct lh_http_settings lh_http_settings;

enum { LH_HTTP_MESSAGE_BYTES = 256 };

lh_http_settings *lh_http_settings_new(lh_net *net, const lh_http_options *options,
                                       char message[LH_HTTP_MESSAGE_BYTES]);
void lh_http_settings_release(lh_http_settings *settings);
bool lh_http_settings_stream_down(const lh_http_settings *settings);

/* Header lines, "Name: value"; requests may share them. False: out of memory. */
typedef struct curl_slist lh_http_lines;
bool lh_http_lines_add(lh_http_lines **lines, const char *line);
void lh_http_lines_free(lh_http_lines *lines);

/* One request. Pointers must live until it is freed, but for method and url. */
typedef struct lh_http_call {
    const char *method, *url;
    lh_http_lines *lines;    /* NULL = none */
    lh_http_lines *resolved; /* CURLOPT_RESOLVE: addresses of names, which curl then does not look up. NULL = none */
    bool drops_redirects;    /* the body of an answer that leads elsewhere is not wanted */
    const char *body;        /* NULL = none */
    size_t body_length;
    bool streams_up;   /* the body comes by lh_http_feed */
    int64_t up_length; /* its length, -1 = unknown */

    void (*on_news)(lh_http_request *request); /* something of lh_http_* below has changed. Not after lh_http_free */
    void *owner;
} lh_http_call;

/* Starts; NULL: out of memory. on_news is not called from in here. Holds the settings. */
lh_http_request *lh_http_start(lh_http_settings *settings, const lh_http_call *call);

void *lh_http_owner(const lh_http_request *request);

/* The request is over: with a status, or with an error. */
bool lh_http_is_over(const lh_http_request *request);

/* Why there is no (whole) answer; NULL = there is. */
const char *lh_http_error(const lh_http_request *request);

/* Where the answer leads, as a whole URL; NULL = nowhere. Once it is over. */
const char *lh_http_redirect(const lh_http_request *request);

/* 0 = none yet. */
long lh_http_status(const lh_http_request *request);

/* The header fields as they came, of the last answer (not of those that redirected), a line each; trailers included. */
const lh_buffer *lh_http_fields(const lh_http_request *request);

/* The body so far; with streams_down, what has not been taken. Consume it, then lh_http_took. */
lh_buffer *lh_http_body(lh_http_request *request);
void lh_http_took(lh_http_request *request);

/* curl wants more of the body. */
bool lh_http_wants_more(const lh_http_request *request);

/* The next piece (copied), or, with NULL, its end. 0 or -ENOMEM. */
int lh_http_feed(lh_http_request *request, const char *bytes, size_t length);

/* Bytes so far and in all (0 = unknown). */
void lh_http_progress(const lh_http_request *request, double *down, double *down_total, double *up, double *up_total);

/* Ends it, if it is not over. Accepts NULL. */
void lh_http_free(lh_http_request *request);

/* Closes the net's pool; all requests and settings have been freed. */
void lh_http_close(lh_net *net);
