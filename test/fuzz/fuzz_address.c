/* Any text as an address: what parses must be written and parsed again to the same address. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "net/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char text[256];
    if (size >= sizeof(text)) return 0;
    memcpy(text, data, size);
    text[size] = 0;
    lh_address address, again;
    if (lh_address_parse_ip(&address, text, 80) != 0) return 0;
    char host[LH_ADDRESS_TEXT_MAX];
    const size_t length = lh_address_host(&address, host);
    assert(length == strlen(host));
    assert(lh_address_parse_ip(&again, host, 80) == 0);
    assert(again.length == address.length && memcmp(&again.storage, &address.storage, address.length) == 0);
    return 0;
}
