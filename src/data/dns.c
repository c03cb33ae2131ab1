#include "data/dns.h"

#include <ares.h>
#include <assert.h>
#include <string.h>

enum {
    QUESTION_BYTES = 4,
    RECORD_BYTES = 10,
    LABEL_MAX = 63,
    NAME_MAX_BYTES = 255,
    CODE_MASK = 15,
    ANSWER_MASK = 0x80,
    OPERATION_MASK = 0x78
};
enum { CLASS_IN = 1, CLASS_CHAOS = 3, CLASS_HESIOD = 4, CLASS_ANY = 255 };

static unsigned number_at(const lh_dns_message *message, size_t at, int count) {
    assert(count >= 1 && count <= 4 && at + (size_t)count <= message->length);
    unsigned number = 0;
    for (int i = 0; i < count; i++) number = number << 8 | message->bytes[at + (size_t)i];
    return number;
}

/* Expands the name at *at, which moves behind it. */
static bool expand(const lh_dns_message *message, size_t *at, char text[LH_DNS_NAME_MAX]) {
    char *name;
    long length;
    assert(message->length <= UINT16_MAX);
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

/* The byte that *text begins with, which moves behind it; -1: none. */
static int take_byte(const char **text) {
    const char *at = *text;
    if (*at != '\\') {
        *text = at + 1;
        return (unsigned char)*at;
    }
    at++;
    if (*at < '0' || *at > '9') {
        *text = at + 1;
        return *at ? (unsigned char)*at : -1;
    }
    int value = 0;
    for (int i = 0; i < 3; i++, at++) {
        if (*at < '0' || *at > '9') return -1;
        value = value * 10 + (*at - '0');
    }
    *text = at;
    return value > 0 && value <= UINT8_MAX ? value : -1; /* a NUL would end the name in C */
}

bool lh_dns_check_name(const char *text, char plain[LH_DNS_NAME_MAX]) {
    size_t label = 0, total = 1; /* bytes; every label costs one more, and so does the root */
    if (strcmp(text, ".") == 0) text++;
    while (*text) {
        if (*text == '.') {
            if (label == 0) return false;
            label = 0;
            *plain++ = *text++;
            continue;
        }
        const int byte = take_byte(&text);
        if (label == 0) total++;
        if (byte < 0 || ++label > LABEL_MAX || ++total > NAME_MAX_BYTES) return false;
        if (byte == '.' || byte == '\\') *plain++ = '\\';
        *plain++ = (char)byte;
    }
    *plain = 0;
    return true;
}

size_t lh_dns_question_end(const void *bytes, size_t length) {
    const lh_dns_message message = {.bytes = bytes, .length = length};
    if (length < LH_DNS_HEADER_BYTES || number_at(&message, 4, 2) != 1) return 0;
    if ((message.bytes[2] & (ANSWER_MASK | OPERATION_MASK)) != ANSWER_MASK) return 0;
    size_t at = LH_DNS_HEADER_BYTES;
    while (at < length && message.bytes[at] > 0) {
        if (message.bytes[at] > LABEL_MAX) return 0; /* nothing that a first name could point to is before it */
        at += 1U + message.bytes[at];
    }
    const size_t end = at + 1 + QUESTION_BYTES;
    if (end > length || end > LH_DNS_QUESTION_END_MAX) return 0;
    switch (number_at(&message, end - 2, 2)) {
    case CLASS_IN:
    case CLASS_CHAOS:
    case CLASS_HESIOD:
    case CLASS_ANY: return end;
    default: return 0;
    }
}

unsigned lh_dns_code(const void *bytes) { return ((const unsigned char *)bytes)[3] & CODE_MASK; }

bool lh_dns_open(lh_dns_message *message, const void *bytes, size_t length) {
    if (length < LH_DNS_HEADER_BYTES || length > UINT16_MAX) return false;
    *message = (lh_dns_message){.bytes = bytes, .length = length, .at = LH_DNS_HEADER_BYTES};
    message->code = lh_dns_code(bytes);
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
    assert(record->at <= record->end && record->end <= message->length);
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
