/* A head is read line by line. A line is understood when its end has come, so the only thing to remember between calls
 * is how far the search for that end got. What a field means for the message (its framing) is noted as it comes, and
 * judged when the head is whole. */
#include "data/http_head.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

/* -- Characters ---------------------------------------------------------------------------------------------------- */

static bool is_alphanumeric(unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_token_char(unsigned char c) {
    return is_alphanumeric(c) || (c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_space(char c) { return c == ' ' || c == '\t'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool lh_http_is_token(const char *bytes, size_t length) {
    for (size_t i = 0; i < length; i++) {
        if (!is_token_char((unsigned char)bytes[i])) return false;
    }
    return length > 0;
}

/* What may stand in a value: no control character but the tabulator. NUL, CR and LF never may (RFC 9110, 5.5). */
static bool is_value(const char *bytes, size_t length, bool is_lenient) {
    for (size_t i = 0; i < length; i++) {
        const unsigned char c = (unsigned char)bytes[i];
        if (c >= ' ' && c != 0x7f) continue;
        if (c == '\t' || (is_lenient && c != 0 && c != '\r' && c != '\n')) continue;
        return false;
    }
    return true;
}

static bool is_target(const char *bytes, size_t length) {
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] <= ' ' || bytes[i] >= 0x7f) return false; /* also what is not ASCII, where char is signed */
    }
    return length > 0;
}

static bool is_word(const char *bytes, size_t length, const char *word) {
    return length == strlen(word) && strncasecmp(bytes, word, length) == 0;
}

/* -- Failing ------------------------------------------------------------------------------------------------------- */

static int refuse(lh_http_head *head, const char *problem) {
    head->problem = problem;
    return -EBADMSG;
}

static int refuse_size(lh_http_head *head, const char *problem) {
    head->problem = problem;
    return -EMSGSIZE;
}

/* -- The first line ------------------------------------------------------------------------------------------------ */

static const char NOT_HTTP[] = "it is not HTTP/1";

static lh_http_span span_of(const char *bytes, const char *from, const char *to) {
    assert(bytes <= from && from <= to && to - bytes <= LH_HTTP_HEAD_MAX);
    return (lh_http_span){.offset = (uint32_t)(from - bytes), .length = (uint32_t)(to - from)};
}

/* "HTTP/1.d" at `at`; -1 = it is not that. */
static int parse_minor(const char *at, const char *end) {
    if (end - at < 8 || memcmp(at, "HTTP/1.", 7) != 0 || !is_digit(at[7])) return -1;
    return at[7] - '0';
}

static int read_status_line(lh_http_head *head, const char *bytes, const char *line, const char *end) {
    head->minor = parse_minor(line, end);
    if (head->minor < 0) return refuse(head, NOT_HTTP);
    const char *at = line + 8;
    if (at == end || *at != ' ') return refuse(head, "its status line has no status");
    at++;
    while (head->is_lenient && at < end && *at == ' ') at++;
    if (end - at < 3 || !is_digit(at[0]) || !is_digit(at[1]) || !is_digit(at[2]) || at[0] == '0') {
        return refuse(head, "its status line has no status");
    }
    head->status = (at[0] - '0') * 100 + (at[1] - '0') * 10 + (at[2] - '0');
    at += 3;
    if (at < end && *at != ' ') return refuse(head, "its status line has no status");
    if (at < end) at++;
    if (!is_value(at, (size_t)(end - at), head->is_lenient))
        return refuse(head, "a control character in its status line");
    head->reason = span_of(bytes, at, end);
    return 0;
}

static int read_request_line(lh_http_head *head, const char *bytes, const char *line, const char *end) {
    const char *space = memchr(line, ' ', (size_t)(end - line));
    if (!space || !lh_http_is_token(line, (size_t)(space - line)))
        return refuse(head, "its request line has no method");
    const char *target = space + 1;
    const char *after = memchr(target, ' ', (size_t)(end - target));
    if (!after || !is_target(target, (size_t)(after - target))) return refuse(head, "its request line has no target");
    head->minor = parse_minor(after + 1, end);
    if (head->minor < 0 || end - (after + 1) != 8) return refuse(head, NOT_HTTP);
    head->method = span_of(bytes, line, space);
    head->target = span_of(bytes, target, after);
    return 0;
}

/* What is no HTTP is refused as soon as that can be seen: a peer that speaks something else may send no line end. */
static int check_beginning(lh_http_head *head, const char *bytes, size_t length) {
    static const char expected[] = "HTTP/1.";
    const size_t known = sizeof(expected) - 1;
    if (head->kind == LH_HTTP_REQUEST && length > 0 && !is_token_char((unsigned char)bytes[0])) {
        return refuse(head, "its request line has no method");
    }
    if (head->kind != LH_HTTP_ANSWER || memcmp(bytes, expected, length < known ? length : known) == 0) return 0;
    return refuse(head, NOT_HTTP);
}

/* -- What fields mean ---------------------------------------------------------------------------------------------- */

/* The next word of a list with commas; false = there is none. */
static bool next_word(const char **at, const char *end, const char **word, size_t *length) {
    const char *from = *at;
    while (from < end && (is_space(*from) || *from == ',')) from++;
    const char *to = from;
    while (to < end && *to != ',') to++;
    *at = to;
    while (to > from && is_space(to[-1])) to--;
    *word = from;
    *length = (size_t)(to - from);
    return *length > 0;
}

static void note_connection(lh_http_head *head, const char *value, const char *end) {
    const char *word;
    size_t length;
    while (next_word(&value, end, &word, &length)) {
        if (is_word(word, length, "close")) head->says_close = true;
        if (is_word(word, length, "keep-alive")) head->says_keep_alive = true;
    }
}

static bool parse_length(const char *digits, size_t length, uint64_t *number) {
    *number = 0;
    for (size_t i = 0; i < length; i++) {
        if (!is_digit(digits[i]) || *number >= (UINT64_C(1) << 53) / 10) return false;
        *number = *number * 10 + (uint64_t)(digits[i] - '0');
    }
    assert(*number < UINT64_C(1) << 53);
    return length > 0;
}

static int note_length(lh_http_head *head, const char *value, const char *end) {
    const char *word;
    size_t length;
    uint64_t number;
    const char *at = value;
    if (!head->is_lenient && head->has_length) return refuse(head, "it has several lengths");
    if (!head->is_lenient && memchr(value, ',', (size_t)(end - value)))
        return refuse(head, "its length is not a number");
    bool has_one = false;
    while (next_word(&at, end, &word, &length)) {
        if (!parse_length(word, length, &number)) return refuse(head, "its length is not a number");
        if (head->has_length && head->body_length != number) return refuse(head, "it has several lengths");
        head->has_length = has_one = true;
        head->body_length = number;
    }
    return has_one ? 0 : refuse(head, "its length is not a number");
}

static void note_transfer(lh_http_head *head, const char *value, const char *end) {
    const char *word;
    size_t length;
    bool has_one = false;
    head->has_transfer = true;
    while (next_word(&value, end, &word, &length)) {
        has_one = true;
        if (head->is_lenient && is_word(word, length, "identity") && head->transfer == LH_HTTP_PLAIN) continue;
        const bool is_single = head->transfer == LH_HTTP_PLAIN && is_word(word, length, "chunked");
        head->transfer = is_single ? LH_HTTP_CHUNKED : LH_HTTP_STRANGE;
    }
    if (!has_one) head->transfer = LH_HTTP_STRANGE;
}

static void note_encoding(lh_http_head *head, const char *value, size_t length) {
    head->is_packed = !head->has_encoding && (is_word(value, length, "gzip") || is_word(value, length, "x-gzip") ||
                                              is_word(value, length, "deflate"));
    head->has_encoding = true;
}

/* A name or address, with or without a port; what else could stand there would be read as a path or as a user. */
static bool is_host(const char *value, size_t length) {
    for (size_t i = 0; i < length; i++) {
        const unsigned char c = (unsigned char)value[i];
        if (!is_alphanumeric(c) && (c == 0 || !strchr("-._~!$&'()*+,;=:%[]", c))) return false;
    }
    return true;
}

static int note_host(lh_http_head *head, const char *bytes, const char *value, const char *end) {
    head->host_count++;
    head->host = span_of(bytes, value, end);
    return is_host(value, (size_t)(end - value)) ? 0 : refuse(head, "its Host is none");
}

enum { FIELD_OTHER, FIELD_LENGTH, FIELD_TRANSFER, FIELD_CONNECTION, FIELD_ENCODING, FIELD_HOST };

static int kind_of_field(const char *name, size_t length) {
    switch (length) {
    case 4: return is_word(name, length, "host") ? FIELD_HOST : FIELD_OTHER;
    case 10: return is_word(name, length, "connection") ? FIELD_CONNECTION : FIELD_OTHER;
    case 14: return is_word(name, length, "content-length") ? FIELD_LENGTH : FIELD_OTHER;
    case 16: return is_word(name, length, "content-encoding") ? FIELD_ENCODING : FIELD_OTHER;
    case 17: return is_word(name, length, "transfer-encoding") ? FIELD_TRANSFER : FIELD_OTHER;
    default: return FIELD_OTHER;
    }
}

static int note_field(lh_http_head *head, const char *bytes, const char *value, const char *end) {
    if (head->kind == LH_HTTP_TRAILERS) {
        const bool frames = head->last_field != FIELD_OTHER && !head->is_lenient;
        return frames ? refuse(head, "a trailer that frames the message") : 0;
    }
    switch (head->last_field) {
    case FIELD_LENGTH: return note_length(head, value, end);
    case FIELD_TRANSFER: note_transfer(head, value, end); return 0;
    case FIELD_CONNECTION: note_connection(head, value, end); return 0;
    case FIELD_ENCODING: note_encoding(head, value, (size_t)(end - value)); return 0;
    case FIELD_HOST: return head->kind == LH_HTTP_REQUEST ? note_host(head, bytes, value, end) : 0;
    default: return 0;
    }
}

/* -- Fields -------------------------------------------------------------------------------------------------------- */

static void trim(const char **from, const char **to) {
    while (*from < *to && is_space(**from)) (*from)++;
    while (*to > *from && is_space((*to)[-1])) (*to)--;
}

static int read_field(lh_http_head *head, const char *bytes, const char *line, const char *end) {
    const char *colon = memchr(line, ':', (size_t)(end - line));
    if (!colon || !lh_http_is_token(line, (size_t)(colon - line))) return refuse(head, "a field whose name is none");
    const char *value = colon + 1;
    trim(&value, &end);
    if (!is_value(value, (size_t)(end - value), head->is_lenient))
        return refuse(head, "a control character in a field");
    if (head->field_count == (head->fields ? head->field_room : LH_HTTP_FIELDS_MAX)) {
        return refuse_size(head, "it has too many fields");
    }
    if (head->fields) {
        head->fields[head->field_count] =
            (lh_http_field){.name = span_of(bytes, line, colon), .value = span_of(bytes, value, end)};
    }
    head->field_count++;
    head->last_field = kind_of_field(line, (size_t)(colon - line));
    return note_field(head, bytes, value, end);
}

/* A line that goes on with the field before it (RFC 9112, 5.2). */
static int read_fold(lh_http_head *head, const char *bytes, const char *line, const char *end) {
    if (!head->is_lenient || head->field_count == 0) return refuse(head, "a folded line");
    trim(&line, &end);
    if (!is_value(line, (size_t)(end - line), true)) return refuse(head, "a control character in a field");
    if (head->last_field == FIELD_CONNECTION) {
        note_connection(head, line, end);
    } else if (head->last_field != FIELD_OTHER) {
        return refuse(head, "a folded line");
    }
    if (!head->fields || line == end) return 0;
    lh_http_field *field = &head->fields[head->field_count - 1];
    assert(field->value.offset + field->value.length <= (uint32_t)(line - bytes));
    if (field->value.length == 0) {
        field->value = span_of(bytes, line, end);
    } else {
        field->value.length = (uint32_t)(end - bytes) - field->value.offset;
        field->is_folded = true;
    }
    return 0;
}

size_t lh_http_unfold(const char *bytes, const lh_http_field *field, char *to) {
    const char *from = bytes + field->value.offset, *end = from + field->value.length;
    char *const begin = to;
    while (from < end) {
        if (field->is_folded && (*from == '\r' || *from == '\n')) {
            while (from < end && (*from == '\r' || *from == '\n' || is_space(*from))) from++;
            while (to > begin && is_space(to[-1])) to--;
            *to++ = ' ';
        } else {
            *to++ = *from++;
        }
    }
    assert((size_t)(to - begin) <= field->value.length);
    return (size_t)(to - begin);
}

/* -- The whole ----------------------------------------------------------------------------------------------------- */

/* An absolute target names the same host as the field. */
static bool has_target_of_host(const lh_http_head *head, const char *bytes) {
    assert(head->target.offset + head->target.length <= head->length);
    assert(head->host.offset + head->host.length <= head->length);
    const char *target = bytes + head->target.offset, *end = target + head->target.length;
    if (head->target.length >= 7 && strncasecmp(target, "http://", 7) == 0) {
        target += 7;
    } else if (head->target.length >= 8 && strncasecmp(target, "https://", 8) == 0) {
        target += 8;
    } else {
        return true;
    }
    size_t length = 0;
    while (target + length < end && !strchr("/?#", target[length])) length++;
    return length == head->host.length && strncasecmp(target, bytes + head->host.offset, length) == 0;
}

static int judge_request(lh_http_head *head, const char *bytes) {
    if (head->host_count > 1 || (head->host_count == 0 && head->minor > 0 && !head->may_lack_host)) {
        return refuse(head, "not one Host");
    }
    if (head->host_count == 1 && !has_target_of_host(head, bytes)) return refuse(head, "its target is on another Host");
    return 0;
}

static int judge(lh_http_head *head, const char *bytes) {
    assert(head->has_start && !head->is_whole && !head->problem);
    if (!head->is_lenient && head->has_transfer) {
        if (head->has_length) return refuse(head, "it has a length and a transfer coding");
        if (head->minor == 0) return refuse(head, "a transfer coding in HTTP/1.0");
        if (head->transfer != LH_HTTP_CHUNKED) return refuse(head, "a transfer coding that is not known");
    }
    /* After what two readers may have understood differently nothing is read on a connection (RFC 9112, 6.1). */
    const bool is_doubtful = head->has_transfer && (head->has_length || head->minor == 0);
    head->is_kept = !head->says_close && !is_doubtful && (head->minor > 0 || head->says_keep_alive);
    return head->kind == LH_HTTP_REQUEST ? judge_request(head, bytes) : 0;
}

static int read_line(lh_http_head *head, const char *bytes, const char *line, const char *end) {
    if (!head->has_start) {
        head->has_start = true;
        return head->kind == LH_HTTP_ANSWER ? read_status_line(head, bytes, line, end)
                                            : read_request_line(head, bytes, line, end);
    }
    if (line == end) {
        const int rv = judge(head, bytes);
        head->is_whole = rv == 0;
        return rv;
    }
    if (head->is_skipping && is_space(*line)) return 0;
    const int rv = is_space(*line) ? read_fold(head, bytes, line, end) : read_field(head, bytes, line, end);
    head->is_skipping = rv == -EBADMSG && head->kind == LH_HTTP_TRAILERS && head->is_lenient;
    if (!head->is_skipping) return rv;
    head->problem = NULL;
    return 0;
}

void lh_http_head_init(lh_http_head *head, lh_http_kind kind, bool is_lenient, lh_http_field *fields, size_t room) {
    assert(!fields == (room == 0));
    *head = (lh_http_head){.kind = kind,
                           .is_lenient = is_lenient,
                           .has_start = kind == LH_HTTP_TRAILERS,
                           .minor = 1,
                           .fields = fields,
                           .field_room = (uint32_t)(room < LH_HTTP_FIELDS_MAX ? room : LH_HTTP_FIELDS_MAX)};
}

int lh_http_head_read(lh_http_head *head, const char *bytes, size_t length) {
    if (head->problem) return -EBADMSG;
    const size_t seen = length < LH_HTTP_HEAD_MAX ? length : LH_HTTP_HEAD_MAX;
    while (!head->is_whole) {
        assert(head->length <= head->searched);
        const char *feed = seen > head->searched ? memchr(bytes + head->searched, '\n', seen - head->searched) : NULL;
        if (!feed) {
            head->searched = (uint32_t)seen;
            if (!head->has_start && seen > 0 && check_beginning(head, bytes, seen) < 0) return -EBADMSG;
            return length < LH_HTTP_HEAD_MAX ? 0 : refuse_size(head, "it is too long");
        }
        const char *line = bytes + head->length, *end = feed;
        if (end > line && end[-1] == '\r') {
            end--;
        } else if (!head->is_lenient) {
            return refuse(head, "a line that does not end with CR LF");
        }
        const int rv = read_line(head, bytes, line, end);
        if (rv < 0) return rv;
        head->length = head->searched = (uint32_t)(feed + 1 - bytes);
    }
    return 1;
}

/* -- Chunks -------------------------------------------------------------------------------------------------------- */

static int hex_value(char c) {
    if (is_digit(c)) return c - '0';
    const char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

int lh_http_chunk_size(const char *line, size_t length, bool is_lenient, uint64_t *size) {
    if (length == 0 || line[length - 1] != '\n') return -EBADMSG;
    length--;
    if (length > 0 && line[length - 1] == '\r') {
        length--;
    } else if (!is_lenient) {
        return -EBADMSG;
    }
    size_t i = 0;
    uint64_t number = 0;
    for (; i < length && hex_value(line[i]) >= 0; i++) {
        if (number >= UINT64_C(1) << 49) return -EBADMSG; /* it stays below 2^53 */
        number = number * 16 + (uint64_t)hex_value(line[i]);
    }
    if (i == 0) return -EBADMSG;
    while (i < length && is_space(line[i])) i++;
    if (i < length && (line[i] != ';' || !is_value(line + i, length - i, false))) return -EBADMSG;
    assert(number < UINT64_C(1) << 53);
    *size = number;
    return 0;
}

/* -- Lists --------------------------------------------------------------------------------------------------------- */

static void skip_space(const char *text, size_t length, size_t *at) {
    while (*at < length && is_space(text[*at])) (*at)++;
}

/* Also what the credentials of other schemes are made of (token68, RFC 9110, 11.2). */
static bool is_item_char(char c) { return is_token_char((unsigned char)c) || c == '/'; }

/* The value at *at, behind the "=". */
static int take_value(const char *text, size_t length, size_t *at, lh_http_item *item) {
    item->has_value = true;
    item->is_quoted = *at < length && text[*at] == '"';
    if (item->is_quoted) (*at)++;
    const size_t from = *at;
    if (!item->is_quoted) {
        while (*at < length && !strchr(" \t,;\"", text[*at])) (*at)++; /* NUL ends it, too */
        item->value = (lh_http_span){.offset = (uint32_t)from, .length = (uint32_t)(*at - from)};
        return 1;
    }
    while (*at < length && text[*at] != '"') *at += text[*at] == '\\' ? 2 : 1;
    if (*at >= length) return -EBADMSG;
    item->value = (lh_http_span){.offset = (uint32_t)from, .length = (uint32_t)(*at - from)};
    (*at)++;
    return 1;
}

int lh_http_next_item(const char *text, size_t length, size_t *at, lh_http_item *item) {
    assert(*at <= length);
    *item = (lh_http_item){.separator = 0};
    skip_space(text, length, at);
    while (*at < length && (text[*at] == ',' || text[*at] == ';')) {
        item->separator = text[(*at)++];
        skip_space(text, length, at);
    }
    if (*at >= length) return 0;
    const size_t from = *at;
    while (*at < length && is_item_char(text[*at])) (*at)++;
    if (*at == from) return -EBADMSG;
    item->name = (lh_http_span){.offset = (uint32_t)from, .length = (uint32_t)(*at - from)};
    size_t ahead = *at;
    skip_space(text, length, &ahead);
    if (ahead >= length || text[ahead] != '=') return 1;
    *at = ahead + 1;
    skip_space(text, length, at);
    return take_value(text, length, at, item);
}
