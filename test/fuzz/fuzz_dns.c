/* Any bytes as a DNS message: every record lies within it, and so does every part that is taken of a record, in
 * whatever order. */
#include <assert.h>
#include <string.h>

#include "data/dns.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

/* Takes what `choice` says of the record's data. */
static bool take(const lh_dns_message *message, lh_dns_record *record, unsigned choice) {
    char name[LH_DNS_NAME_MAX];
    const char *bytes;
    size_t length;
    uint32_t number;
    switch (choice % 8) {
    case 0:
    case 1:
    case 2:
        if (!lh_dns_take_name(message, record, name)) return false;
        assert(memchr(name, 0, sizeof(name)));
        return true;
    case 3:
        if (!lh_dns_take_string(message, record, &bytes, &length)) return false;
        assert((const unsigned char *)bytes >= message->bytes);
        assert((const unsigned char *)bytes + length <= message->bytes + record->end);
        return true;
    default: return lh_dns_take_number(message, record, (int)(choice % 4) + 1, &number);
    }
}

/* Where the question of an answer ends, it ends for who reads the records as well. */
static void check_header(const unsigned char *data, size_t size) {
    lh_dns_message message;
    const size_t end = lh_dns_question_end(data, size);
    assert(end <= size && end <= LH_DNS_QUESTION_END_MAX);
    if (end > 0 && lh_dns_open(&message, data, size)) assert(message.at == end);
}

/* A name made plain stays what it is. */
static void check_name(const unsigned char *data, size_t size) {
    char text[LH_DNS_NAME_MAX], plain[LH_DNS_NAME_MAX], again[LH_DNS_NAME_MAX];
    if (size >= sizeof(text)) return;
    memcpy(text, data, size);
    text[size] = 0;
    if (!lh_dns_check_name(text, plain)) return;
    assert(strlen(plain) <= strlen(text));
    assert(lh_dns_check_name(plain, again) && strcmp(plain, again) == 0);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    lh_dns_message message;
    lh_dns_record record;
    if (size == 0) return 0;
    check_header(data + 1, size - 1);
    check_name(data + 1, size - 1);
    unsigned choices = data[0];
    if (!lh_dns_open(&message, data + 1, size - 1)) return 0;
    while (message.records_left > 0 && lh_dns_next(&message, &record)) {
        assert(record.at <= record.end && record.end <= message.length);
        assert(memchr(record.name, 0, sizeof(record.name)));
        for (int i = 0; i < 8 && record.at < record.end && take(&message, &record, choices); i++) {
            assert(record.at <= record.end);
            choices = choices * 5 + 3;
        }
    }
    return 0;
}
