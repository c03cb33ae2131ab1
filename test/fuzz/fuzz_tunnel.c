/* A tunnel whose peer sends anything, in pieces, while channels are opened, accepted, refused: the first byte of the
 * input says as which side it works, every piece begins with its length. In the end nothing is left open. */
#include <assert.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/stream.h"
#include "net/tunnel.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static lh_net net;
static int answers, dials;

static int turns_left;

static bool on_turn(lh_loop *loop) {
    if (turns_left-- == 0) lh_loop_stop(loop);
    return true;
}

static void ignore(lh_loop *loop) { (void)loop; }

static lh_socket *pair(int *other) {
    int fds[2];
    assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    *other = fds[1];
    lh_socket *socket = lh_socket_adopt(&net, fds[0], AF_UNIX, SOCK_STREAM);
    socket->is_connected = true;
    return socket;
}

/* Every other channel is accepted, to a socket with some bytes in it that is closed at once or stays. */
static void on_channel(lh_tunnel *tunnel) {
    static unsigned count;
    for (lh_channel *channel; (channel = lh_tunnel_take(tunnel));) {
        int other;
        if (count++ % 2 == 0) {
            lh_cut *cut = lh_cut_new();
            lh_socket *local = pair(&other);
            assert(write(other, "hello", 5) == 5);
            lh_channel_accept(channel, local, cut);
            lh_cut_release(cut);
            close(other);
        } else {
            lh_channel_refuse(channel, "no \"such\" thing\n");
        }
        lh_channel_release(channel);
    }
}

static void on_end(lh_tunnel *tunnel, const char *reason) {
    assert(reason[0]);
    assert(lh_tunnel_is_over(tunnel));
}

static void on_answer(void *owner, const char *reason) {
    (void)owner;
    (void)reason;
    answers++;
}

static const lh_tunnel_events events = {.on_channel = on_channel, .on_end = on_end};

static void turn(void) {
    turns_left = 2;
    atomic_store(&net.loop.is_stopping, false);
    lh_loop_run(&net.loop);
}

static void dial(lh_tunnel *tunnel) {
    int other;
    lh_socket *local = pair(&other);
    dials++;
    lh_tunnel_connect(tunnel, local, NULL, on_answer, NULL);
    const ssize_t n = write(other, "data", 4);
    (void)n; /* the channel may have ended already */
    close(other);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    if (size == 0) return 0;
    if (!net.scratch) {
        signal(SIGPIPE, SIG_IGN);
        assert(lh_net_open(&net) == 0);
        net.loop.on_turn = on_turn;
        net.loop.on_idle = net.loop.on_busy = ignore;
    }
    answers = dials = 0;
    const lh_tunnel_options options = {.opens_channels = data[0] & 1,
                                       .keepalive_ns = 10 * LH_SECOND,
                                       .window_bytes = 1000,
                                       .channels_max = 10,
                                       .events = &events};
    int peer;
    lh_tunnel *tunnel = lh_tunnel_open(pair(&peer), &options);
    assert(tunnel);
    char sink[65536];
    const unsigned char *at = data + 1, *const end = data + size;
    if (data[0] & 2 && !options.opens_channels) assert(write(peer, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24) == 24);
    turn();
    while (at < end) {
        size_t length = *at++;
        if (length > (size_t)(end - at)) length = (size_t)(end - at);
        if (options.opens_channels && dials < 5 && length % 3 == 0) dial(tunnel);
        if (length > 0 && write(peer, at, length) < 0) break;
        at += length;
        turn();
        while (read(peer, sink, sizeof(sink)) > 0) {
        }
    }
    close(peer);
    turn();
    lh_tunnel_close(tunnel);
    assert(answers == dials);
    assert(net.open_count == 0);
    assert(net.loop.timers.count == 0);
    return 0;
}
