/* Reading DNS messages (RFC 1035): the records of an answer. Names are expanded by c-ares.
 *
 * Owner: a message is the caller's bytes.
 * Thread: any.
 * Errors: what is malformed reads as false. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LH_DNS_NAME_MAX = 1024 }; /* bytes that hold any name's text: 255, each of which may be written as \DDD */

/* RFC 1035, 4.1.1 */
enum {
    LH_DNS_NO_ERROR = 0,
    LH_DNS_FORMAT_ERROR = 1,
    LH_DNS_SERVER_FAILURE = 2,
    LH_DNS_NO_SUCH_NAME = 3,
    LH_DNS_NOT_IMPLEMENTED = 4,
    LH_DNS_REFUSED = 5
};

/* The header; a name of 255 bytes, a type and a class behind it. */
enum { LH_DNS_HEADER_BYTES = 12, LH_DNS_QUESTION_END_MAX = LH_DNS_HEADER_BYTES + 255 + 4 };

enum { LH_DNS_CNAME = 5, LH_DNS_ANY = 255 };

typedef struct lh_dns_message {
    const unsigned char *bytes;
    size_t length;
    size_t at;             /* where the next record begins */
    unsigned records_left; /* of the answer section */
    unsigned code;         /* LH_DNS_NO_ERROR ... */
} lh_dns_message;

typedef struct lh_dns_record {
    char name[LH_DNS_NAME_MAX]; /* without the dot at the end */
    unsigned type, class_number;
    uint32_t ttl;
    size_t at, end; /* its data within the message */
} lh_dns_record;

/* Checks a name's text as RFC 1035, 5.1 has it: labels of at most 63 bytes, together 255 with their lengths; \DDD and
 * \X stand for a byte. `plain` is the same name without \DDD, which not every c-ares reads. False: no name. */
bool lh_dns_check_name(const char *text, char plain[LH_DNS_NAME_MAX]);

/* Where the question ends in an answer to one question, of a class that can be asked for (IN, CH, HS, ANY); at most
 * LH_DNS_QUESTION_END_MAX. 0 = it is no such message. */
size_t lh_dns_question_end(const void *bytes, size_t length);

/* LH_DNS_NO_ERROR ..., of a message that has a header. */
unsigned lh_dns_code(const void *bytes);

/* Reads the header and skips the questions. */
bool lh_dns_open(lh_dns_message *message, const void *bytes, size_t length);

/* The next record of the answer section, of which there is one. */
bool lh_dns_next(lh_dns_message *message, lh_dns_record *record);

/* -- Parts of a record's data: each moves record->at forward; false when there is not so much -- */

bool lh_dns_take_name(const lh_dns_message *message, lh_dns_record *record, char text[LH_DNS_NAME_MAX]);

/* `count` bytes as a number, 1 to 4. */
bool lh_dns_take_number(const lh_dns_message *message, lh_dns_record *record, int count, uint32_t *number);

/* A length in one byte and so many bytes. */
bool lh_dns_take_string(const lh_dns_message *message, lh_dns_record *record, const char **bytes, size_t *length);
