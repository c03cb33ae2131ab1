/* What scripts get: setsockopt and getsockopt of mtev.eventer, by the names of the platform's headers. */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <net/if.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <string.h>
#include <strings.h>
#include <sys/time.h>

#include "base/error.h"
#include "base/word.h"
#include "mtev/init.h"
#include "runtime/errors.h"
#include "runtime/eventer.h"

typedef enum option_kind {
    INTEGER, /* int; booleans are 1 and 0 */
    LINGER,  /* seconds, or false */
    SECONDS, /* struct timeval */
    TEXT,    /* bytes */
    GROUP4,  /* multicast group, or {group, interface} */
    GROUP6,
    INTERFACE4, /* an interface's address or name */
} option_kind;

typedef struct socket_option {
    const char *name;
    int level, number;
    option_kind kind;
} socket_option;

#define OPTION(level, name, kind)                                                                                      \
    { #name, level, name, kind }

static const socket_option options[] = {
    OPTION(SOL_SOCKET, SO_BROADCAST, INTEGER),
    OPTION(SOL_SOCKET, SO_REUSEADDR, INTEGER),
    OPTION(SOL_SOCKET, SO_REUSEPORT, INTEGER),
    OPTION(SOL_SOCKET, SO_KEEPALIVE, INTEGER),
    OPTION(SOL_SOCKET, SO_LINGER, LINGER),
    OPTION(SOL_SOCKET, SO_OOBINLINE, INTEGER),
    OPTION(SOL_SOCKET, SO_SNDBUF, INTEGER),
    OPTION(SOL_SOCKET, SO_RCVBUF, INTEGER),
    OPTION(SOL_SOCKET, SO_DONTROUTE, INTEGER),
    OPTION(SOL_SOCKET, SO_RCVLOWAT, INTEGER),
    OPTION(SOL_SOCKET, SO_SNDLOWAT, INTEGER),
    OPTION(SOL_SOCKET, SO_RCVTIMEO, SECONDS),
    OPTION(SOL_SOCKET, SO_SNDTIMEO, SECONDS),
    OPTION(SOL_SOCKET, SO_PRIORITY, INTEGER),
    OPTION(SOL_SOCKET, SO_MARK, INTEGER),
    OPTION(SOL_SOCKET, SO_BUSY_POLL, INTEGER),
    OPTION(SOL_SOCKET, SO_PREFER_BUSY_POLL, INTEGER),
    OPTION(SOL_SOCKET, SO_BUSY_POLL_BUDGET, INTEGER),
    OPTION(SOL_SOCKET, SO_INCOMING_CPU, INTEGER),
    OPTION(SOL_SOCKET, SO_INCOMING_NAPI_ID, INTEGER),
    OPTION(SOL_SOCKET, SO_TIMESTAMP, INTEGER),
    OPTION(SOL_SOCKET, SO_TIMESTAMPNS, INTEGER),
    OPTION(SOL_SOCKET, SO_TIMESTAMPING, INTEGER),
    OPTION(SOL_SOCKET, SO_TIMESTAMP_NEW, INTEGER),
    OPTION(SOL_SOCKET, SO_TIMESTAMPNS_NEW, INTEGER),
    OPTION(SOL_SOCKET, SO_TIMESTAMPING_NEW, INTEGER),
    OPTION(SOL_SOCKET, SO_TIMESTAMP_OLD, INTEGER),
    OPTION(SOL_SOCKET, SO_TIMESTAMPNS_OLD, INTEGER),
    OPTION(SOL_SOCKET, SO_TIMESTAMPING_OLD, INTEGER),
    OPTION(SOL_SOCKET, SO_RCVTIMEO_NEW, SECONDS),
    OPTION(SOL_SOCKET, SO_SNDTIMEO_NEW, SECONDS),
    OPTION(SOL_SOCKET, SO_RCVTIMEO_OLD, SECONDS),
    OPTION(SOL_SOCKET, SO_SNDTIMEO_OLD, SECONDS),
    OPTION(SOL_SOCKET, SO_RXQ_OVFL, INTEGER),
    OPTION(SOL_SOCKET, SO_DEBUG, INTEGER),
    OPTION(SOL_SOCKET, SO_BSDCOMPAT, INTEGER),
    OPTION(SOL_SOCKET, SO_NO_CHECK, INTEGER),
    OPTION(SOL_SOCKET, SO_PASSCRED, INTEGER),
    OPTION(SOL_SOCKET, SO_PASSSEC, INTEGER),
    OPTION(SOL_SOCKET, SO_PEEK_OFF, INTEGER),
    OPTION(SOL_SOCKET, SO_SNDBUFFORCE, INTEGER),
    OPTION(SOL_SOCKET, SO_RCVBUFFORCE, INTEGER),
    OPTION(SOL_SOCKET, SO_BUF_LOCK, INTEGER),
    OPTION(SOL_SOCKET, SO_RESERVE_MEM, INTEGER),
    OPTION(SOL_SOCKET, SO_ZEROCOPY, INTEGER),
    OPTION(SOL_SOCKET, SO_MAX_PACING_RATE, INTEGER),
    OPTION(SOL_SOCKET, SO_TXREHASH, INTEGER),
    OPTION(SOL_SOCKET, SO_RCVMARK, INTEGER),
    OPTION(SOL_SOCKET, SO_CNX_ADVICE, INTEGER),
    OPTION(SOL_SOCKET, SO_SELECT_ERR_QUEUE, INTEGER),
    OPTION(SOL_SOCKET, SO_WIFI_STATUS, INTEGER),
    OPTION(SOL_SOCKET, SO_NOFCS, INTEGER),
    OPTION(SOL_SOCKET, SO_LOCK_FILTER, INTEGER),
    OPTION(SOL_SOCKET, SO_BPF_EXTENSIONS, INTEGER),
    OPTION(SOL_SOCKET, SO_ATTACH_BPF, INTEGER),
    OPTION(SOL_SOCKET, SO_DETACH_BPF, INTEGER),
    OPTION(SOL_SOCKET, SO_DETACH_FILTER, INTEGER),
    OPTION(SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, INTEGER),
    OPTION(SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, INTEGER),
    OPTION(SOL_SOCKET, SO_SECURITY_AUTHENTICATION, INTEGER),
    OPTION(SOL_SOCKET, SO_SECURITY_ENCRYPTION_TRANSPORT, INTEGER),
    OPTION(SOL_SOCKET, SO_SECURITY_ENCRYPTION_NETWORK, INTEGER),
    OPTION(SOL_SOCKET, SO_ERROR, INTEGER),
    OPTION(SOL_SOCKET, SO_TYPE, INTEGER),
    OPTION(SOL_SOCKET, SO_DOMAIN, INTEGER),
    OPTION(SOL_SOCKET, SO_PROTOCOL, INTEGER),
    OPTION(SOL_SOCKET, SO_ACCEPTCONN, INTEGER),
    OPTION(SOL_SOCKET, SO_COOKIE, INTEGER),
    OPTION(SOL_SOCKET, SO_NETNS_COOKIE, INTEGER),
    OPTION(SOL_SOCKET, SO_BINDTOIFINDEX, INTEGER),
    OPTION(SOL_SOCKET, SO_BINDTODEVICE, TEXT),
    OPTION(IPPROTO_TCP, TCP_NODELAY, INTEGER),
    OPTION(IPPROTO_TCP, TCP_KEEPIDLE, INTEGER),
    OPTION(IPPROTO_TCP, TCP_KEEPINTVL, INTEGER),
    OPTION(IPPROTO_TCP, TCP_KEEPCNT, INTEGER),
    OPTION(IPPROTO_TCP, TCP_USER_TIMEOUT, INTEGER),
    OPTION(IPPROTO_TCP, TCP_CORK, INTEGER),
    OPTION(IPPROTO_TCP, TCP_QUICKACK, INTEGER),
    OPTION(IPPROTO_TCP, TCP_DEFER_ACCEPT, INTEGER),
    OPTION(IPPROTO_TCP, TCP_FASTOPEN, INTEGER),
    OPTION(IPPROTO_TCP, TCP_FASTOPEN_CONNECT, INTEGER),
    OPTION(IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, INTEGER),
    OPTION(IPPROTO_TCP, TCP_MAXSEG, INTEGER),
    OPTION(IPPROTO_TCP, TCP_SYNCNT, INTEGER),
    OPTION(IPPROTO_TCP, TCP_LINGER2, INTEGER),
    OPTION(IPPROTO_TCP, TCP_WINDOW_CLAMP, INTEGER),
    OPTION(IPPROTO_TCP, TCP_NOTSENT_LOWAT, INTEGER),
    OPTION(IPPROTO_TCP, TCP_INQ, INTEGER),
    OPTION(IPPROTO_TCP, TCP_CM_INQ, INTEGER),
    OPTION(IPPROTO_TCP, TCP_TX_DELAY, INTEGER),
    OPTION(IPPROTO_TCP, TCP_TIMESTAMP, INTEGER),
    OPTION(IPPROTO_TCP, TCP_SAVE_SYN, INTEGER),
    OPTION(IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, INTEGER),
    OPTION(IPPROTO_TCP, TCP_THIN_DUPACK, INTEGER),
    OPTION(IPPROTO_TCP, TCP_REPAIR, INTEGER),
    OPTION(IPPROTO_TCP, TCP_REPAIR_QUEUE, INTEGER),
    OPTION(IPPROTO_TCP, TCP_QUEUE_SEQ, INTEGER),
    OPTION(IPPROTO_TCP, TCP_CONGESTION, TEXT),
    OPTION(IPPROTO_TCP, TCP_ULP, TEXT),
    OPTION(IPPROTO_UDP, UDP_CORK, INTEGER),
    OPTION(IPPROTO_UDP, UDP_ENCAP, INTEGER),
    OPTION(IPPROTO_UDP, UDP_NO_CHECK6_TX, INTEGER),
    OPTION(IPPROTO_UDP, UDP_NO_CHECK6_RX, INTEGER),
    OPTION(IPPROTO_UDP, UDP_SEGMENT, INTEGER),
    OPTION(IPPROTO_UDP, UDP_GRO, INTEGER),
    OPTION(IPPROTO_IP, IP_TOS, INTEGER),
    OPTION(IPPROTO_IP, IP_TTL, INTEGER),
    OPTION(IPPROTO_IP, IP_MINTTL, INTEGER),
    OPTION(IPPROTO_IP, IP_MULTICAST_TTL, INTEGER),
    OPTION(IPPROTO_IP, IP_MULTICAST_LOOP, INTEGER),
    OPTION(IPPROTO_IP, IP_MULTICAST_ALL, INTEGER),
    OPTION(IPPROTO_IP, IP_MULTICAST_IF, INTERFACE4),
    OPTION(IPPROTO_IP, IP_UNICAST_IF, INTEGER),
    OPTION(IPPROTO_IP, IP_FREEBIND, INTEGER),
    OPTION(IPPROTO_IP, IP_TRANSPARENT, INTEGER),
    OPTION(IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, INTEGER),
    OPTION(IPPROTO_IP, IP_PKTINFO, INTEGER),
    OPTION(IPPROTO_IP, IP_MTU, INTEGER),
    OPTION(IPPROTO_IP, IP_MTU_DISCOVER, INTEGER),
    OPTION(IPPROTO_IP, IP_PMTUDISC, INTEGER),
    OPTION(IPPROTO_IP, IP_RECVTTL, INTEGER),
    OPTION(IPPROTO_IP, IP_RECVTOS, INTEGER),
    OPTION(IPPROTO_IP, IP_RECVOPTS, INTEGER),
    OPTION(IPPROTO_IP, IP_RECVRETOPTS, INTEGER),
    OPTION(IPPROTO_IP, IP_RETOPTS, INTEGER),
    OPTION(IPPROTO_IP, IP_RECVERR, INTEGER),
    OPTION(IPPROTO_IP, IP_RECVERR_RFC4884, INTEGER),
    OPTION(IPPROTO_IP, IP_RECVFRAGSIZE, INTEGER),
    OPTION(IPPROTO_IP, IP_ORIGDSTADDR, INTEGER),
    OPTION(IPPROTO_IP, IP_RECVORIGDSTADDR, INTEGER),
    OPTION(IPPROTO_IP, IP_HDRINCL, INTEGER),
    OPTION(IPPROTO_IP, IP_ROUTER_ALERT, INTEGER),
    OPTION(IPPROTO_IP, IP_NODEFRAG, INTEGER),
    OPTION(IPPROTO_IP, IP_CHECKSUM, INTEGER),
    OPTION(IPPROTO_IP, IP_PASSSEC, INTEGER),
    OPTION(IPPROTO_IP, IP_ADD_MEMBERSHIP, GROUP4),
    OPTION(IPPROTO_IP, IP_DROP_MEMBERSHIP, GROUP4),
    OPTION(IPPROTO_IPV6, IPV6_V6ONLY, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_UNICAST_HOPS, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_UNICAST_IF, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_MULTICAST_HOPS, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_MULTICAST_LOOP, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_MULTICAST_IF, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_MULTICAST_ALL, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_MINHOPCOUNT, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_TCLASS, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_FREEBIND, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_TRANSPARENT, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_MTU, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_MTU_DISCOVER, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_DONTFRAG, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_AUTOFLOWLABEL, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_ADDR_PREFERENCES, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_ADDRFORM, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_CHECKSUM, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_HDRINCL, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_ROUTER_ALERT, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_ROUTER_ALERT_ISOLATE, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_RECVPKTINFO, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_RECVHOPLIMIT, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_RECVTCLASS, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_RECVHOPOPTS, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_RECVDSTOPTS, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_RECVRTHDR, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_RECVPATHMTU, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_RECVERR, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_RECVERR_RFC4884, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_RECVFRAGSIZE, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_ORIGDSTADDR, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_RECVORIGDSTADDR, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_2292PKTINFO, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_2292HOPLIMIT, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_2292HOPOPTS, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_2292DSTOPTS, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_2292RTHDR, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_JOIN_GROUP, GROUP6),
    OPTION(IPPROTO_IPV6, IPV6_LEAVE_GROUP, GROUP6),
    OPTION(IPPROTO_IPV6, IPV6_JOIN_ANYCAST, GROUP6),
    OPTION(IPPROTO_IPV6, IPV6_LEAVE_ANYCAST, GROUP6),
    {"IPV6_ADD_MEMBERSHIP", IPPROTO_IPV6, IPV6_JOIN_GROUP, GROUP6},
    {"IPV6_DROP_MEMBERSHIP", IPPROTO_IPV6, IPV6_LEAVE_GROUP, GROUP6},
#ifdef SO_PASSPIDFD /* Linux 6.5 */
    OPTION(SOL_SOCKET, SO_PASSPIDFD, INTEGER),
#endif
#ifdef SO_PASSRIGHTS /* Linux 6.16 */
    OPTION(SOL_SOCKET, SO_PASSRIGHTS, INTEGER),
#endif
#ifdef IP_LOCAL_PORT_RANGE /* Linux 6.3 */
    OPTION(IPPROTO_IP, IP_LOCAL_PORT_RANGE, INTEGER),
#endif
#ifdef IP_PROTOCOL
    OPTION(IPPROTO_IP, IP_PROTOCOL, INTEGER),
#endif
};

static const socket_option *find_option(const char *name) {
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        if (strcmp(options[i].name, name) == 0) return &options[i];
    }
    return NULL;
}

/* Says that there is no such option; "nodelay" probably means TCP_NODELAY. */
static const char *describe_unknown(lua_State *L, const char *name) {
    const char *nearest = NULL;
    int distance = INT_MAX;
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]) && distance > 0; i++) {
        const char *known = options[i].name, *short_name = strchr(known, '_') + 1;
        const int d = strcasecmp(name, short_name) == 0 ? 0 : lh_word_distance(name, known);
        if (d < 0 || d >= distance) continue;
        nearest = known;
        distance = d;
    }
    if (!nearest) return lua_pushfstring(L, "Socket operation '%s' not supported", name);
    return lua_pushfstring(L, "Socket operation '%s' not supported (did you mean %s?)", name, nearest);
}

/* -- Values -------------------------------------------------------------------------------------------------------- */

/* What setsockopt(2) is given. */
typedef union value {
    int integer;
    uint64_t wide;
    struct linger linger;
    struct timeval time;
    struct ip_mreqn group4;
    struct ipv6_mreq group6;
} value;

static int check_int(lua_State *L, int index) {
    if (lua_isboolean(L, index)) return lua_toboolean(L, index);
    return (int)lh_check_integer(L, index, INT32_MIN, INT32_MAX);
}

static struct linger check_linger(lua_State *L, int index) {
    if (lua_isboolean(L, index) && !lua_toboolean(L, index)) return (struct linger){.l_onoff = 0};
    return (struct linger){.l_onoff = 1, .l_linger = (int)lh_check_integer(L, index, 0, INT32_MAX)};
}

static struct timeval check_seconds(lua_State *L, int index) {
    const double seconds = lh_check_number(L, index);
    if (!(seconds >= 0 && seconds < 1e9)) lh_raise_argument(L, index, "seconds out of range");
    const double whole = floor(seconds);
    return (struct timeval){.tv_sec = (time_t)whole, .tv_usec = (suseconds_t)((seconds - whole) * 1e6)};
}

/* An interface by name or number; 0 (any) for nil. False when there is none of that name. */
static bool find_interface(lua_State *L, int index, unsigned *number) {
    *number = 0;
    if (lua_isnoneornil(L, index)) return true;
    if (lua_type(L, index) == LUA_TNUMBER) {
        *number = (unsigned)lh_check_integer(L, index, 0, INT32_MAX);
        return true;
    }
    *number = if_nametoindex(lh_check_name(L, index));
    return *number != 0;
}

/* An IPv4 interface by address, name or number. */
static bool get_interface4(lua_State *L, int index, struct ip_mreqn *request) {
    if (lua_type(L, index) == LUA_TSTRING && inet_pton(AF_INET, lh_check_name(L, index), &request->imr_address) == 1) {
        return true;
    }
    unsigned number;
    if (!find_interface(L, index, &number)) return false;
    request->imr_ifindex = (int)number;
    return true;
}

/* Replaces {group, interface} at `index` by its two members on top of the stack; a string gives itself and nil. */
static void open_group(lua_State *L, int index) {
    if (lua_istable(L, index)) {
        lua_rawgeti(L, index, 1);
        lua_rawgeti(L, index, 2);
    } else {
        lua_pushvalue(L, index);
        lua_pushnil(L);
    }
}

/* The group that open_group pushed for the argument at `index`. */
static const char *check_group(lua_State *L, int index) {
    const int interface = lua_type(L, -1);
    if (lua_type(L, -2) != LUA_TSTRING ||
        (interface != LUA_TNIL && interface != LUA_TSTRING && interface != LUA_TNUMBER)) {
        lh_raise_argument(L, index, "a group, or {group, interface}, expected");
    }
    return lh_check_name(L, lua_gettop(L) - 1);
}

static bool get_group4(lua_State *L, int index, struct ip_mreqn *request) {
    open_group(L, index);
    return inet_pton(AF_INET, check_group(L, index), &request->imr_multiaddr) == 1 &&
           get_interface4(L, lua_gettop(L), request);
}

static bool get_group6(lua_State *L, int index, struct ipv6_mreq *request) {
    open_group(L, index);
    return inet_pton(AF_INET6, check_group(L, index), &request->ipv6mr_multiaddr) == 1 &&
           find_interface(L, lua_gettop(L), &request->ipv6mr_interface);
}

/* Converts the Lua value at `index`; returns its size in bytes, 0 when it names what does not exist. */
static socklen_t get_value(lua_State *L, int index, option_kind kind, value *v) {
    memset(v, 0, sizeof(*v));
    switch (kind) {
    case INTEGER: v->integer = check_int(L, index); return sizeof(v->integer);
    case LINGER: v->linger = check_linger(L, index); return sizeof(v->linger);
    case SECONDS: v->time = check_seconds(L, index); return sizeof(v->time);
    case GROUP4: return get_group4(L, index, &v->group4) ? sizeof(v->group4) : 0;
    case GROUP6: return get_group6(L, index, &v->group6) ? sizeof(v->group6) : 0;
    case INTERFACE4: return get_interface4(L, index, &v->group4) ? sizeof(v->group4) : 0;
    default: return 0;
    }
}

/* -- setsockopt and getsockopt ------------------------------------------------------------------------------------- */

static int eventer_setsockopt(lua_State *L) {
    const lh_eventer *e = lh_check_eventer(L, 1);
    if (lua_gettop(L) < 3) return lh_push_minus1_error(L, "setsockopt(type, value) wrong arguments");
    const char *name = lh_check_string(L, 2, NULL);
    const socket_option *option = find_option(name);
    if (!option) return lh_push_minus1_error(L, describe_unknown(L, name));
    const int fd = e->socket->watch.fd;
    int rv;
    if (option->kind == TEXT) {
        size_t length;
        const char *bytes = lh_check_string(L, 3, &length);
        rv = setsockopt(fd, option->level, option->number, bytes, (socklen_t)length);
    } else {
        value v;
        const socklen_t size = get_value(L, 3, option->kind, &v);
        if (size == 0) return lh_push_minus1_error(L, lh_error_text(EADDRNOTAVAIL));
        rv = setsockopt(fd, option->level, option->number, &v, size);
    }
    if (rv < 0) return lh_push_minus1_error(L, lh_error_text(errno));
    lua_pushinteger(L, 0);
    return 1;
}

static int push_value(lua_State *L, option_kind kind, const value *v, socklen_t size) {
    switch (kind) {
    case INTEGER:
        if (size == sizeof(v->wide)) { /* SO_COOKIE, SO_MAX_PACING_RATE */
            lua_pushnumber(L, (double)v->wide);
        } else {
            lua_pushinteger(L, v->integer);
        }
        return 1;
    case LINGER:
        if (v->linger.l_onoff) {
            lua_pushinteger(L, v->linger.l_linger);
        } else {
            lua_pushboolean(L, 0);
        }
        return 1;
    case SECONDS: lua_pushnumber(L, (double)v->time.tv_sec + (double)v->time.tv_usec * 1e-6); return 1;
    default: lua_pushinteger(L, v->integer); return 1;
    }
}

static int eventer_getsockopt(lua_State *L) {
    const lh_eventer *e = lh_check_eventer(L, 1);
    const char *name = lh_check_string(L, 2, NULL);
    const socket_option *option = find_option(name);
    if (!option || option->kind == GROUP4 || option->kind == GROUP6 || option->kind == INTERFACE4) {
        return lh_push_nil_error(L, describe_unknown(L, name));
    }
    const int fd = e->socket->watch.fd;
    char text[128] = "";
    value v = {0};
    socklen_t size = option->kind == TEXT ? sizeof(text) - 1 : sizeof(v);
    void *to = option->kind == TEXT ? (void *)text : (void *)&v;
    if (getsockopt(fd, option->level, option->number, to, &size) < 0) return lh_push_nil_error(L, lh_error_text(errno));
    if (option->kind == TEXT) {
        lua_pushstring(L, text);
        return 1;
    }
    return push_value(L, option->kind, &v, size);
}

static const luaL_Reg methods[] = {
    {"setsockopt", eventer_setsockopt},
    {"getsockopt", eventer_getsockopt},
    {NULL, NULL},
};

void lh_open_eventer_options(lua_State *L) {
    lua_getfield(L, LH_CORE, "eventer_methods");
    lh_set_functions(L, lua_gettop(L), methods);
}
