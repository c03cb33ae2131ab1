/* A WebSocket client whose server sends anything, in pieces (each begins with its length), while it sends messages
 * itself and takes what has come, sometimes late. In the end nothing is left open. */
#include <assert.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "data/json.h"
#include "net/websocket.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

enum { MESSAGE_MAX = 2000 };

static lh_net net;
static int turns_left, ends;

static bool on_turn(lh_loop *loop) {
    if (turns_left-- == 0) lh_loop_stop(loop);
    return true;
}

static void ignore(lh_loop *loop) { (void)loop; }

static void turn(void) {
    turns_left = 2;
    atomic_store(&net.loop.is_stopping, false);
    lh_loop_run(&net.loop);
}

static void take_all(lh_websocket *w) {
    for (lh_websocket_message *message; (message = lh_websocket_take(w));) {
        assert(message->opcode == LH_WEBSOCKET_TEXT || message->opcode == LH_WEBSOCKET_BINARY);
        assert(message->length <= MESSAGE_MAX);
        if (message->opcode == LH_WEBSOCKET_TEXT) assert(lh_json_is_utf8(message->bytes, message->length));
        lh_free(message);
    }
}

static void on_news(lh_websocket *w) {
    if (lh_websocket_is_over(w)) ends++;
    if (lh_websocket_is_over(w) && lh_websocket_error(w)) assert(lh_websocket_error(w)[0]);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    if (size == 0) return 0;
    if (!net.scratch) {
        signal(SIGPIPE, SIG_IGN);
        assert(lh_net_open(&net) == 0);
        net.loop.on_turn = on_turn;
        net.loop.on_idle = net.loop.on_busy = ignore;
    }
    int fds[2];
    assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    lh_socket *socket = lh_socket_adopt(&net, fds[0], AF_UNIX, SOCK_STREAM);
    socket->is_connected = true;
    const lh_websocket_options options = {.message_max = MESSAGE_MAX,
                                          .close_timeout_ns = 10 * LH_SECOND,
                                          .is_deflating = data[0] & 2,
                                          .deflate = {.out_window_bits = 15, .is_in_independent = data[0] & 4},
                                          .on_news = on_news};
    lh_websocket *w = lh_websocket_open(socket, &options);
    assert(w);
    ends = 0;
    char sink[65536];
    const unsigned char *at = data + 1, *const end = data + size;
    while (at < end) {
        size_t length = *at++;
        if (length > (size_t)(end - at)) length = (size_t)(end - at);
        if (length % 5 == 0) lh_websocket_send(w, length % 2 ? LH_WEBSOCKET_PING : LH_WEBSOCKET_BINARY, "hello", 5);
        if (length == 77) lh_websocket_shutdown(w, LH_WEBSOCKET_NORMAL, "bye");
        if (length > 0 && write(fds[1], at, length) < 0) break;
        at += length;
        turn();
        if (data[0] & 1) take_all(w);
        while (read(fds[1], sink, sizeof(sink)) > 0) {
        }
    }
    close(fds[1]);
    turn();
    take_all(w);
    assert(lh_websocket_is_over(w) && ends == 1);
    lh_websocket_close(w);
    assert(net.open_count == 0);
    assert(net.loop.timers.count == 0);
    return 0;
}
