#include "data/timezone.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "data/civil.h"
#include "data/tzrule.h"

#define DEFAULT_DIRECTORY "/usr/share/zoneinfo"

enum { HEADER_BYTES = 44, MAX_FILE_BYTES = 1024 * 1024, KIND_BYTES = 6, MAX_OFFSET = 26 * 3600 };

/* A kind of local time: what RFC 8536 calls a local time type. */
typedef struct time_kind {
    int32_t offset;
    bool is_dst;
    const char *name;
} time_kind;

typedef struct leap_second {
    int64_t when;
    int32_t correction; /* from `when` on */
} leap_second;

struct lh_timezone {
    size_t change_count, kind_count, leap_count;
    int64_t *changes;             /* when the clocks change, ascending */
    unsigned char *changed_kinds; /* to which kind */
    time_kind *kinds;             /* the first one rules before the first change */
    leap_second *leaps;
    char *names; /* NUL-separated */
    bool has_rule;
    lh_tzrule rule; /* from the last change on */

    int64_t known_from, known_until; /* the clocks of `known_kind` in [from, until) */
    const time_kind *known_kind;
};

/* -- Reading a file ------------------------------------------------------------------------------------------------ */

typedef struct header {
    char version; /* 0, '2', '3' … */
    uint32_t isut_count, isstd_count, leap_count, change_count, kind_count, name_bytes;
} header;

static uint32_t get_u32(const unsigned char *b) {
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static int64_t get_time(const unsigned char *b, size_t width) {
    if (width == 4) return (int32_t)get_u32(b);
    return (int64_t)((uint64_t)get_u32(b) << 32 | get_u32(b + 4));
}

static bool read_header(const unsigned char *b, size_t left, header *h) {
    if (left < HEADER_BYTES || memcmp(b, "TZif", 4) != 0) return false;
    *h = (header){.version = (char)b[4],
                  .isut_count = get_u32(b + 20),
                  .isstd_count = get_u32(b + 24),
                  .leap_count = get_u32(b + 28),
                  .change_count = get_u32(b + 32),
                  .kind_count = get_u32(b + 36),
                  .name_bytes = get_u32(b + 40)};
    const uint32_t most = MAX_FILE_BYTES; /* so that no sum overflows */
    return h->isut_count <= most && h->isstd_count <= most && h->leap_count <= most && h->change_count <= most &&
           h->kind_count > 0 && h->kind_count <= 256 && h->name_bytes > 0 && h->name_bytes <= most;
}

/* Bytes of the block behind a header, whose times have `width` bytes. */
static size_t block_bytes(const header *h, size_t width) {
    return h->change_count * (width + 1) + h->kind_count * (size_t)KIND_BYTES + h->name_bytes +
           h->leap_count * (width + 4) + h->isstd_count + h->isut_count;
}

static void *array(size_t count, size_t size) { return lh_alloc(count ? count * size : 1); }

static bool read_changes(lh_timezone *zone, const unsigned char *b, size_t width) {
    zone->changes = array(zone->change_count, sizeof(zone->changes[0]));
    zone->changed_kinds = array(zone->change_count, 1);
    memcpy(zone->changed_kinds, b + zone->change_count * width, zone->change_count);
    for (size_t i = 0; i < zone->change_count; i++) {
        zone->changes[i] = get_time(b + i * width, width);
        if (i > 0 && zone->changes[i] <= zone->changes[i - 1]) return false;
        if (zone->changed_kinds[i] >= zone->kind_count) return false;
    }
    return true;
}

static bool read_kinds(lh_timezone *zone, const unsigned char *b, size_t name_bytes) {
    zone->kinds = array(zone->kind_count, sizeof(zone->kinds[0]));
    zone->names = lh_alloc_copy((const char *)b + zone->kind_count * KIND_BYTES, name_bytes);
    for (size_t i = 0; i < zone->kind_count; i++) {
        const unsigned char *kind = b + i * KIND_BYTES;
        const int32_t offset = (int32_t)get_u32(kind);
        if (offset < -MAX_OFFSET || offset > MAX_OFFSET || kind[5] >= name_bytes) return false;
        zone->kinds[i] = (time_kind){.offset = offset, .is_dst = kind[4] != 0, .name = zone->names + kind[5]};
    }
    return true;
}

static bool read_leaps(lh_timezone *zone, const unsigned char *b, size_t width) {
    zone->leaps = array(zone->leap_count, sizeof(zone->leaps[0]));
    for (size_t i = 0; i < zone->leap_count; i++, b += width + 4) {
        const int32_t correction = (int32_t)get_u32(b + width);
        zone->leaps[i] = (leap_second){.when = get_time(b, width), .correction = correction};
        if (i > 0 && zone->leaps[i].when <= zone->leaps[i - 1].when) return false;
        if (correction < -10000 || correction > 10000) return false;
    }
    return true;
}

static bool read_block(lh_timezone *zone, const header *h, const unsigned char *b, size_t width) {
    zone->change_count = h->change_count;
    zone->kind_count = h->kind_count;
    zone->leap_count = h->leap_count;
    const unsigned char *kinds = b + h->change_count * (width + 1);
    const unsigned char *leaps = kinds + h->kind_count * (size_t)KIND_BYTES + h->name_bytes;
    return read_changes(zone, b, width) && read_kinds(zone, kinds, h->name_bytes) && read_leaps(zone, leaps, width);
}

/* "\n" rule "\n"; the rule may be empty. */
static bool read_footer(lh_timezone *zone, const unsigned char *b, size_t left) {
    const unsigned char *end = left > 1 && b[0] == '\n' ? memchr(b + 1, '\n', left - 1) : NULL;
    if (!end) return false;
    const size_t length = (size_t)(end - b - 1);
    zone->has_rule = length > 0;
    return length == 0 || lh_tzrule_parse((const char *)b + 1, length, &zone->rule);
}

static bool read_zone(lh_timezone *zone, const unsigned char *b, size_t left) {
    header h;
    if (!read_header(b, left, &h)) return false;
    const size_t first = HEADER_BYTES + block_bytes(&h, 4);
    if (left < first) return false;
    if (h.version == 0) return read_block(zone, &h, b + HEADER_BYTES, 4);
    b += first;
    left -= first;
    if (!read_header(b, left, &h)) return false;
    const size_t second = HEADER_BYTES + block_bytes(&h, 8);
    return left >= second && read_block(zone, &h, b + HEADER_BYTES, 8) && read_footer(zone, b + second, left - second);
}

lh_timezone *lh_timezone_parse(const unsigned char *bytes, size_t length) {
    lh_timezone *zone = lh_alloc(sizeof(*zone));
    if (read_zone(zone, bytes, length)) return zone;
    lh_timezone_close(zone);
    return NULL;
}

void lh_timezone_close(lh_timezone *zone) {
    if (!zone) return;
    lh_free(zone->changes);
    lh_free(zone->changed_kinds);
    lh_free(zone->kinds);
    lh_free(zone->leaps);
    lh_free(zone->names);
    lh_free(zone);
}

/* "America/Argentina/Ushuaia", "Etc/GMT+1"; no "..", no root, no hidden file. */
static bool is_zone_name(const char *name) {
    char before = '/';
    for (; *name; before = *name++) {
        if (!isalnum((unsigned char)*name) && !strchr("/_+-.", *name)) return false;
        if (before == '/' && (*name == '/' || *name == '.')) return false;
    }
    return before != '/';
}

lh_timezone *lh_timezone_open(const char *name) {
    char path[512];
    const char *directory = getenv("TZDIR");
    if (!is_zone_name(name)) return NULL;
    const int length =
        snprintf(path, sizeof(path), "%s/%s", directory && *directory ? directory : DEFAULT_DIRECTORY, name);
    if (length < 0 || (size_t)length >= sizeof(path)) return NULL;
    FILE *file = fopen(path, "rbe");
    if (!file) return NULL;
    struct stat status;
    lh_timezone *zone = NULL;
    if (fstat(fileno(file), &status) == 0 && status.st_size > 0 && status.st_size <= MAX_FILE_BYTES) {
        const size_t length_max = (size_t)status.st_size;
        unsigned char *bytes = lh_alloc(length_max);
        zone = lh_timezone_parse(bytes, fread(bytes, 1, length_max, file));
        lh_free(bytes);
    }
    fclose(file);
    return zone;
}

/* -- Looking up ---------------------------------------------------------------------------------------------------- */

/* Index of the last change that is not after `time`, or -1. */
static ptrdiff_t last_change(const lh_timezone *zone, int64_t time) {
    size_t low = 0, high = zone->change_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (zone->changes[middle] <= time) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return (ptrdiff_t)low - 1;
}

/* Finds the kind, or NULL: the rule says. */
static const time_kind *find_kind(lh_timezone *zone, int64_t time) {
    if (zone->known_kind && time >= zone->known_from && time < zone->known_until) return zone->known_kind;
    const ptrdiff_t last = last_change(zone, time);
    assert(zone->kind_count > 0 && (last < 0 || zone->changed_kinds[last] < zone->kind_count));
    const bool is_beyond = last == (ptrdiff_t)zone->change_count - 1;
    if (is_beyond && zone->has_rule) return NULL;
    zone->known_kind = &zone->kinds[last < 0 ? 0 : zone->changed_kinds[last]];
    zone->known_from = last < 0 ? INT64_MIN : zone->changes[last];
    zone->known_until = is_beyond ? INT64_MAX : zone->changes[last + 1];
    assert(time >= zone->known_from && time < zone->known_until);
    return zone->known_kind;
}

/* Seconds that the zone counts beyond UTC's days of 86400; *hit on a leap second itself. */
static int32_t leap_correction(const lh_timezone *zone, int64_t time, bool *hit) {
    for (size_t i = zone->leap_count; i-- > 0;) {
        const leap_second *leap = &zone->leaps[i];
        if (time < leap->when) continue;
        *hit = time == leap->when && leap->correction > (i > 0 ? leap[-1].correction : 0);
        return leap->correction;
    }
    return 0;
}

void lh_timezone_at(lh_timezone *zone, int64_t time, lh_local_time *local) {
    bool is_leap_second = false;
    const time_kind *kind = find_kind(zone, time);
    const int64_t utc = time - leap_correction(zone, time, &is_leap_second);
    time_kind by_rule;
    if (!kind) {
        assert(zone->has_rule);
        const lh_tzrule_time now = lh_tzrule_at(&zone->rule, utc);
        by_rule = (time_kind){.offset = now.offset, .is_dst = now.is_dst, .name = now.name};
        kind = &by_rule;
    }
    const int64_t seconds = utc + kind->offset;
    const int64_t day = lh_floor_div(seconds, 86400);
    const int32_t of_day = (int32_t)(seconds - day * 86400);
    const lh_date date = lh_date_of_day(day);
    assert(of_day >= 0 && of_day < 86400);
    assert(date.month >= 1 && date.month <= 12 && date.monthday >= 1 && date.monthday <= 31);
    *local = (lh_local_time){.year = date.year,
                             .month = date.month,
                             .monthday = date.monthday,
                             .hour = of_day / 3600,
                             .minute = of_day / 60 % 60,
                             .second = of_day % 60 + (is_leap_second ? 1 : 0),
                             .weekday = (int32_t)(day + 4 - lh_floor_div(day + 4, 7) * 7) + 1,
                             .yearday = (int32_t)(day - lh_day_of_date(date.year, 1, 1)) + 1,
                             .offset = kind->offset,
                             .is_dst = kind->is_dst,
                             .name = kind->name};
}
