/* Heads of HTTP/1 messages (RFC 9112): request or status line and header fields; trailers; the lines of chunks; and
 * lists of parameters in fields. Nothing is copied: what is found is told as places in the caller's buffer.
 *
 * A head may come in any pieces: lh_http_head_read goes on where it stopped and looks at each byte once. It refuses
 * what two readers may understand differently, which is how requests are smuggled: lines that end otherwise than by CR
 * LF, folded lines, white space before a colon, NUL and other control characters, fields without a name, lengths that
 * are no number, several of them, a length beside a transfer coding, codings other than a single "chunked", a Host that
 * is missing or stands twice. A lenient reader, for answers that a client asked for itself, takes what RFC 9112 allows
 * a client: lines that end with LF, folded lines, a length that is repeated, a transfer coding beside it (which
 * counts).
 *
 * Owner: the caller's structs and buffers.
 * Thread: one at a time.
 * Errors: -EBADMSG, and `problem` says what is wrong; -EMSGSIZE: it is too long, or has too many fields. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LH_HTTP_HEAD_MAX = 64 * 1024, /* bytes of a head, with the empty line */
    LH_HTTP_FIELDS_MAX = 1000,
};

typedef enum lh_http_kind {
    LH_HTTP_REQUEST,
    LH_HTTP_ANSWER,
    LH_HTTP_TRAILERS, /* fields and the empty line. Those that frame a message are refused; a lenient reader does not
                         heed them, and skips what is no field */
} lh_http_kind;

/* Bytes of the caller's buffer. */
typedef struct lh_http_span {
    uint32_t offset, length;
} lh_http_span;

typedef struct lh_http_field {
    lh_http_span name, value; /* without white space around it */
    bool is_folded;           /* the value has line ends in it: see lh_http_unfold */
} lh_http_field;

/* What a message's Transfer-Encoding says. */
typedef enum lh_http_transfer {
    LH_HTTP_PLAIN,
    LH_HTTP_CHUNKED,
    LH_HTTP_STRANGE, /* something else: the body cannot be read. Only a lenient reader gets so far */
} lh_http_transfer;

typedef struct lh_http_head {
    lh_http_kind kind;
    bool is_lenient;
    bool may_lack_host;  /* a request's Host may be missing, whatever its version; the caller's to set */
    bool is_whole;       /* the empty line has come: all of the following counts */
    const char *problem; /* NULL = none */
    uint32_t length;     /* of the lines understood; when it is whole, of the head */
    uint32_t searched;   /* bytes in which a line's end has been looked for */
    bool has_start;      /* the first line is understood */

    lh_http_span method, target; /* of a request */
    int status;                  /* of an answer, 100..999 */
    lh_http_span reason;         /* may be empty */
    int minor;                   /* HTTP/1.minor */

    lh_http_field *fields; /* the caller's; NULL = they are only counted */
    uint32_t field_count, field_room;

    bool has_length; /* there is a Content-Length ... */
    uint64_t body_length;
    lh_http_transfer transfer;
    bool is_kept;   /* the connection may be used again (RFC 9112, 9.3) */
    bool is_packed; /* Content-Encoding is gzip, x-gzip or deflate */

    int host_count, last_field; /* ours */
    bool is_skipping;           /* the last line was no field */
    lh_http_span host;
    bool has_transfer, says_close, says_keep_alive, has_encoding;
} lh_http_head;

/* `fields` has room for `room` of them; NULL, 0: they are not wanted. */
void lh_http_head_init(lh_http_head *head, lh_http_kind kind, bool is_lenient, lh_http_field *fields, size_t room);

/* Reads on: `bytes` is all that has come since the head's beginning. 1: it is whole, `head->length` bytes of them; 0:
 * there must be more; or a negative errno, for good. */
int lh_http_head_read(lh_http_head *head, const char *bytes, size_t length) __attribute__((warn_unused_result));

/* Copies a value, with a space for each fold, to `to`, which has room for its length. Returns the length of the copy.
 */
size_t lh_http_unfold(const char *bytes, const lh_http_field *field, char *to);

/* The size that a chunk's line, up to its line end, says (RFC 9112, 7.1); extensions are skipped. 0 or -EBADMSG. */
int lh_http_chunk_size(const char *line, size_t length, bool is_lenient, uint64_t *size)
    __attribute__((warn_unused_result));

/* An item of a list such as `Digest realm="a b", qop=auth` or `permessage-deflate; client_max_window_bits=10`. */
typedef struct lh_http_item {
    lh_http_span name, value;
    bool has_value;
    bool is_quoted; /* the value is what stands between the quotes, with its backslashes */
    char separator; /* that stands before it: ',' ';' or 0: none */
} lh_http_item;

/* The next one from *at on, which begins with 0. 1; 0: there is none; -EBADMSG: something that is no item. */
int lh_http_next_item(const char *text, size_t length, size_t *at, lh_http_item *item)
    __attribute__((warn_unused_result));

/* A name as in methods and fields (RFC 9110, 5.6.2), not empty. */
bool lh_http_is_token(const char *bytes, size_t length);
