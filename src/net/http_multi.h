/* curl's multi handle, on our poll and timers.
 *
 * curl must not be called from its own callbacks. So whoever calls it says so (lh_http_multi_enter, _leave), and acts
 * on what they noted when it is at rest: on_done for each handle that it has finished, then, where the loop called it,
 * on_rest.
 *
 * Owner: embedded, zeroed; stays where it is until lh_http_multi_fini.
 * Thread: the loop's own; libcurl is loaded.
 * Errors: false: not enough memory. */
#pragma once
#include <curl/curl.h>
#include <stdbool.h>

#include "base/ptrmap.h"
#include "net/net.h"

typedef struct lh_http_multi lh_http_multi;
struct lh_http_multi {
    lh_net *net;
    CURLM *curl;
    lh_timer timer;    /* curl's */
    lh_ptrmap sockets; /* descriptor + 1 -> http_socket */
    unsigned depth;    /* calls into curl at work */
    void (*on_done)(CURL *easy, CURLcode result);
    void (*on_rest)(lh_http_multi *multi);
};

/* Set on_done and on_rest first. */
bool lh_http_multi_init(lh_http_multi *multi, lh_net *net) __attribute__((warn_unused_result));
void lh_http_multi_fini(lh_http_multi *multi);

/* Lets a handle open its sockets here. */
void lh_http_multi_use_sockets(lh_http_multi *multi, CURL *easy);

/* Adds a handle and lets it begin. It may be done before this returns. */
bool lh_http_multi_start(lh_http_multi *multi, CURL *easy) __attribute__((warn_unused_result));

/* Around any other call that may run callbacks of a handle's. */
void lh_http_multi_enter(lh_http_multi *multi);
void lh_http_multi_leave(lh_http_multi *multi);
