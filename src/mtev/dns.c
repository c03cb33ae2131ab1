/* What scripts get: mtev.dns and its lookup (finished in lualib/mtev/dns.lua), mtev.getaddrinfo (there, too),
 * mtev.inet_pton. */
#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <netdb.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "data/dns.h"
#include "mtev/init.h"
#include "net/names.h"
#include "net/resolver.h"
#include "runtime/errors.h"
#include "runtime/task.h"
#include "runtime/type.h"

#define DNS "mtev.dns"

/* -- Types and classes --------------------------------------------------------------------------------------------- */

/* What a record's data consist of: each letter is a field, named by what follows it up to the next space, or by the
 * type.   n name   1 2 4 number of so many bytes   s string   t strings up to the end, joined   r the rest, bytes
 *         a IPv4 address   A IPv6 address */
static const struct {
    const char *name;
    unsigned number;
    const char *layout;
} types[] = {
    {"A", 1, "a"},
    {"NS", 2, "n"},
    {"MD", 3, "n"},
    {"MF", 4, "n"},
    {"CNAME", 5, "n"},
    {"SOA", 6, "n:mname n:rname 4:serial 4:refresh 4:retry 4:expire 4:minimum"},
    {"MB", 7, "n"},
    {"MG", 8, "n"},
    {"MR", 9, "n"},
    {"NULL", 10, "r"},
    {"WKS", 11, "r"},
    {"PTR", 12, "n"},
    {"HINFO", 13, "s:cpu s:os"},
    {"MINFO", 14, "n:rmailbx n:emailbx"},
    {"MX", 15, "2:preference n"},
    {"TXT", 16, "t"},
    {"RP", 17, "n:mbox n:txtdname"},
    {"AFSDB", 18, "2:subtype n"},
    {"X25", 19, "s"},
    {"ISDN", 20, "t"},
    {"RT", 21, "2:preference n"},
    {"NSAP", 22, "r"},
    {"SIG", 24, "r"},
    {"KEY", 25, "r"},
    {"PX", 26, "2:preference n:map822 n:mapx400"},
    {"GPOS", 27, "s:longitude s:latitude s:altitude"},
    {"AAAA", 28, "A"},
    {"LOC", 29, "r"},
    {"NXT", 30, "r"},
    {"EID", 31, "r"},
    {"NIMLOC", 32, "r"},
    {"SRV", 33, "2:priority 2:weight 2:port n"},
    {"ATMA", 34, "r"},
    {"NAPTR", 35, "2:order 2:preference s:flags s:service s:regexp n:replacement"},
    {"KX", 36, "2:preference n"},
    {"CERT", 37, "r"},
    {"A6", 38, "r"},
    {"DNAME", 39, "n"},
    {"APL", 42, "r"},
    {"DS", 43, "2:keytag 1:algorithm 1:digesttype r"},
    {"SSHFP", 44, "1:algorithm 1:fptype r"},
    {"IPSECKEY", 45, "r"},
    {"RRSIG", 46, "r"},
    {"NSEC", 47, "r"},
    {"DNSKEY", 48, "2:flags 1:protocol 1:algorithm r"},
    {"DHCID", 49, "r"},
    {"NSEC3", 50, "r"},
    {"NSEC3PARAM", 51, "r"},
    {"TLSA", 52, "1:usage 1:selector 1:matching r"},
    {"SVCB", 64, "2:priority n r:params"},
    {"HTTPS", 65, "2:priority n r:params"},
    {"SPF", 99, "t"},
    {"ANY", LH_DNS_ANY, "r"},
    {"URI", 256, "2:priority 2:weight r"},
    {"CAA", 257, "1:flags s:tag r"},
};

static const struct {
    const char *name;
    unsigned number;
} classes[] = {{"IN", 1}, {"CH", 3}, {"HS", 4}, {"ANY", 255}};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static unsigned check_type(lua_State *L, int index) {
    const char *word = lua_isnoneornil(L, index) ? "A" : lh_check_name(L, index);
    for (size_t i = 0; i < COUNT(types); i++) {
        if (strcasecmp(types[i].name, word) == 0) return types[i].number;
    }
    lh_raise(L, "dns: bad rr type");
}

static unsigned check_class(lua_State *L, int index) {
    const char *word = lua_isnoneornil(L, index) ? "IN" : lh_check_name(L, index);
    for (size_t i = 0; i < COUNT(classes); i++) {
        if (strcasecmp(classes[i].name, word) == 0) return classes[i].number;
    }
    lh_raise(L, "dns: bad rr type");
}

/* -- Records as tables --------------------------------------------------------------------------------------------- */

static bool push_ip(lua_State *L, const lh_dns_message *message, lh_dns_record *record, int family) {
    char text[INET6_ADDRSTRLEN];
    const size_t size = family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr);
    if (record->end - record->at != size) return false;
    inet_ntop(family, message->bytes + record->at, text, sizeof(text));
    record->at = record->end;
    lua_pushstring(L, text);
    return true;
}

static bool push_strings(lua_State *L, const lh_dns_message *message, lh_dns_record *record) {
    luaL_Buffer joined;
    luaL_buffinit(L, &joined);
    while (record->at < record->end) {
        const char *bytes;
        size_t length;
        if (!lh_dns_take_string(message, record, &bytes, &length)) return false;
        luaL_addlstring(&joined, bytes, length);
    }
    luaL_pushresult(&joined);
    return true;
}

/* Pushes the field that `letter` stands for; on false it may have pushed anything. */
static bool push_field(lua_State *L, const lh_dns_message *message, lh_dns_record *record, char letter) {
    assert(record->at <= record->end && record->end <= message->length);
    char name[LH_DNS_NAME_MAX];
    const char *bytes;
    size_t length;
    uint32_t number;
    switch (letter) {
    case 'a': return push_ip(L, message, record, AF_INET);
    case 'A': return push_ip(L, message, record, AF_INET6);
    case 't': return push_strings(L, message, record);
    case 'n':
        if (!lh_dns_take_name(message, record, name)) return false;
        lua_pushstring(L, name);
        return true;
    case 's':
        if (!lh_dns_take_string(message, record, &bytes, &length)) return false;
        lua_pushlstring(L, bytes, length);
        return true;
    case 'r':
        lua_pushlstring(L, (const char *)message->bytes + record->at, record->end - record->at);
        record->at = record->end;
        return true;
    default:
        if (!lh_dns_take_number(message, record, letter - '0', &number)) return false;
        lua_pushnumber(L, number);
        return true;
    }
}

/* The key of a field without a name: its type's, in lower case. */
static void push_type_key(lua_State *L, const char *type) {
    char key[16];
    size_t length = 0;
    for (; type[length] && length < sizeof(key); length++) key[length] = (char)(type[length] | 0x20);
    lua_pushlstring(L, key, length);
}

/* Sets the fields in the table on top of the stack. */
static bool set_fields(lua_State *L, const lh_dns_message *message, lh_dns_record *record, size_t type) {
    for (const char *layout = types[type].layout; *layout;) {
        const char letter = *layout++;
        const size_t length = strcspn(layout, " ");
        if (*layout == ':') {
            lua_pushlstring(L, layout + 1, length - 1);
        } else {
            push_type_key(L, types[type].name);
        }
        if (!push_field(L, message, record, letter)) return false;
        lua_rawset(L, -3);
        layout += length;
        if (*layout) layout++;
    }
    return true;
}

static bool push_record(lua_State *L, const lh_dns_message *message, lh_dns_record *record) {
    size_t type = 0;
    while (type < COUNT(types) && types[type].number != record->type) type++;
    lua_createtable(L, 0, 3);
    lua_pushnumber(L, record->ttl);
    lua_setfield(L, -2, "ttl");
    if (type < COUNT(types)) return set_fields(L, message, record, type);
    lua_pushinteger(L, (lua_Integer)record->type);
    lua_setfield(L, -2, "type");
    lua_pushlstring(L, (const char *)message->bytes + record->at, record->end - record->at);
    lua_setfield(L, -2, "data");
    return true;
}

/* -- Answers ------------------------------------------------------------------------------------------------------- */

enum { CHAIN_MAX = 16, RECORDS_MAX = 4000 };

/* A lookup under way: userdata that the waiting task holds. */
typedef struct lookup {
    lh_resolver *resolver;
    lh_question *question; /* on its way, NULL = none */
    unsigned class_number, type;
    int chain_length;           /* aliases followed so far */
    char name[LH_DNS_NAME_MAX]; /* what is asked for: at last the alias's target */
} lookup;

static int push_failure(lua_State *L, const char *error) { return lh_push_nil_error(L, error); }

static bool is_wanted(const lookup *l, const lh_dns_record *record) {
    return l->type == LH_DNS_ANY || record->type == l->type;
}

/* Puts the records that were asked for into the table at `list`; returns their number, or -1: malformed. Aliases lead
 * on to other names: *alias is the last one that was not answered, "" = none. */
static int collect_answers(lua_State *L, int list, const lookup *l, lh_dns_message *message,
                           char alias[LH_DNS_NAME_MAX]) {
    lh_dns_record record;
    int count = 0;
    alias[0] = 0;
    while (message->records_left > 0) {
        if (!lh_dns_next(message, &record)) return -1;
        if (is_wanted(l, &record)) {
            if (count == RECORDS_MAX || !push_record(L, message, &record)) return -1;
            lua_rawseti(L, list, ++count);
            assert(lua_gettop(L) == list);
        } else if (record.type == LH_DNS_CNAME && !lh_dns_take_name(message, &record, alias)) {
            return -1;
        }
    }
    return count;
}

static const char *code_text(unsigned code) {
    switch (code) {
    case LH_DNS_NO_ERROR: return "no data";
    case LH_DNS_NO_SUCH_NAME: return "no such name";
    case LH_DNS_SERVER_FAILURE: return "server failure";
    case LH_DNS_REFUSED: return "refused";
    default: return "no answer";
    }
}

static void ask(lookup *l, lh_task *task);

/* The results for the waiting task, or LH_TASK_STAY: another question is on its way. */
static int push_results(lua_State *L, lookup *l, lh_task *task, const char *bytes, size_t length) {
    lh_dns_message message;
    char alias[LH_DNS_NAME_MAX];
    if (!lh_dns_open(&message, bytes, length)) return push_failure(L, "malformed answer");
    lua_newtable(L);
    const int list = lua_gettop(L), count = collect_answers(L, list, l, &message, alias);
    lua_settop(L, list);
    if (count > 0) return 1;
    lua_settop(L, list - 1);
    if (count < 0) return push_failure(L, "malformed answer");
    if (!alias[0]) return push_failure(L, code_text(message.code));
    if (++l->chain_length > CHAIN_MAX) return push_failure(L, "too long a chain of aliases");
    memcpy(l->name, alias, sizeof(alias));
    ask(l, task);
    return LH_TASK_STAY;
}

typedef struct answer {
    const char *bytes;
    size_t length;
    const char *error; /* NULL = there are bytes */
} answer;

static int push_answer(lh_task *task, lua_State *T, void *context) {
    const answer *a = context;
    if (a->error) return push_failure(T, a->error);
    return push_results(T, task->object, task, a->bytes, a->length);
}

static void on_answer(lh_question *question, const char *bytes, size_t length, const char *error) {
    lh_task *task = question->owner;
    answer a = {.bytes = bytes, .length = length, .error = error};
    assert(((lookup *)task->object)->question == question);
    ((lookup *)task->object)->question = NULL;
    lh_task_answer(task, push_answer, &a);
}

static void ask(lookup *l, lh_task *task) {
    assert(!l->question);
    l->question = lh_resolver_ask(l->resolver, l->name, l->class_number, l->type, on_answer, task);
}

/* -- lookup -------------------------------------------------------------------------------------------------------- */

static void withdraw_lookup(lh_task *task) {
    lookup *l = task->object;
    if (l->question) lh_resolver_forget(l->question);
    l->question = NULL;
}

static const lh_wait lookup_wait = {.name = "dns:lookup", .is_world = true, .withdraw = withdraw_lookup};

static lh_resolver *check_dns(lua_State *L, int index) {
    lh_resolver **object = lua_type(L, index) == LUA_TUSERDATA ? lua_touserdata(L, index) : NULL;
    if (object && lua_getmetatable(L, index)) {
        luaL_getmetatable(L, DNS);
        const bool is_dns = lua_rawequal(L, -1, -2);
        lua_pop(L, 2);
        if (is_dns) return *object;
    }
    lh_raise_type(L, index, DNS);
}

/* dns_lookup(dns, name, type, class) -> array of a table for each record, or nil, error */
static int core_dns_lookup(lua_State *L) {
    lh_resolver *resolver = check_dns(L, 1);
    const char *name = lh_check_name(L, 2);
    const unsigned type = check_type(L, 3), class_number = check_class(L, 4);
    if (strlen(name) >= LH_DNS_NAME_MAX) return push_failure(L, "bad name");
    lh_check_memory(L);
    lh_task *task = lh_task_may_park(L, &lookup_wait);
    lookup *l = lua_newuserdata(L, sizeof(*l));
    *l = (lookup){.resolver = resolver, .type = type, .class_number = class_number};
    memcpy(l->name, name, strlen(name) + 1);
    lh_task_hold(task, L, lua_gettop(L));
    task->object = l;
    ask(l, task);
    return lh_task_park(task, L, &lookup_wait, LH_NEVER);
}

static int mtev_dns(lua_State *L) {
    const char *nameserver = lua_isnoneornil(L, 1) ? NULL : lh_check_name(L, 1);
    lh_resolver *resolver = lh_resolver_get(&lh_state_here()->net, nameserver);
    if (!resolver) lh_raise_argument(L, 1, "IP address expected, or IP:port, or [IP]:port");
    lh_resolver **object = lua_newuserdata(L, sizeof(*object));
    *object = resolver;
    luaL_getmetatable(L, DNS);
    lua_setmetatable(L, -2);
    return 1;
}

static int dns_tostring(lua_State *L) {
    const char *nameserver = lh_resolver_nameserver(check_dns(L, 1));
    lua_pushfstring(L, DNS ": %s", nameserver ? nameserver : "the system's servers");
    return 1;
}

/* -- getaddrinfo --------------------------------------------------------------------------------------------------- */

static int push_ip_text(lua_State *L, const lh_address *address) {
    char host[LH_ADDRESS_TEXT_MAX];
    lua_pushlstring(L, host, lh_address_host(address, host));
    return 1;
}

/* -> ip, "inet" or "inet6", all of them; IPv4 first. */
static int push_addresses(lua_State *L, const lh_address *addresses, size_t count) {
    assert(count > 0);
    lua_createtable(L, (int)count, 0);
    const int table = lua_gettop(L);
    int at = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < count; i++) {
            if ((lh_address_family(&addresses[i]) == AF_INET) != (pass == 0)) continue;
            push_ip_text(L, &addresses[i]);
            lua_rawseti(L, table, ++at);
        }
    }
    lua_rawgeti(L, table, 1);
    lua_pushstring(L, strchr(lua_tostring(L, -1), ':') ? "inet6" : "inet");
    lua_pushvalue(L, table);
    return 3;
}

static int push_names(lua_State *L, const lh_names *names) {
    if (!names->error) return push_addresses(L, names->addresses, names->count);
    lua_pushboolean(L, 0);
    lua_pushfstring(L, "getaddrinfo(%s) failed: %s", names->host, lh_names_error_text(names));
    return 2;
}

static int push_found(lh_task *task, lua_State *T, void *names) {
    (void)task;
    return push_names(T, names);
}

static void on_names(lh_names *names, bool is_closing) {
    lh_task *task = names->owner;
    if (!is_closing && task) lh_task_answer(task, push_found, names);
    lh_names_free(names);
}

static void withdraw_names(lh_task *task) { lh_names_forget(task->object); }

/* The pool's thread goes on asking, but nobody hears of it. */
static int on_names_deadline(lh_task *task, lua_State *T) {
    withdraw_names(task);
    lua_pushboolean(T, 0);
    lua_pushliteral(T, "timeout");
    return 2;
}

static const lh_wait names_wait = {
    .name = "mtev.getaddrinfo", .is_world = true, .on_deadline = on_names_deadline, .withdraw = withdraw_names};

/* getaddrinfo(host[, timeout]) */
static int core_getaddrinfo(lua_State *L) {
    const char *host = lh_check_name(L, 1);
    const lh_ns timeout = lua_isnoneornil(L, 2) ? LH_NEVER : lh_check_timeout(L, 2);
    lh_address address;
    if (lh_address_parse_ip(&address, host, 0) == 0) return push_addresses(L, &address, 1);
    if (strlen(host) > NI_MAXHOST) {
        lua_pushboolean(L, 0);
        lua_pushfstring(L, "getaddrinfo(%s) failed: %s", host, gai_strerror(EAI_NONAME));
        return 2;
    }
    lh_check_memory(L);
    lh_task *task = lh_task_may_park(L, &names_wait);
    task->object = lh_names_ask(&lh_state_here()->net.loop, host, AF_UNSPEC, on_names, task);
    return lh_task_park(task, L, &names_wait, lh_loop_deadline(timeout));
}

/* -- Literals ------------------------------------------------------------------------------------------------------ */

/* AF_INET, AF_INET6 or 0; `bytes` gets 4 or 16. */
static int parse_ip(const char *text, size_t length, unsigned char bytes[sizeof(struct in6_addr)]) {
    if (strlen(text) != length) return 0;
    if (inet_pton(AF_INET, text, bytes) == 1) return AF_INET;
    return inet_pton(AF_INET6, text, bytes) == 1 ? AF_INET6 : 0;
}

static int mtev_inet_pton(lua_State *L) {
    unsigned char bytes[sizeof(struct in6_addr)];
    size_t length;
    const char *text = lh_check_string(L, 1, &length);
    const int family = parse_ip(text, length, bytes);
    lua_pushboolean(L, family != 0);
    if (!family) return 1;
    const size_t size = family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr);
    lua_pushstring(L, family == AF_INET ? "inet" : "inet6");
    memcpy(lua_newuserdata(L, size), bytes, size);
    return 3;
}

/* ip_family(text) -> 2, 10 or nil */
static int core_ip_family(lua_State *L) {
    unsigned char bytes[sizeof(struct in6_addr)];
    size_t length;
    const char *text = lh_check_string(L, 1, &length);
    const int family = parse_ip(text, length, bytes);
    if (!family) return 0;
    lua_pushinteger(L, family);
    return 1;
}

static const luaL_Reg functions[] = {{"dns", mtev_dns}, {"inet_pton", mtev_inet_pton}, {NULL, NULL}};

static const luaL_Reg core_functions[] = {
    {"dns_lookup", core_dns_lookup}, {"getaddrinfo", core_getaddrinfo}, {"ip_family", core_ip_family}, {NULL, NULL}};

void lh_open_dns(lua_State *L) {
    lh_set_functions(L, LH_MTEV, functions);
    lh_set_functions(L, LH_CORE, core_functions);
    lh_type_new(L, DNS);
    lua_newtable(L); /* filled by dns.lua */
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "__index");
    lua_setfield(L, LH_CORE, "dns_methods");
    lua_pushcfunction(L, dns_tostring);
    lua_setfield(L, -2, "__tostring");
}
