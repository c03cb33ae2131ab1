/* Socket addresses as text.
 *
 * Owner: plain values. Thread: any. Errors: as each function says. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

typedef struct lh_address {
    struct sockaddr_storage storage;
    socklen_t length;
} lh_address;

enum { LH_ADDRESS_TEXT_MAX = 128 }; /* bytes that hold any address's text and its NUL */

/* An IPv4 or IPv6 literal (with zone: "fe80::1%eth0"). 0, or -EINVAL when it is neither. */
int lh_address_parse_ip(lh_address *address, const char *text, unsigned port) __attribute__((warn_unused_result));

/* The address that means every interface of `family` (AF_INET, AF_INET6). */
void lh_address_any(lh_address *address, int family, unsigned port);

/* A path in the file system; a leading NUL byte names the abstract space. 0 or -ENAMETOOLONG. */
int lh_address_unix(lh_address *address, const char *path, size_t length) __attribute__((warn_unused_result));

/* Writes the host part (or the unix path) as text, NUL-terminated; returns its length in bytes. */
size_t lh_address_host(const lh_address *address, char text[LH_ADDRESS_TEXT_MAX]);

void lh_address_set_port(lh_address *address, unsigned port);

/* The port in host order; 0 for unix. */
unsigned lh_address_port(const lh_address *address);

static inline int lh_address_family(const lh_address *address) { return address->storage.ss_family; }
