#include "data/dns.h"

#include <ares.h>
#include <string.h>

enum { HEADER_BYTES = 12, QUESTION_BYTES = 4, RECORD_BYTES = 10, CODE_MASK = 15 };

static unsigned number_at(const lh_dns_message *message, size_t at, int count) {
    unsigned number = 0;
    for (int i = 0; i < count; i++) number = number << 8 | message->bytes[at + (size_t)i];
    return number;
}

/* Expands the name at *at, which moves behind it. */
static bool expand(const lh_dns_message *message, size_t *at, char text[LH_DNS_NAME_MAX]) {
    char *name;
    long length;
    if (*at >= message->length) return false;
    if (ares_expand_name(message->bytes + *at, message->bytes, (int)message->length, &name, &length) != ARES_SUCCESS) {
        return false;
    }
    const size_t size = strlen(name) + 1;
    if (size <= LH_DNS_NAME_MAX) memcpy(text, name, size);
    ares_free_string(name);
    *at += (size_t)length;
    return size <= LH_DNS_NAME_MAX && *at <= message->length;
}

bool lh_dns_open(lh_dns_message *message, const void *bytes, size_t length) {
    if (length < HEADER_BYTES || length > UINT16_MAX) return false;
    *message = (lh_dns_message){.bytes = bytes, .length = length, .at = HEADER_BYTES};
    message->code = number_at(message, 3, 1) & CODE_MASK;
    message->records_left = number_at(message, 6, 2);
    for (unsigned questions = number_at(message, 4, 2); questions > 0; questions--) {
        char name[LH_DNS_NAME_MAX];
        if (!expand(message, &message->at, name) || message->length - message->at < QUESTION_BYTES) return false;
        message->at += QUESTION_BYTES;
    }
    return true;
}

bool lh_dns_next(lh_dns_message *message, lh_dns_record *record) {
    size_t at = message->at;
    if (message->records_left == 0 || !expand(message, &at, record->name)) return false;
    if (message->length - at < RECORD_BYTES) return false;
    record->type = number_at(message, at, 2);
    record->class_number = number_at(message, at + 2, 2);
    record->ttl = number_at(message, at + 4, 4);
    record->at = at + RECORD_BYTES;
    record->end = record->at + number_at(message, at + 8, 2);
    if (record->end > message->length) return false;
    message->at = record->end;
    message->records_left--;
    return true;
}

bool lh_dns_take_name(const lh_dns_message *message, lh_dns_record *record, char text[LH_DNS_NAME_MAX]) {
    return expand(message, &record->at, text) && record->at <= record->end;
}

bool lh_dns_take_number(const lh_dns_message *message, lh_dns_record *record, int count, uint32_t *number) {
    if (record->end - record->at < (size_t)count) return false;
    *number = number_at(message, record->at, count);
    record->at += (size_t)count;
    return true;
}

bool lh_dns_take_string(const lh_dns_message *message, lh_dns_record *record, const char **bytes, size_t *length) {
    uint32_t count;
    if (!lh_dns_take_number(message, record, 1, &count) || record->end - record->at < count) return false;
    *bytes = (const char *)message->bytes + record->at;
    *length = count;
    record->at += count;
    return true;
}
