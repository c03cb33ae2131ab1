/* data/http_head: what is read of heads, whole and byte by byte, and what is refused because two readers may understand
 * it differently. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "data/http_head.h"

enum { ROOM = 20 };

static lh_http_head head;
static lh_http_field fields[ROOM];

static int read_whole(lh_http_kind kind, bool is_lenient, const char *text) {
    lh_http_head_init(&head, kind, is_lenient, fields, ROOM);
    return lh_http_head_read(&head, text, strlen(text));
}

/* The same, a byte more each time, each time in another place: nothing is remembered but offsets. */
static int read_bytewise(lh_http_kind kind, bool is_lenient, const char *text) {
    const size_t length = strlen(text);
    lh_http_head_init(&head, kind, is_lenient, fields, ROOM);
    for (size_t i = 1; i <= length; i++) {
        char *copy = malloc(i); /* the sanitizer sees a byte too much */
        memcpy(copy, text, i);
        const int rv = lh_http_head_read(&head, copy, i);
        free(copy);
        if (rv != 0) return rv;
    }
    return 0;
}

static int read_both(lh_http_kind kind, bool is_lenient, const char *text) {
    const int rv = read_bytewise(kind, is_lenient, text);
    const lh_http_head bytewise = head;
    assert_int_equal(read_whole(kind, is_lenient, text), rv);
    if (rv != 1) return rv;
    assert_true(bytewise.length == head.length && bytewise.field_count == head.field_count &&
                bytewise.body_length == head.body_length && bytewise.transfer == head.transfer);
    assert_true(bytewise.is_kept == head.is_kept && bytewise.is_packed == head.is_packed &&
                bytewise.status == head.status);
    assert_memory_equal(&bytewise.target, &head.target, sizeof(head.target));
    return rv;
}

static void assert_span(const char *text, lh_http_span span, const char *expected) {
    assert_int_equal(span.length, strlen(expected));
    assert_memory_equal(text + span.offset, expected, span.length);
}

/* -- What is read -------------------------------------------------------------------------------------------------- */

static void a_request_is_read(void **state) {
    (void)state;
    static const char text[] = "POST /a?b=c HTTP/1.1\r\nHost: here:80\r\nX-Empty:\r\nX-Spaces: \t a b \t \r\n"
                               "Content-Length: 0012\r\nConnection: a, Keep-Alive\r\n\r\nbody";
    assert_int_equal(read_both(LH_HTTP_REQUEST, false, text), 1);
    assert_span(text, head.method, "POST");
    assert_span(text, head.target, "/a?b=c");
    assert_int_equal(head.minor, 1);
    assert_int_equal(head.length, strlen(text) - strlen("body"));
    assert_int_equal(head.field_count, 5);
    assert_span(text, fields[0].name, "Host");
    assert_span(text, fields[0].value, "here:80");
    assert_span(text, fields[1].value, "");
    assert_span(text, fields[2].value, "a b");
    assert_true(head.has_length && head.body_length == 12 && head.transfer == LH_HTTP_PLAIN && head.is_kept);
}

static void an_answer_is_read(void **state) {
    (void)state;
    static const char text[] =
        "HTTP/1.1 404 Not \xc3\xa4 Found\r\nTransfer-Encoding: Chunked\r\nContent-Encoding: gzip\r\n\r\n";
    assert_int_equal(read_both(LH_HTTP_ANSWER, false, text), 1);
    assert_int_equal(head.status, 404);
    assert_span(text, head.reason, "Not \xc3\xa4 Found");
    assert_true(head.transfer == LH_HTTP_CHUNKED && head.is_packed && head.is_kept && !head.has_length);
    static const char *const short_ones[] = {"HTTP/1.1 200\r\n\r\n", "HTTP/1.1 200 \r\n\r\n"};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(read_both(LH_HTTP_ANSWER, false, short_ones[i]), 1);
        assert_int_equal(head.reason.length, 0);
    }
}

static void connections_are_kept_as_versions_and_fields_say(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool is_kept;
    } cases[] = {{"HTTP/1.1 200 x\r\n\r\n", true},
                 {"HTTP/1.0 200 x\r\n\r\n", false},
                 {"HTTP/1.0 200 x\r\nConnection: keep-alive\r\n\r\n", true},
                 {"HTTP/1.1 200 x\r\nConnection: x , CLOSE\r\n\r\n", false},
                 {"HTTP/1.1 200 x\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n", false},
                 {"HTTP/1.1 200 x\r\nConnection: closed\r\n\r\n", true}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(read_both(LH_HTTP_ANSWER, false, cases[i].text), 1);
        assert_int_equal(head.is_kept, cases[i].is_kept);
    }
}

static void a_lenient_reader_takes_what_clients_may_take(void **state) {
    (void)state;
    char value[64];
    static const char folded[] = "HTTP/1.1  200 x\nX: one \r\n  two\r\n\tthree\nY:\r\n four\n\n";
    assert_int_equal(read_both(LH_HTTP_ANSWER, true, folded), 1);
    assert_int_equal(head.field_count, 2);
    value[lh_http_unfold(folded, &fields[0], value)] = 0;
    assert_string_equal(value, "one two three");
    value[lh_http_unfold(folded, &fields[1], value)] = 0;
    assert_string_equal(value, "four");
    assert_int_equal(
        read_both(LH_HTTP_ANSWER, true, "HTTP/1.1 200 x\r\nContent-Length: 5, 5\r\nContent-Length: 5\r\n\r\n"), 1);
    assert_int_equal(head.body_length, 5);
    assert_int_equal(
        read_both(LH_HTTP_ANSWER, true, "HTTP/1.1 200 x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
        1);
    assert_true(head.transfer == LH_HTTP_CHUNKED && !head.is_kept); /* nothing is read behind what is doubtful */
    static const char *const strange[] = {"gzip, chunked", "chunked, chunked", "chunked, gzip",
                                          "xchunked",      "chunked;a=b",      ","};
    for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++) {
        char text[200];
        snprintf(text, sizeof(text), "HTTP/1.1 200 x\r\nTransfer-Encoding: %s\r\n\r\n", strange[i]);
        assert_int_equal(read_both(LH_HTTP_ANSWER, true, text), 1);
        assert_int_equal(head.transfer, LH_HTTP_STRANGE);
        assert_int_equal(read_both(LH_HTTP_ANSWER, false, text), -EBADMSG);
    }
}

static void trailers_do_not_frame(void **state) {
    (void)state;
    assert_int_equal(read_both(LH_HTTP_TRAILERS, false, "\r\n"), 1);
    assert_int_equal(read_both(LH_HTTP_TRAILERS, false, "X-Sum: 5\r\n\r\n"), 1);
    assert_int_equal(head.field_count, 1);
    assert_int_equal(read_both(LH_HTTP_TRAILERS, false, "Content-Length: 5\r\n\r\n"), -EBADMSG);
    assert_int_equal(read_both(LH_HTTP_TRAILERS, false, "Transfer-Encoding: chunked\r\n\r\n"), -EBADMSG);
    assert_int_equal(read_both(LH_HTTP_TRAILERS, true, "Content-Length: 5\r\nno field\r\n fold\r\nX: y\r\n\r\n"), 1);
    assert_true(!head.has_length && head.field_count == 2);
}

/* -- What is refused ----------------------------------------------------------------------------------------------- */

static void what_smuggles_is_refused(void **state) {
    (void)state;
    static const char *const both[] = {
        /* for a lenient reader, too */
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length:\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 6\r\n",
        "Content-Length: 5\r\n 6\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "Content-Length : 5\r\n",
        " Content-Length: 5\r\n",
        ": 5\r\n",
        "X\r\n",
        "X Y: 5\r\n",
        "X\xe4: 5\r\n",
        "X(: 5\r\n",
        "X: a\rb\r\n",
        "X: a\r\r\n",
    };
    static const char *const strict[] = {
        "Content-Length: 5, 5\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: \x0b"
        "chunked\r\n",
        "X: a\n",
        "X: a\r\n b\r\n",
        "X: a\x01"
        "b\r\n",
        "X: a\x7f"
        "b\r\n",
    };
    char text[300];
    for (size_t i = 0; i < sizeof(both) / sizeof(both[0]); i++) {
        snprintf(text, sizeof(text), "HTTP/1.1 200 x\r\n%s\r\n", both[i]);
        assert_int_equal(read_both(LH_HTTP_ANSWER, true, text), -EBADMSG);
        assert_non_null(head.problem);
        snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: x\r\n%s\r\n", both[i]);
        assert_int_equal(read_both(LH_HTTP_REQUEST, false, text), -EBADMSG);
    }
    for (size_t i = 0; i < sizeof(strict) / sizeof(strict[0]); i++) {
        snprintf(text, sizeof(text), "HTTP/1.1 200 x\r\n%s\r\n", strict[i]);
        assert_int_equal(read_both(LH_HTTP_ANSWER, false, text), -EBADMSG);
        snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: x\r\n%s\r\n", strict[i]);
        assert_int_equal(read_both(LH_HTTP_REQUEST, false, text), -EBADMSG);
    }
    lh_http_head_init(&head, LH_HTTP_ANSWER, true, fields, ROOM);
    assert_int_equal(lh_http_head_read(&head, "HTTP/1.1 200 x\r\nX: a\0b\r\n\r\n", 27), -EBADMSG);
}

static void first_lines_are_exact(void **state) {
    (void)state;
    static const char *const requests[] = {"GET / HTTP/1.1\nHost: x\r\n\r\n",
                                           "GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
                                           "GET /  HTTP/1.1\r\nHost: x\r\n\r\n",
                                           "GET / HTTP/1.1 \r\nHost: x\r\n\r\n",
                                           " GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                                           "GET /\r\nHost: x\r\n\r\n",
                                           "GET / http/1.1\r\nHost: x\r\n\r\n",
                                           "GET / HTTP/2.0\r\nHost: x\r\n\r\n",
                                           "GET / HTTP/1.10\r\nHost: x\r\n\r\n",
                                           "G(T / HTTP/1.1\r\nHost: x\r\n\r\n",
                                           "GET /\xe4 HTTP/1.1\r\nHost: x\r\n\r\n",
                                           "GET /\t HTTP/1.1\r\nHost: x\r\n\r\n",
                                           "GET / HTTP/1.1\r\n\r\n",
                                           "GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
                                           "GET / HTTP/1.1\r\nHost: x/y\r\n\r\n",
                                           "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
                                           "GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n",
                                           "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
                                           "\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"};
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        assert_int_equal(read_both(LH_HTTP_REQUEST, false, requests[i]), -EBADMSG);
    }
    assert_int_equal(read_both(LH_HTTP_REQUEST, false, "GET http://A:8/x HTTP/1.1\r\nHost: a:8\r\n\r\n"), 1);
    assert_int_equal(read_both(LH_HTTP_REQUEST, false, "GET / HTTP/1.0\r\n\r\n"), 1);
    static const char *const answers[] = {"HTTP/1.1 20 x\r\n\r\n", "HTTP/1.1 099 x\r\n\r\n", "HTTP/1.1 2000\r\n\r\n",
                                          "HTTP/1.1\r\n\r\n",      "HTTP/1.1 2OO x\r\n\r\n", "HTTP/2 200 x\r\n\r\n",
                                          "HTTP/1.x 200\r\n\r\n",  "ICY 200 OK\r\n\r\n"};
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        assert_int_equal(read_both(LH_HTTP_ANSWER, false, answers[i]), -EBADMSG);
        assert_int_equal(read_both(LH_HTTP_ANSWER, true, answers[i]), -EBADMSG);
    }
}

/* Somebody who speaks another protocol may never send a line end. */
static void what_is_not_http_is_refused_at_once(void **state) {
    (void)state;
    assert_int_equal(read_both(LH_HTTP_ANSWER, true, "SSH-2.0-x"), -EBADMSG);
    assert_int_equal(read_both(LH_HTTP_ANSWER, true, "HTTP/2"), -EBADMSG);
    assert_int_equal(read_both(LH_HTTP_ANSWER, true, "HTTP/1."), 0);
    assert_int_equal(read_both(LH_HTTP_REQUEST, false, "\x16\x03\x01"), -EBADMSG);
}

/* A head of exactly the length allowed, and one byte more; so many fields, and one more. */
static void sizes_are_bounded(void **state) {
    (void)state;
    static const char begin[] = "HTTP/1.1 200 x\r\nX: ", end[] = "\r\n\r\n";
    char *text = malloc(LH_HTTP_HEAD_MAX + 2);
    for (int extra = 0; extra <= 1; extra++) {
        const size_t length = LH_HTTP_HEAD_MAX + (size_t)extra;
        memset(text, 'x', length);
        memcpy(text, begin, strlen(begin));
        memcpy(text + length - strlen(end), end, strlen(end));
        lh_http_head_init(&head, LH_HTTP_ANSWER, false, NULL, 0);
        assert_int_equal(lh_http_head_read(&head, text, length), extra ? -EMSGSIZE : 1);
    }
    for (int extra = 0; extra <= 1; extra++) {
        size_t length = (size_t)sprintf(text, "HTTP/1.1 200 x\r\n");
        for (int i = 0; i < LH_HTTP_FIELDS_MAX + extra; i++) length += (size_t)sprintf(text + length, "a:\r\n");
        length += (size_t)sprintf(text + length, "\r\n");
        lh_http_head_init(&head, LH_HTTP_ANSWER, false, NULL, 0);
        assert_int_equal(lh_http_head_read(&head, text, length), extra ? -EMSGSIZE : 1);
    }
    free(text);
    lh_http_head_init(&head, LH_HTTP_ANSWER, false, fields, 1);
    static const char two[] = "HTTP/1.1 200 x\r\na:\r\nb:\r\n\r\n";
    assert_int_equal(lh_http_head_read(&head, two, strlen(two)), -EMSGSIZE);
    assert_int_equal(lh_http_head_read(&head, two, strlen(two)), -EBADMSG); /* it stays so */
}

/* -- Chunks and lists ---------------------------------------------------------------------------------------------- */

static void chunk_sizes_are_read(void **state) {
    (void)state;
    uint64_t size;
    static const char *const good[] = {"ff\r\n", "FF\r\n", "0000ff\r\n", "ff \r\n", "ff;a=b\r\n", "ff \t; a=\"b\"\r\n"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(lh_http_chunk_size(good[i], strlen(good[i]), false, &size), 0);
        assert_int_equal(size, 255);
    }
    static const char *const bad[] = {"",
                                      "\r\n",
                                      "g\r\n",
                                      "+5\r\n",
                                      "-5\r\n",
                                      "0x5\r\n",
                                      "5 5\r\n",
                                      "5",
                                      "5\r",
                                      " 5\r\n",
                                      "5;\rx\r\n",
                                      "5;\x01\r\n",
                                      "5_0\r\n",
                                      "ffffffffffffffff\r\n",
                                      "10000000000000000\r\n"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(lh_http_chunk_size(bad[i], strlen(bad[i]), false, &size), -EBADMSG);
        assert_int_equal(lh_http_chunk_size(bad[i], strlen(bad[i]), true, &size), -EBADMSG);
    }
    assert_int_equal(lh_http_chunk_size("5\n", 2, false, &size), -EBADMSG);
    assert_int_equal(lh_http_chunk_size("5\n", 2, true, &size), 0);
    assert_int_equal(lh_http_chunk_size("1fffffffffffff\r\n", 16, false, &size), 0);
    assert_int_equal(size, (UINT64_C(1) << 53) - 1);
}

static void lists_are_read(void **state) {
    (void)state;
    static const char text[] = "Digest realm=\"a \\\" , b\" , qop=auth;x = \"\", Negotiate a/b==";
    static const struct {
        const char *name, *value;
        char separator;
    } expected[] = {{"Digest", NULL, 0}, {"realm", "a \\\" , b", 0}, {"qop", "auth", ','},
                    {"x", "", ';'},      {"Negotiate", NULL, ','},   {"a/b", "=", 0}};
    lh_http_item item;
    size_t at = 0;
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        assert_int_equal(lh_http_next_item(text, strlen(text), &at, &item), 1);
        assert_span(text, item.name, expected[i].name);
        assert_int_equal(item.has_value, expected[i].value != NULL);
        if (item.has_value) assert_span(text, item.value, expected[i].value);
        assert_int_equal(item.separator, expected[i].separator);
    }
    assert_int_equal(lh_http_next_item(text, strlen(text), &at, &item), 0);
    static const char *const bad[] = {"\"a\"", "=a", "a=\"b", "a=\"b\\", "(", "a=\"b\\\""};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        at = 0;
        assert_int_equal(lh_http_next_item(bad[i], strlen(bad[i]), &at, &item), -EBADMSG);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_read),
        cmocka_unit_test(an_answer_is_read),
        cmocka_unit_test(connections_are_kept_as_versions_and_fields_say),
        cmocka_unit_test(a_lenient_reader_takes_what_clients_may_take),
        cmocka_unit_test(trailers_do_not_frame),
        cmocka_unit_test(what_smuggles_is_refused),
        cmocka_unit_test(first_lines_are_exact),
        cmocka_unit_test(what_is_not_http_is_refused_at_once),
        cmocka_unit_test(sizes_are_bounded),
        cmocka_unit_test(chunk_sizes_are_read),
        cmocka_unit_test(lists_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
