/* curl says what it wants of each socket, and when it wants to be called; the poll and a timer of ours call it. It
 * expects level-triggered readiness. A connection that is idle is not wanted for anything, but stays registered: when
 * the next request uses it, as it soon does, nothing has to be told to the kernel. Should something come meanwhile (the
 * peer closes), it is taken out then. */
#include "net/http_multi.h"

#include <assert.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/descriptors.h"

enum { KEPT_CONNECTIONS = 256 };

/* A socket that curl has, or had, wishes for. */
typedef struct http_socket {
    lh_watch watch;
    lh_http_multi *multi;
    unsigned wants;      /* LH_POLL_*: curl's */
    unsigned registered; /* the poll's */
    bool is_ours;        /* made by open_socket, so that its end will be told by close_socket */
} http_socket;

/* -- Calling curl -------------------------------------------------------------------------------------------------- */

void lh_http_multi_enter(lh_http_multi *multi) { multi->depth++; }

void lh_http_multi_leave(lh_http_multi *multi) {
    assert(multi->depth > 0);
    if (--multi->depth > 0) return;
    int left;
    for (CURLMsg *message; (message = curl_multi_info_read(multi->curl, &left));) {
        if (message->msg == CURLMSG_DONE) multi->on_done(message->easy_handle, message->data.result);
    }
}

/* -- Sockets ------------------------------------------------------------------------------------------------------- */

static void *socket_key(curl_socket_t fd) { return (void *)(uintptr_t)(fd + 1); }

static void act(lh_http_multi *multi, curl_socket_t fd, int events) {
    int running;
    lh_http_multi_enter(multi);
    curl_multi_socket_action(multi->curl, fd, events, &running);
    lh_http_multi_leave(multi);
}

static void on_ready(lh_watch *watch, unsigned events) {
    http_socket *s = LH_CONTAINER(watch, http_socket, watch);
    lh_http_multi *multi = s->multi;
    const curl_socket_t fd = watch->fd;
    const unsigned wanted = events & s->wants;
    if (events & s->registered & ~s->wants) { /* nobody wants to hear of it: once is enough */
        s->registered = s->wants;
        if (lh_poll_want(&multi->net->loop.poll, watch, s->wants) < 0) s->registered = 0;
    }
    const bool has_failed = (events & LH_POLL_HANGUP) && s->wants;
    if (!wanted && !has_failed) return;
    int mask = 0;
    if (wanted & LH_POLL_IN) mask |= CURL_CSELECT_IN;
    if (wanted & LH_POLL_OUT) mask |= CURL_CSELECT_OUT;
    act(multi, fd, mask ? mask : CURL_CSELECT_ERR);
    multi->on_rest(multi);
}

static http_socket *find_socket(lh_http_multi *multi, curl_socket_t fd) {
    return lh_ptrmap_get(&multi->sockets, socket_key(fd));
}

static void drop_socket(http_socket *s) {
    lh_poll_remove(&s->multi->net->loop.poll, &s->watch);
    lh_list_remove(&s->watch.again_node);
    lh_ptrmap_remove(&s->multi->sockets, socket_key(s->watch.fd));
    lh_free(s);
}

static http_socket *add_socket(lh_http_multi *multi, curl_socket_t fd, bool is_ours) {
    http_socket *old = find_socket(multi, fd); /* curl has closed one without a word, and the number is in use again */
    if (old) drop_socket(old);
    http_socket *s = lh_alloc(sizeof(*s));
    s->multi = multi;
    s->is_ours = is_ours;
    lh_watch_init(&s->watch, fd, on_ready);
    lh_ptrmap_set(&multi->sockets, socket_key(fd), s);
    return s;
}

/* curl's wishes. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *unused) {
    (void)easy;
    (void)unused;
    lh_http_multi *multi = context;
    http_socket *s = find_socket(multi, fd);
    if (what == CURL_POLL_REMOVE) {
        if (!s) return 0;
        s->wants = 0;
        if (!s->is_ours) drop_socket(s);
        return 0;
    }
    if (!s) s = add_socket(multi, fd, false);
    s->wants = (what & CURL_POLL_IN ? LH_POLL_IN : 0) | (what & CURL_POLL_OUT ? LH_POLL_OUT : 0);
    if (s->wants & ~s->registered) {
        s->registered = s->wants;
        if (lh_poll_want(&multi->net->loop.poll, &s->watch, s->wants) < 0) s->registered = 0; /* it times out */
    }
    return 0;
}

static curl_socket_t open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address) {
    (void)purpose;
    lh_http_multi *multi = context;
    const int fd = lh_descriptor_claim(
        socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address->protocol));
    if (fd < 0) return CURL_SOCKET_BAD;
    add_socket(multi, fd, true);
    return fd;
}

static int close_socket(void *context, curl_socket_t fd) {
    http_socket *s = find_socket(context, fd);
    if (s) drop_socket(s);
    lh_descriptor_close(fd);
    return 0;
}

/* -- Time ---------------------------------------------------------------------------------------------------------- */

static int on_timer_wish(CURLM *curl, long ms, void *context) {
    (void)curl;
    lh_http_multi *multi = context;
    lh_timers *timers = &multi->net->loop.timers;
    if (ms < 0) {
        lh_timer_stop(timers, &multi->timer);
    } else {
        lh_timer_start(timers, &multi->timer, lh_loop_deadline((lh_ns)ms * LH_MILLISECOND));
    }
    return 0;
}

static void on_timer(lh_timer *timer) {
    lh_http_multi *multi = LH_CONTAINER(timer, lh_http_multi, timer);
    act(multi, CURL_SOCKET_TIMEOUT, 0);
    multi->on_rest(multi);
}

/* -- Its life ------------------------------------------------------------------------------------------------------ */

bool lh_http_multi_init(lh_http_multi *multi, lh_net *net) {
    multi->net = net;
    multi->curl = curl_multi_init();
    if (!multi->curl) return false;
    lh_timer_init(&multi->timer, on_timer);
    curl_multi_setopt(multi->curl, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(multi->curl, CURLMOPT_SOCKETDATA, multi);
    curl_multi_setopt(multi->curl, CURLMOPT_TIMERFUNCTION, on_timer_wish);
    curl_multi_setopt(multi->curl, CURLMOPT_TIMERDATA, multi);
    curl_multi_setopt(multi->curl, CURLMOPT_MAXCONNECTS, (long)KEPT_CONNECTIONS);
    return true;
}

void lh_http_multi_use_sockets(lh_http_multi *multi, CURL *easy) {
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, multi);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, multi);
}

bool lh_http_multi_start(lh_http_multi *multi, CURL *easy) {
    if (curl_multi_add_handle(multi->curl, easy) != CURLM_OK) return false;
    act(multi, CURL_SOCKET_TIMEOUT, 0);
    return true;
}

/* Those that curl has closed without a word. */
static void drop_sockets(lh_http_multi *multi) {
    for (size_t i = 0; i < multi->sockets.capacity;) {
        http_socket *s = multi->sockets.entries[i].value;
        if (s) drop_socket(s);
        i = s ? 0 : i + 1; /* what is removed may move others */
    }
}

void lh_http_multi_fini(lh_http_multi *multi) {
    curl_multi_cleanup(multi->curl);
    drop_sockets(multi);
    lh_timer_stop(&multi->net->loop.timers, &multi->timer);
    lh_ptrmap_fini(&multi->sockets);
}
