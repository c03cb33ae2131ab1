/* Any bytes as a DNS message: every record lies within it, and so does every part that is taken of a record, in whatever
 * order. */
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

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    lh_dns_message message;
    lh_dns_record record;
    if (size == 0) return 0;
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
