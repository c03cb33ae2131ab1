/* What scripts get: setsockopt and getsockopt of mtev.eventer, by the names of the platform's headers. */
#include <errno.h>
#include <math.h>
#include <net/if.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/time.h>

#include "mtev/api.h"
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
    OPTION(SOL_SOCKET, SO_INCOMING_CPU, INTEGER),
    OPTION(SOL_SOCKET, SO_TIMESTAMP, INTEGER),
    OPTION(SOL_SOCKET, SO_RXQ_OVFL, INTEGER),
    OPTION(SOL_SOCKET, SO_DEBUG, INTEGER),
    OPTION(SOL_SOCKET, SO_PASSCRED, INTEGER),
    OPTION(SOL_SOCKET, SO_SNDBUFFORCE, INTEGER),
    OPTION(SOL_SOCKET, SO_RCVBUFFORCE, INTEGER),
    OPTION(SOL_SOCKET, SO_ERROR, INTEGER),
    OPTION(SOL_SOCKET, SO_TYPE, INTEGER),
    OPTION(SOL_SOCKET, SO_DOMAIN, INTEGER),
    OPTION(SOL_SOCKET, SO_PROTOCOL, INTEGER),
    OPTION(SOL_SOCKET, SO_ACCEPTCONN, INTEGER),
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
    OPTION(IPPROTO_TCP, TCP_MAXSEG, INTEGER),
    OPTION(IPPROTO_TCP, TCP_SYNCNT, INTEGER),
    OPTION(IPPROTO_TCP, TCP_LINGER2, INTEGER),
    OPTION(IPPROTO_TCP, TCP_WINDOW_CLAMP, INTEGER),
    OPTION(IPPROTO_TCP, TCP_NOTSENT_LOWAT, INTEGER),
    OPTION(IPPROTO_TCP, TCP_CONGESTION, TEXT),
    OPTION(IPPROTO_IP, IP_TOS, INTEGER),
    OPTION(IPPROTO_IP, IP_TTL, INTEGER),
    OPTION(IPPROTO_IP, IP_MULTICAST_TTL, INTEGER),
    OPTION(IPPROTO_IP, IP_MULTICAST_LOOP, INTEGER),
    OPTION(IPPROTO_IP, IP_MULTICAST_IF, INTERFACE4),
    OPTION(IPPROTO_IP, IP_FREEBIND, INTEGER),
    OPTION(IPPROTO_IP, IP_TRANSPARENT, INTEGER),
    OPTION(IPPROTO_IP, IP_PKTINFO, INTEGER),
    OPTION(IPPROTO_IP, IP_MTU_DISCOVER, INTEGER),
    OPTION(IPPROTO_IP, IP_RECVTTL, INTEGER),
    OPTION(IPPROTO_IP, IP_RECVTOS, INTEGER),
    OPTION(IPPROTO_IP, IP_ADD_MEMBERSHIP, GROUP4),
    OPTION(IPPROTO_IP, IP_DROP_MEMBERSHIP, GROUP4),
    OPTION(IPPROTO_IPV6, IPV6_V6ONLY, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_UNICAST_HOPS, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_MULTICAST_HOPS, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_MULTICAST_LOOP, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_MULTICAST_IF, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_TCLASS, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_MTU_DISCOVER, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_RECVPKTINFO, INTEGER),
    OPTION(IPPROTO_IPV6, IPV6_JOIN_GROUP, GROUP6),
    OPTION(IPPROTO_IPV6, IPV6_LEAVE_GROUP, GROUP6),
    {"IPV6_ADD_MEMBERSHIP", IPPROTO_IPV6, IPV6_JOIN_GROUP, GROUP6},
    {"IPV6_DROP_MEMBERSHIP", IPPROTO_IPV6, IPV6_LEAVE_GROUP, GROUP6},
};

static const socket_option *find_option(const char *name) {
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        if (strcmp(options[i].name, name) == 0) return &options[i];
    }
    return NULL;
}

/* -- Values -------------------------------------------------------------------------------------------------------- */

/* What setsockopt(2) is given. */
typedef union value {
    int integer;
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

static bool get_group4(lua_State *L, int index, struct ip_mreqn *request) {
    open_group(L, index);
    return inet_pton(AF_INET, lh_check_name(L, -2), &request->imr_multiaddr) == 1 &&
           get_interface4(L, lua_gettop(L), request);
}

static bool get_group6(lua_State *L, int index, struct ipv6_mreq *request) {
    open_group(L, index);
    return inet_pton(AF_INET6, lh_check_name(L, -2), &request->ipv6mr_multiaddr) == 1 &&
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
    if (!option) return lh_push_minus1_error(L, lua_pushfstring(L, "Socket operation '%s' not supported", name));
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

static int push_value(lua_State *L, option_kind kind, const value *v) {
    switch (kind) {
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
        return lh_push_nil_error(L, lua_pushfstring(L, "Socket operation '%s' not supported", name));
    }
    const int fd = e->socket->watch.fd;
    char text[128] = "";
    value v = {0};
    socklen_t size = option->kind == TEXT ? sizeof(text) - 1 : sizeof(v);
    void *to = option->kind == TEXT ? (void *)text : (void *)&v;
    if (getsockopt(fd, option->level, option->number, to, &size) < 0) return lh_push_nil_errno(L, errno);
    if (option->kind == TEXT) {
        lua_pushstring(L, text);
        return 1;
    }
    return push_value(L, option->kind, &v);
}

static const luaL_Reg methods[] = {
    {"setsockopt", eventer_setsockopt},
    {"getsockopt", eventer_getsockopt},
    {NULL, NULL},
};

void lh_open_sockopt(lua_State *L) {
    lua_getfield(L, LH_CORE, "eventer_methods");
    lh_set_functions(L, lua_gettop(L), methods);
}
