#include "net/address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

static struct sockaddr_in *as_inet(lh_address *address) { return (struct sockaddr_in *)&address->storage; }
static struct sockaddr_in6 *as_inet6(lh_address *address) { return (struct sockaddr_in6 *)&address->storage; }

/* RFC 4007 §11: the zone is an interface's name or its number. 0 = no such zone. */
static unsigned zone_index(const char *zone) {
    const unsigned index = if_nametoindex(zone);
    if (index) return index;
    char *end;
    const unsigned long number = strtoul(zone, &end, 10);
    return isdigit((unsigned char)*zone) && !*end && number <= UINT_MAX ? (unsigned)number : 0;
}

static int parse_inet6(lh_address *address, const char *text, unsigned port) {
    char host[INET6_ADDRSTRLEN];
    const char *zone = strchr(text, '%');
    const size_t length = zone ? (size_t)(zone - text) : strlen(text);
    if (length >= sizeof(host)) return -EINVAL;
    memcpy(host, text, length);
    host[length] = '\0';
    struct sockaddr_in6 *in6 = as_inet6(address);
    if (inet_pton(AF_INET6, host, &in6->sin6_addr) != 1) return -EINVAL;
    if (zone && !(in6->sin6_scope_id = zone_index(zone + 1))) return -EINVAL;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons((uint16_t)port);
    address->length = sizeof(*in6);
    return 0;
}

int lh_address_parse_ip(lh_address *address, const char *text, unsigned port) {
    memset(address, 0, sizeof(*address));
    struct sockaddr_in *in = as_inet(address);
    if (inet_pton(AF_INET, text, &in->sin_addr) != 1) return parse_inet6(address, text, port);
    in->sin_family = AF_INET;
    in->sin_port = htons((uint16_t)port);
    address->length = sizeof(*in);
    return 0;
}

void lh_address_any(lh_address *address, int family, unsigned port) {
    memset(address, 0, sizeof(*address));
    if (family == AF_INET6) {
        as_inet6(address)->sin6_family = AF_INET6;
        as_inet6(address)->sin6_port = htons((uint16_t)port);
        address->length = sizeof(struct sockaddr_in6);
    } else {
        as_inet(address)->sin_family = AF_INET;
        as_inet(address)->sin_port = htons((uint16_t)port);
        address->length = sizeof(struct sockaddr_in);
    }
}

int lh_address_unix(lh_address *address, const char *path, size_t length) {
    memset(address, 0, sizeof(*address));
    struct sockaddr_un *un = (struct sockaddr_un *)&address->storage;
    if (length >= sizeof(un->sun_path)) return -ENAMETOOLONG;
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, length);
    /* An abstract name ends with the length, a path with its NUL. */
    const size_t nul = length > 0 && path[0] == '\0' ? 0 : 1;
    address->length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + nul);
    return 0;
}

static size_t unix_host(const lh_address *address, char *text) {
    const struct sockaddr_un *un = (const struct sockaddr_un *)&address->storage;
    size_t length = address->length > offsetof(struct sockaddr_un, sun_path)
                        ? address->length - offsetof(struct sockaddr_un, sun_path)
                        : 0;
    if (length > 0 && un->sun_path[0] != '\0') length = strnlen(un->sun_path, length);
    memcpy(text, un->sun_path, length);
    text[length] = '\0';
    return length;
}

/* By name; by number when the interface has gone. */
static void add_zone(char text[LH_ADDRESS_TEXT_MAX], unsigned scope_id) {
    const size_t length = strlen(text);
    char name[IF_NAMESIZE];
    if (if_indextoname(scope_id, name)) {
        snprintf(text + length, LH_ADDRESS_TEXT_MAX - length, "%%%s", name);
    } else {
        snprintf(text + length, LH_ADDRESS_TEXT_MAX - length, "%%%u", scope_id);
    }
}

size_t lh_address_host(const lh_address *address, char text[LH_ADDRESS_TEXT_MAX]) {
    text[0] = '\0';
    switch (address->storage.ss_family) {
    case AF_INET:
        inet_ntop(AF_INET, &((const struct sockaddr_in *)&address->storage)->sin_addr, text, LH_ADDRESS_TEXT_MAX);
        break;
    case AF_INET6: {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&address->storage;
        inet_ntop(AF_INET6, &in6->sin6_addr, text, LH_ADDRESS_TEXT_MAX);
        if (in6->sin6_scope_id) add_zone(text, in6->sin6_scope_id);
        break;
    }
    case AF_UNIX: return unix_host(address, text);
    default: break;
    }
    return strlen(text);
}

void lh_address_set_port(lh_address *address, unsigned port) {
    switch (address->storage.ss_family) {
    case AF_INET: ((struct sockaddr_in *)&address->storage)->sin_port = htons((uint16_t)port); break;
    case AF_INET6: ((struct sockaddr_in6 *)&address->storage)->sin6_port = htons((uint16_t)port); break;
    default: break;
    }
}

unsigned lh_address_port(const lh_address *address) {
    switch (address->storage.ss_family) {
    case AF_INET: return ntohs(((const struct sockaddr_in *)&address->storage)->sin_port);
    case AF_INET6: return ntohs(((const struct sockaddr_in6 *)&address->storage)->sin6_port);
    default: return 0;
    }
}
