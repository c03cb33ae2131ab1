/* Decompression: the same bytes in one piece and in two give the same; never more than the limit; what was compressed
 * comes back. */
#include <assert.h>
#include <string.h>

#include "data/inflate.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

enum { LIMIT = 1024 * 1024 };

/* Feeds the bytes in two pieces, the first of `first` bytes. */
static lh_inflate_result feed(const char *bytes, size_t size, size_t first, lh_buffer *out) {
    lh_inflate *inflate = lh_inflate_new();
    lh_inflate_result rv = lh_inflate_feed(inflate, bytes, first, LIMIT, out);
    if (rv == LH_INFLATE_OK) rv = lh_inflate_feed(inflate, bytes + first, size - first, LIMIT, out);
    if (rv != LH_INFLATE_OK) assert(lh_inflate_feed(inflate, "", 0, LIMIT, out) == LH_INFLATE_DATA);
    lh_inflate_free(inflate);
    return rv;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    const char *bytes = (const char *)data;
    lh_buffer whole = {0}, halves = {0}, packed = {0};
    const lh_inflate_result rv = feed(bytes, size, 0, &whole);
    const lh_inflate_result again = feed(bytes, size, size ? data[0] % (size + 1) : 0, &halves);
    assert(whole.length <= LIMIT + 1);
    if (rv == LH_INFLATE_OK) {
        assert(again == LH_INFLATE_OK && whole.length == halves.length);
        assert(whole.length == 0 || memcmp(lh_buffer_bytes(&whole), lh_buffer_bytes(&halves), whole.length) == 0);
    }
    lh_buffer_reset(&whole);
    assert(lh_gzip(bytes, size, size ? data[0] % 10 : 6, &packed) == 0);
    assert(feed(lh_buffer_bytes(&packed), packed.length, packed.length / 2, &whole) == LH_INFLATE_OK);
    assert(whole.length == size && (size == 0 || memcmp(lh_buffer_bytes(&whole), bytes, size) == 0));
    lh_buffer_reset(&whole);
    lh_buffer_reset(&halves);
    lh_buffer_reset(&packed);
    return 0;
}
