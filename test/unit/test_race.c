/* net/race: connecting to one of several addresses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/race.h"

static lh_net net;
static lh_socket *like, *winner;
static int error;
static bool is_done;

static bool run_nothing(lh_loop *loop) {
    (void)loop;
    return false;
}

static void ignore(lh_loop *loop) { (void)loop; }

static int open_all(void **state) {
    (void)state;
    int why;
    assert_int_equal(lh_net_open(&net), 0);
    net.loop.on_turn = run_nothing;
    net.loop.on_idle = net.loop.on_busy = ignore;
    like = lh_socket_open(&net, AF_INET, SOCK_STREAM, &why);
    assert_non_null(like);
    winner = NULL;
    is_done = false;
    return 0;
}

static int close_all(void **state) {
    (void)state;
    lh_socket_close(winner);
    lh_socket_close(like);
    assert_int_equal(net.open_count, 0);
    assert_int_equal(net.loop.timers.count, 0);
    lh_net_close(&net);
    return 0;
}

/* A listener's address; `backlog` 0: it is full after the first connection, and the kernel drops what else comes. */
static lh_address listen_at(const char *ip, int backlog, int *fd) {
    lh_address address;
    assert_int_equal(lh_address_parse_ip(&address, ip, 0), 0);
    *fd = socket(lh_address_family(&address), SOCK_STREAM, 0);
    assert_int_equal(bind(*fd, (struct sockaddr *)&address.storage, address.length), 0);
    assert_int_equal(listen(*fd, backlog), 0);
    assert_int_equal(getsockname(*fd, (struct sockaddr *)&address.storage, &address.length), 0);
    return address;
}

/* An address from which no answer comes. */
static lh_address silent(int *listener, int *occupant) {
    const lh_address address = listen_at("127.0.0.1", 0, listener);
    *occupant = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(*occupant, (const struct sockaddr *)&address.storage, address.length), 0);
    return address;
}

/* An address where nobody listens any more. */
static lh_address refusing(const char *ip) {
    int fd;
    const lh_address address = listen_at(ip, 1, &fd);
    close(fd);
    return address;
}

static void on_done(void *owner, lh_socket *take_winner, int why) {
    assert_ptr_equal(owner, &winner);
    assert_false(is_done);
    winner = take_winner;
    error = why;
    is_done = true;
    lh_loop_stop(&net.loop);
}

static void run_race(const lh_address *addresses, size_t count) {
    assert_non_null(lh_race_start(like, addresses, count, on_done, &winner));
    assert_false(is_done);
    lh_loop_run(&net.loop);
    assert_true(is_done);
}

static void expect_winner(const lh_address *address) {
    lh_address peer;
    assert_non_null(winner);
    assert_int_equal(lh_socket_peer_address(winner, &peer), 0);
    assert_int_equal(lh_address_port(&peer), lh_address_port(address));
}

static void the_first_wins(void **state) {
    (void)state;
    int fd;
    const lh_address addresses[] = {listen_at("127.0.0.1", 4, &fd), refusing("127.0.0.1")};
    run_race(addresses, 2);
    expect_winner(&addresses[0]);
    close(fd);
}

static void a_refusal_leads_on_at_once(void **state) {
    (void)state;
    int fd;
    const lh_address addresses[] = {refusing("127.0.0.1"), refusing("127.0.0.1"), listen_at("127.0.0.1", 4, &fd)};
    run_race(addresses, 3);
    expect_winner(&addresses[2]);
    close(fd);
}

static void silence_leads_on_after_a_while_and_is_left_behind(void **state) {
    (void)state;
    int fd, listener, occupant;
    const lh_address addresses[] = {silent(&listener, &occupant), listen_at("127.0.0.1", 4, &fd)};
    const lh_ns began = lh_clock_now();
    run_race(addresses, 2);
    assert_true(lh_clock_now() - began >= 250 * LH_MILLISECOND); /* RFC 8305, 5: not before */
    expect_winner(&addresses[1]);
    assert_int_equal(net.open_count, 2); /* the winner and `like` */
    close(fd);
    close(listener);
    close(occupant);
}

static void when_all_fail_the_first_ones_error_counts(void **state) {
    (void)state;
    lh_address addresses[2];
    addresses[0] = refusing("127.0.0.1");
    assert_int_equal(lh_address_parse_ip(&addresses[1], "255.255.255.255", 80), 0);
    run_race(addresses, 2);
    assert_null(winner);
    assert_int_equal(error, ECONNREFUSED);
}

static void what_fails_without_waiting_is_told_later(void **state) {
    (void)state;
    lh_address address;
    assert_int_equal(lh_address_parse_ip(&address, "255.255.255.255", 80), 0);
    run_race(&address, 1);
    assert_null(winner);
    assert_true(error == ENETUNREACH || error == EACCES);
}

static void families_take_turns_the_sockets_own_first(void **state) {
    (void)state;
    int four, six;
    lh_address addresses[3] = {refusing("::1"), listen_at("::1", 4, &six), listen_at("127.0.0.1", 4, &four)};
    run_race(addresses, 3);
    expect_winner(&addresses[2]); /* `like` is of IPv4 */
    close(four);
    close(six);
}

static void the_winner_has_the_options_of_its_model(void **state) {
    (void)state;
    int fd, value = 7;
    socklen_t size = sizeof(value);
    const lh_address address = listen_at("127.0.0.1", 4, &fd);
    assert_int_equal(setsockopt(like->watch.fd, IPPROTO_TCP, TCP_KEEPCNT, &value, sizeof(value)), 0);
    value = 100000;
    assert_int_equal(setsockopt(like->watch.fd, SOL_SOCKET, SO_RCVBUF, &value, sizeof(value)), 0);
    run_race(&address, 1);
    assert_int_equal(getsockopt(winner->watch.fd, IPPROTO_TCP, TCP_KEEPCNT, &value, &size), 0);
    assert_int_equal(value, 7);
    assert_int_equal(getsockopt(winner->watch.fd, SOL_SOCKET, SO_RCVBUF, &value, &size), 0);
    assert_int_equal(value, 200000);
    close(fd);
}

static void stopping_leaves_nothing(void **state) {
    (void)state;
    int listener, occupant;
    const lh_address address = silent(&listener, &occupant);
    lh_race_stop(lh_race_start(like, &address, 1, on_done, &winner));
    lh_race_stop(NULL);
    assert_false(is_done);
    close(listener);
    close(occupant);
}

static void a_socket_becomes_another(void **state) {
    (void)state;
    int fd;
    const lh_address address = listen_at("127.0.0.1", 4, &fd);
    assert_int_equal(lh_socket_expect(like), 0);
    run_race(&address, 1);
    const int descriptor = winner->watch.fd;
    lh_socket_replace(like, winner);
    winner = NULL;
    assert_int_equal(like->watch.fd, descriptor);
    assert_true(like->is_connected);
    assert_int_equal(lh_socket_expect(like), 0);
    assert_int_equal(net.open_count, 1);
    close(fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_first_wins, open_all, close_all),
        cmocka_unit_test_setup_teardown(a_refusal_leads_on_at_once, open_all, close_all),
        cmocka_unit_test_setup_teardown(silence_leads_on_after_a_while_and_is_left_behind, open_all, close_all),
        cmocka_unit_test_setup_teardown(when_all_fail_the_first_ones_error_counts, open_all, close_all),
        cmocka_unit_test_setup_teardown(what_fails_without_waiting_is_told_later, open_all, close_all),
        cmocka_unit_test_setup_teardown(families_take_turns_the_sockets_own_first, open_all, close_all),
        cmocka_unit_test_setup_teardown(the_winner_has_the_options_of_its_model, open_all, close_all),
        cmocka_unit_test_setup_teardown(stopping_leaves_nothing, open_all, close_all),
        cmocka_unit_test_setup_teardown(a_socket_becomes_another, open_all, close_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
