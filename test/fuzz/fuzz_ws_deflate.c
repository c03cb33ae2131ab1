/* Any bytes as compressed messages: never more than the limit; what was compressed comes back, message after message.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "data/ws_deflate.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

enum { LIMIT = 100000 };

/* A whole message, come in two pieces. */
static int unpack(lh_ws_deflate *deflate, const char *bytes, size_t length, size_t first, size_t limit,
                  lh_buffer *out) {
    int rv = lh_ws_deflate_decompress(deflate, bytes, first, limit, out);
    if (rv == 0) rv = lh_ws_deflate_decompress(deflate, bytes + first, length - first, limit, out);
    return rv == 0 ? lh_ws_deflate_decompress_end(deflate, limit, out) : rv;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    if (size == 0) return 0;
    const lh_ws_deflate_options options = {
        .out_window_bits = 9 + data[0] % 7, .is_out_independent = data[0] & 8, .is_in_independent = data[0] & 8};
    lh_ws_deflate *deflate = lh_ws_deflate_new(&options), *other = lh_ws_deflate_new(&options);
    const char *bytes = (const char *)data + 1;
    const size_t length = size - 1, half = length / 2;
    lh_buffer out = {0}, packed = {0};
    const int rv = unpack(deflate, bytes, length, half, LIMIT, &out);
    assert(rv == 0 || rv == -EBADMSG || rv == -EMSGSIZE);
    assert(rv != 0 || out.length <= LIMIT);
    const char *parts[] = {bytes, bytes + half};
    const size_t lengths[] = {half, length - half};
    for (int i = 0; i < 4; i++) {
        lh_buffer_reset(&packed);
        lh_buffer_reset(&out);
        assert(lh_ws_deflate_compress(deflate, parts[i % 2], lengths[i % 2], &packed) == 0);
        assert(unpack(other, lh_buffer_bytes(&packed), packed.length, packed.length / 3, lengths[i % 2], &out) == 0);
        assert(out.length == lengths[i % 2]);
        assert(out.length == 0 || memcmp(lh_buffer_bytes(&out), parts[i % 2], out.length) == 0);
    }
    lh_buffer_reset(&packed);
    lh_buffer_reset(&out);
    lh_ws_deflate_free(deflate);
    lh_ws_deflate_free(other);
    return 0;
}
