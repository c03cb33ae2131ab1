#include "net/tls_name.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <string.h>

enum { HOST_MAX = 253, LABEL_MAX = 63 }; /* RFC 1035, 2.3.4 */

bool lh_tls_name_is_ip(const char *name) {
    unsigned char bytes[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

/* One address has one spelling (RFC 5952), by which names are compared. */
static bool spell_ip(char name[LH_TLS_NAME_MAX]) {
    unsigned char bytes[sizeof(struct in6_addr)];
    const int family = strchr(name, ':') ? AF_INET6 : AF_INET;
    return inet_pton(family, name, bytes) == 1 && inet_ntop(family, bytes, name, LH_TLS_NAME_MAX) != NULL;
}

/* "fe80::1%eth0" and "[::1]": what is around an address says nothing about whose it is. */
static bool read_ip(const char *text, size_t length, char name[LH_TLS_NAME_MAX]) {
    if (length >= 2 && text[0] == '[' && text[length - 1] == ']') {
        text++;
        length -= 2;
        if (!memchr(text, ':', length)) return false;
    }
    memcpy(name, text, length);
    name[length] = 0;
    char *zone = strchr(name, '%');
    if (zone && strchr(name, ':')) *zone = 0;
    return spell_ip(name);
}

/* Underscores are in no host name (RFC 1123), but in many a certificate. */
static bool is_host_byte(char c) { return isalnum((unsigned char)c) || c == '-' || c == '_'; }

static const char *check_labels(const char *name) {
    for (const char *label = name;;) {
        size_t length = 0;
        while (is_host_byte(label[length])) length++;
        if (length == 0 && (label[0] == '.' || !label[0])) return "a host name has no empty labels";
        if (label[length] && label[length] != '.') return "a host name has letters, digits, '-', '_' and '.'";
        if (length > LABEL_MAX) return "a label of a host name has 63 bytes at most";
        if (!label[length]) return NULL;
        label += length + 1;
    }
}

/* RFC 1123, 2.1: else "127.1" and "0x7f000001" would be names here and addresses for inet_aton(3). */
static bool ends_in_number(const char *name) {
    const char *dot = strrchr(name, '.');
    const char *last = dot ? dot + 1 : name;
    if (last[0] == '0' && (last[1] == 'x' || last[1] == 'X'))
        return last[2 + strspn(last + 2, "0123456789abcdefABCDEF")] == 0;
    return last[strspn(last, "0123456789")] == 0;
}

const char *lh_tls_name_read(const char *text, size_t length, char name[LH_TLS_NAME_MAX]) {
    if (length == 0) return "it is empty";
    if (memchr(text, 0, length)) return "there is a NUL in it";
    if (length >= LH_TLS_NAME_MAX) return "it is too long";
    if (read_ip(text, length, name)) return NULL;
    memcpy(name, text, length);
    name[length] = 0;
    if (length > 1 && name[length - 1] == '.') name[length - 1] = 0;
    if (strlen(name) > HOST_MAX) return "it is too long";
    if (name[0] == '.') return "it begins with a dot";
    const char *wrong = check_labels(name);
    if (wrong) return wrong;
    return ends_in_number(name) ? "it is neither a host name nor an address" : NULL;
}
