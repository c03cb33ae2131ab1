/* What TLS stands on: names of peers, and the keys of session tickets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "net/ticket_keys.h"
#include "net/tls_name.h"

static void names_are_read_as_they_are_verified(void **state) {
    (void)state;
    static const struct {
        const char *text, *name;
    } good[] = {{"localhost", "localhost"},
                {"localhost.", "localhost"},
                {"a_b.example", "a_b.example"},
                {"127.0.0.1", "127.0.0.1"},
                {"::1", "::1"},
                {"[::1]", "::1"},
                {"0:0:0:0:0:0:0:1", "::1"},
                {"FE80::0001%eth0", "fe80::1"},
                {"fe80::1%eth0", "fe80::1"},
                {"1a.2b", "1a.2b"}};
    char name[LH_TLS_NAME_MAX];
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_null(lh_tls_name_read(good[i].text, strlen(good[i].text), name));
        assert_string_equal(name, good[i].name);
    }
    static const char *const bad[] = {"",           ".",    "..",          ".a",    "a..b",       "a..",
                                      "*.a",        "a b",  "a:1",         "127.1", "0x7f000001", "127.0X1",
                                      "127.0.0.1.", "[::1", "[127.0.0.1]", "a/b",   "a%b",        "\xc3\xa4"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_non_null(lh_tls_name_read(bad[i], strlen(bad[i]), name));
    }
    assert_non_null(lh_tls_name_read("a\0b", 3, name));
    assert_true(lh_tls_name_is_ip("::1"));
    assert_false(lh_tls_name_is_ip("localhost"));
}

static void names_have_a_greatest_length(void **state) {
    (void)state;
    char text[300], name[LH_TLS_NAME_MAX];
    for (size_t i = 0; i < sizeof(text); i++) text[i] = i % 10 == 9 ? '.' : 'a';
    for (size_t length = 1; length < sizeof(text); length++) {
        const size_t bytes = text[length - 1] == '.' ? length - 1 : length; /* the root's dot */
        const char *wrong = lh_tls_name_read(text, length, name);
        assert_int_equal(wrong == NULL, bytes <= 253);
        if (!wrong) assert_int_equal(strlen(name), bytes);
    }
    memset(text, 'a', sizeof(text));
    assert_null(lh_tls_name_read(text, 63, name));
    assert_non_null(lh_tls_name_read(text, 64, name));
}

/* A new key every period; each reads tickets for as long as a ticket made at its end may count, and no longer. */
static void ticket_keys_change(void **state) {
    (void)state;
    lh_ticket_keys keys = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    lh_ticket_key first, same, second, found;
    bool is_old;
    const lh_ns start = 5 * LH_TICKET_PERIOD;
    assert_false(lh_ticket_keys_find(&keys, start, (const unsigned char *)"0123456789abcdef", &found, &is_old));
    assert_true(lh_ticket_keys_current(&keys, start, &first));
    assert_true(lh_ticket_keys_current(&keys, start + LH_TICKET_PERIOD - 1, &same));
    assert_memory_equal(&first, &same, sizeof(first));
    assert_true(lh_ticket_keys_find(&keys, start + 1, first.name, &found, &is_old));
    assert_false(is_old);
    assert_true(lh_ticket_keys_current(&keys, start + LH_TICKET_PERIOD, &second));
    assert_memory_not_equal(first.name, second.name, sizeof(first.name));
    assert_memory_not_equal(first.cipher, second.cipher, sizeof(first.cipher));
    assert_true(lh_ticket_keys_find(&keys, start + LH_TICKET_PERIOD, first.name, &found, &is_old));
    assert_true(is_old);
    assert_memory_equal(&found, &first, sizeof(first));
    assert_true(lh_ticket_keys_find(&keys, start + LH_TICKET_KEYS * LH_TICKET_PERIOD - 1, first.name, &found, &is_old));
    assert_false(lh_ticket_keys_find(&keys, start + LH_TICKET_KEYS * LH_TICKET_PERIOD, first.name, &found, &is_old));
    assert_false(
        lh_ticket_keys_find(&keys, start + 100 * LH_TICKET_PERIOD, second.name, &found, &is_old)); /* idle since */
    for (int i = 0; i < 10; i++)
        assert_true(lh_ticket_keys_current(&keys, start + (200 + (lh_ns)i) * LH_TICKET_PERIOD, &found));
    assert_int_equal(keys.count, LH_TICKET_KEYS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_read_as_they_are_verified),
        cmocka_unit_test(names_have_a_greatest_length),
        cmocka_unit_test(ticket_keys_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
