/* net/tunnel: what a peer may send that no peer of ours does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/tunnel.h"

static lh_net net;
static lh_tunnel *tunnel;
static int peer, turns_left;

static bool on_turn(lh_loop *loop) {
    if (turns_left-- == 0) lh_loop_stop(loop);
    return true;
}

static int ends; /* of the tunnel, as it was told */

static void ignore(lh_loop *loop) { (void)loop; }
static void on_channel(lh_tunnel *which) { (void)which; }
static void on_end(lh_tunnel *which, const char *reason) {
    (void)which, (void)reason;
    ends++;
}

static const lh_tunnel_events events = {.on_channel = on_channel, .on_end = on_end};

static void turn(void) {
    turns_left = 3;
    atomic_store(&net.loop.is_stopping, false);
    lh_loop_run(&net.loop);
}

static lh_socket *pair(int *other) {
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    *other = fds[1];
    lh_socket *socket = lh_socket_adopt(&net, fds[0], AF_UNIX, SOCK_STREAM);
    socket->is_connected = true;
    return socket;
}

static int open_either(bool opens_channels) {
    assert_int_equal(lh_net_open(&net), 0);
    net.loop.on_turn = on_turn;
    net.loop.on_idle = net.loop.on_busy = ignore;
    const lh_tunnel_options options = {.opens_channels = opens_channels,
                                       .keepalive_ns = 60 * LH_SECOND,
                                       .window_bytes = 1000,
                                       .channels_max = 10,
                                       .events = &events};
    tunnel = lh_tunnel_open(pair(&peer), &options);
    assert_non_null(tunnel);
    return 0;
}

static int open_tunnel(void **state) {
    (void)state;
    return open_either(false);
}

static int open_client(void **state) {
    (void)state;
    return open_either(true);
}

static int close_tunnel(void **state) {
    (void)state;
    lh_tunnel_close(tunnel);
    if (peer >= 0) close(peer);
    assert_int_equal(net.open_count, 0);
    assert_int_equal(net.loop.timers.count, 0);
    lh_net_close(&net);
    return 0;
}

/* A frame of HTTP/2 (RFC 9113, 4.1). */
static void send_frame(unsigned char type, unsigned char flags, unsigned char stream, const char *payload,
                       size_t length) {
    const unsigned char head[9] = {0, 0, (unsigned char)length, type, flags, 0, 0, 0, stream};
    assert_int_equal(write(peer, head, sizeof(head)), sizeof(head));
    assert_int_equal(write(peer, payload, length), length);
}

enum { DATA = 0, HEADERS = 1, SETTINGS = 4, END_STREAM = 1, END_HEADERS = 4 };

static void open_stream(void) {
    static const char connect[] = "\x02\x07"
                                  "CONNECT\x41\x09"
                                  "reverse:0"; /* :method, :authority */
    assert_int_equal(write(peer, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24), 24);
    send_frame(SETTINGS, 0, 0, "", 0);
    send_frame(HEADERS, END_HEADERS, 1, connect, sizeof(connect) - 1);
    turn();
}

/* Trailers were taken for another request: the channel was offered a second time, and accepting it again overwrote its
 * socket. */
static void trailers_are_an_end_and_no_request(void **state) {
    (void)state;
    int other;
    char text[10];
    open_stream();
    lh_channel *channel = lh_tunnel_take(tunnel);
    assert_non_null(channel);
    assert_int_equal(lh_channel_accept(channel, pair(&other), NULL), 0);
    send_frame(DATA, 0, 1, "hello", 5);
    send_frame(HEADERS, END_HEADERS | END_STREAM, 1, "\x00\x01x\x01y", 5);
    turn();
    assert_null(lh_tunnel_take(tunnel));
    assert_int_equal(read(other, text, sizeof(text)), 5);
    assert_int_equal(read(other, text, sizeof(text)), 0); /* the end has been passed on */
    lh_channel_release(channel);
    close(other);
}

static void a_channel_is_accepted_once(void **state) {
    (void)state;
    int first, second;
    open_stream();
    lh_channel *channel = lh_tunnel_take(tunnel);
    assert_int_equal(lh_channel_accept(channel, pair(&first), NULL), 0);
    assert_true(lh_channel_accept(channel, pair(&second), NULL) < 0);
    assert_int_equal(lh_tunnel_channel_count(tunnel), 1);
    lh_channel_release(channel);
    close(first);
    close(second);
}

/* A script accepts and refuses: in the midst of that no other may go on because it is told of the tunnel's end. */
static void an_end_is_told_in_the_next_turn(void **state) {
    (void)state;
    int other;
    open_stream();
    lh_channel *channel = lh_tunnel_take(tunnel);
    ends = 0;
    close(peer);
    peer = -1;
    assert_int_equal(lh_channel_accept(channel, pair(&other), NULL), 0);
    lh_channel_refuse(channel, "too late");
    assert_int_equal(ends, 0);
    turn();
    assert_int_equal(ends, 1);
    lh_channel_release(channel);
    close(other);
}

static void count_answer(void *owner, const char *reason) {
    assert_string_equal(reason, "reset");
    ++*(int *)owner;
}

/* nghttp2 keeps the requests that a peer does not allow yet, also those of channels that were given up. */
static void a_peer_that_allows_no_channels_costs_little(void **state) {
    (void)state;
    int other, answers = 0, given_up = 0;
    send_frame(SETTINGS, 0, 0, "\x00\x03\x00\x00\x00\x00", 6); /* MAX_CONCURRENT_STREAMS = 0 */
    turn();
    for (; given_up <= 10000; given_up++) {
        lh_tunnel_connect(tunnel, pair(&other), NULL, count_answer, &answers);
        close(other);
        if (given_up % 100 == 0) turn();
    }
    turn();
    assert_int_equal(answers, given_up);
    assert_int_equal(lh_tunnel_channel_count(tunnel), 0);
    lh_tunnel_connect(tunnel, pair(&other), NULL, count_answer, &answers); /* one too many */
    assert_int_equal(answers, given_up);                                   /* told in the next turn */
    turn();
    assert_int_equal(answers, given_up + 1);
    close(other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(trailers_are_an_end_and_no_request, open_tunnel, close_tunnel),
        cmocka_unit_test_setup_teardown(a_channel_is_accepted_once, open_tunnel, close_tunnel),
        cmocka_unit_test_setup_teardown(an_end_is_told_in_the_next_turn, open_tunnel, close_tunnel),
        cmocka_unit_test_setup_teardown(a_peer_that_allows_no_channels_costs_little, open_client, close_tunnel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
