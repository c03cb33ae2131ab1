/* net/: addresses and streams, from C, without Lua. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/datagram.h"
#include "net/stream.h"

/* -- Addresses ----------------------------------------------------------------------------------------------------- */

static void addresses_round_trip(void **state) {
    (void)state;
    static const char *const good[] = {
        "127.0.0.1", "0.0.0.0", "255.255.255.255", "::", "::1", "2001:db8::1", "fe80::1%lo"};
    char text[LH_ADDRESS_TEXT_MAX];
    lh_address address;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(lh_address_parse_ip(&address, good[i], 65535), 0);
        assert_int_equal(lh_address_host(&address, text), strlen(good[i]));
        assert_string_equal(text, good[i]);
        assert_int_equal(lh_address_port(&address), 65535);
    }
}

static void what_is_no_address_is_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"",          "localhost",  "1.2.3", "1.2.3.4.5",
                                      "256.1.1.1", " 127.0.0.1", "::g",   "fe80::1%no-such-interface",
                                      "::1%",      "1.2.3.4%lo", "[::1]"};
    lh_address address;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(lh_address_parse_ip(&address, bad[i], 1), -EINVAL);
    }
}

static void unix_paths(void **state) {
    (void)state;
    char text[LH_ADDRESS_TEXT_MAX];
    lh_address address;
    assert_int_equal(lh_address_unix(&address, "/tmp/x", 6), 0);
    assert_int_equal(lh_address_host(&address, text), 6);
    assert_string_equal(text, "/tmp/x");
    assert_int_equal(lh_address_unix(&address, "\0abstract", 9), 0);
    assert_int_equal(lh_address_host(&address, text), 9);
    assert_memory_equal(text, "\0abstract", 9);
    char longest[108];
    memset(longest, 'x', sizeof(longest));
    assert_int_equal(lh_address_unix(&address, longest, 107), 0);
    assert_int_equal(lh_address_unix(&address, longest, 108), -ENAMETOOLONG);
}

/* -- Streams ------------------------------------------------------------------------------------------------------- */

static lh_net net;
static lh_socket *left, *right;

static int open_pair(void **state) {
    (void)state;
    int fds[2];
    assert_int_equal(lh_net_open(&net), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    left = lh_socket_adopt(&net, fds[0], AF_UNIX, SOCK_STREAM);
    right = lh_socket_adopt(&net, fds[1], AF_UNIX, SOCK_STREAM);
    return 0;
}

static int close_pair(void **state) {
    (void)state;
    lh_socket_close(left);
    lh_socket_close(right);
    lh_socket_close(NULL);
    assert_int_equal(net.open_count, 0);
    lh_net_close(&net);
    return 0;
}

static void send_text(lh_socket *socket, const char *text) {
    size_t written = 0;
    assert_int_equal(lh_stream_write(socket, text, strlen(text), &written), LH_STREAM_DONE);
}

static int read_stop(lh_socket *socket, const lh_read_until *stop, char *text) {
    const char *bytes = NULL;
    size_t length = 0;
    socket->is_readable = true; /* what an event would say */
    const int rv = lh_stream_read(socket, stop, &bytes, &length);
    if (rv == LH_STREAM_DONE) {
        memcpy(text, bytes, length);
        text[length] = '\0';
    }
    return rv;
}

static const lh_read_until line = {.terminator = "\n", .terminator_bytes = 1, .limit_bytes = SIZE_MAX};

static void reads_lines_and_counts(void **state) {
    (void)state;
    char text[100];
    assert_int_equal(read_stop(left, &line, text), LH_STREAM_WAIT);
    send_text(right, "one\ntwo\nrest");
    assert_int_equal(read_stop(left, &line, text), LH_STREAM_DONE);
    assert_string_equal(text, "one\n");
    assert_ptr_equal(net.borrower, left); /* the rest still lies in the scratch */
    const lh_read_until three = {.count = 3, .limit_bytes = SIZE_MAX};
    assert_int_equal(read_stop(left, &three, text), LH_STREAM_DONE);
    assert_string_equal(text, "two");
    send_text(left, "from the other side\n");
    assert_int_equal(read_stop(right, &line, text), LH_STREAM_DONE); /* takes the scratch: left's bytes move */
    assert_string_equal(text, "from the other side\n");
    lh_socket_shutdown(right, SHUT_WR);
    const lh_read_until many = {.count = 100, .limit_bytes = SIZE_MAX};
    assert_int_equal(read_stop(left, &many, text), LH_STREAM_DONE);
    assert_string_equal(text, "\nrest");
    assert_int_equal(read_stop(left, &many, text), LH_STREAM_END);
}

static void an_idle_socket_holds_no_buffer(void **state) {
    (void)state;
    char text[100];
    send_text(right, "par");
    assert_int_equal(read_stop(left, &line, text), LH_STREAM_WAIT);
    send_text(right, "tial\n");
    assert_int_equal(read_stop(left, &line, text), LH_STREAM_DONE);
    assert_string_equal(text, "partial\n");
    assert_int_equal(read_stop(left, &line, text), LH_STREAM_WAIT);
    assert_null(left->in.block);
    assert_null(net.borrower);
}

static void limits_lose_nothing(void **state) {
    (void)state;
    char text[100];
    const lh_read_until short_line = {.terminator = "\n", .terminator_bytes = 1, .limit_bytes = 4};
    send_text(right, "12345\n");
    assert_int_equal(read_stop(left, &short_line, text), -EMSGSIZE);
    assert_int_equal(read_stop(left, &line, text), LH_STREAM_DONE);
    assert_string_equal(text, "12345\n");
}

static void a_large_write_comes_in_portions(void **state) {
    (void)state;
    enum { SIZE = 4 * 1024 * 1024 };
    char *data = malloc(SIZE), *copy = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++) data[i] = (char)(i * 31 >> 3);
    size_t written = 0, got = 0;
    int rv;
    do {
        right->is_writable = true;
        rv = lh_stream_write(right, data, SIZE, &written);
        assert_true(rv >= 0);
        const char *bytes;
        size_t length;
        left->is_readable = true;
        while (lh_stream_read_some(left, 100000, &bytes, &length) == LH_STREAM_DONE) {
            memcpy(copy + got, bytes, length);
            got += length;
        }
    } while (rv != LH_STREAM_DONE || got < written);
    assert_int_equal(got, SIZE);
    assert_memory_equal(data, copy, SIZE);
    free(data);
    free(copy);
}

static void failures_are_sticky(void **state) {
    (void)state;
    char text[10];
    lh_socket_fail(left, ECONNRESET);
    lh_socket_fail(left, EPIPE); /* the first one counts */
    assert_int_equal(read_stop(left, &line, text), -ECONNRESET);
    size_t written = 0;
    assert_int_equal(lh_stream_write(left, "x", 1, &written), -ECONNRESET);
}

static void datagrams_keep_their_borders(void **state) {
    (void)state;
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    lh_socket *a = lh_socket_adopt(&net, fds[0], AF_UNIX, SOCK_DGRAM);
    lh_socket *b = lh_socket_adopt(&net, fds[1], AF_UNIX, SOCK_DGRAM);
    assert_int_equal(lh_datagram_send(a, "first", 5, NULL), 5);
    assert_int_equal(lh_datagram_send(a, "second", 6, NULL), 6);
    const char *bytes;
    size_t length;
    lh_address from;
    bool is_truncated;
    assert_int_equal(lh_datagram_receive(b, 100, &bytes, &length, &from, &is_truncated), 0);
    assert_int_equal(length, 5);
    assert_false(is_truncated);
    assert_int_equal(lh_datagram_receive(b, 3, &bytes, &length, &from, &is_truncated), 0);
    assert_int_equal(length, 3);
    assert_true(is_truncated);
    assert_int_equal(lh_datagram_receive(b, 3, &bytes, &length, &from, &is_truncated), -EAGAIN);
    lh_socket_close(a);
    lh_socket_close(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_round_trip),
        cmocka_unit_test(what_is_no_address_is_refused),
        cmocka_unit_test(unix_paths),
        cmocka_unit_test_setup_teardown(reads_lines_and_counts, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(an_idle_socket_holds_no_buffer, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(limits_lose_nothing, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(a_large_write_comes_in_portions, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(failures_are_sticky, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(datagrams_keep_their_borders, open_pair, close_pair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
