/* c-ares tells which of its sockets want what; each is watched by our poll, which reports edges. How much it reads when
 * it is told to depends on its version, so a watch is served again until the kernel has nothing (is_drained). Its
 * timeouts have a resolution of a second and are looked at by a tick, while questions are on their way: asking it for
 * the next one would walk all of them.
 *
 * c-ares decides whose answer a message is, and whether to ask again: another server, over TCP, without EDNS. For that
 * it needs the header and the question, and no more is shown to it: a digest (make_digest), with a number by which
 * the message is found again. The records are for data/dns. Given the whole message, c-ares 1.34 would parse all of
 * it, and would
 *   - close the socket over anything that it cannot parse, and count it as a failed attempt of every question that is
 *     on its way there: one forged datagram would disturb them all;
 *   - hand on what it has rewritten from its parse: the compressed names of records that it does not know then point
 *     nowhere;
 *   - keep answers, and give them at once next time;
 *   - wait for an answer five times as long as the latest took on average, however long resolv.conf says.
 * The last two concern good answers only: so a digest never says that it is one (CODE_OTHER). */
#include "net/resolver.h"

#define CARES_NO_DEPRECATED /* 1.34 has newer forms of what 1.18 has; the older ones exist in both */
#include <ares.h>
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <resolv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/descriptors.h"
#include "data/dns.h"

enum { FRESH_MAX = 250, EDNS_BYTES = 1232, PORT_DNS = 53, DATAGRAMS_MAX = 64 };

/* The kernel counts some 1 KiB for the smallest datagram. It gives less if that is the system's limit. */
enum { RECEIVE_BYTES = 1024 * 1024 };

/* A digest: the header, the question, and in the place of the answers one record: the root's, of a type for private use
 * (RFC 6895), whose data are the message's number. */
enum { ID_BYTES = 2, IS_ANSWER = 0x80, IS_TRUNCATED = 0x02, TYPE_PRIVATE = 0xFF00, CLASS_IN = 1, NUMBER_BYTES = 4 };
enum { MARK_BYTES = 1 + 2 + 2 + 4 + 2 + NUMBER_BYTES, DIGEST_MAX = LH_DNS_QUESTION_END_MAX + MARK_BYTES };
enum { CODE_OTHER = 6 };   /* YXDOMAIN, which concerns nobody who only asks */
enum { PREFIX_BYTES = 2 }; /* of a message in a stream: its length */

static const lh_ns TICK = 100 * LH_MILLISECOND, FRESH_TIME = 200 * LH_MILLISECOND;
static const char CONFIGURATION[] = "/etc/resolv.conf";

/* A socket of c-ares. */
typedef struct channel_socket {
    lh_watch watch;
    lh_list node; /* in lh_resolver.sockets */
    lh_resolver *resolver;
    bool is_stream;
    bool wants_write;
    bool is_drained;    /* what c-ares read last was all there was */
    lh_buffer received; /* of a stream: messages, each behind its length, the last perhaps not whole */
    char digest[PREFIX_BYTES + DIGEST_MAX];
    size_t digest_at, digest_length; /* of a stream: what c-ares has read of `digest`, and its length */
} channel_socket;

/* A message as it came, while c-ares decides whose answer it is. */
typedef struct message {
    lh_list node; /* in lh_resolver.messages */
    uint32_t number;
    size_t length;
    char bytes[];
} message;

struct lh_resolver {
    lh_list node; /* in lh_net.resolvers */
    lh_net *net;
    ares_channel channel;
    char *nameserver;           /* NULL = the system's */
    struct stat configuration;  /* of the system's, when it was read */
    lh_list sockets;            /* channel_socket */
    lh_list queued, fresh, old; /* questions: not sent yet; sent; sent a while ago ... */
    lh_list failed;             /* ... and could not be sent, which nobody knows yet */
    lh_list messages;           /* message: those that c-ares is being told of */
    uint32_t message_number;    /* of the latest */
    size_t fresh_count;
    size_t wanted_count; /* questions that somebody waits for */
    bool is_asking;      /* ares_query has not returned yet */
    int socket_error;    /* why it has no socket, errno; 0 = it has */
    lh_timer tick;
};

/* -- Questions ----------------------------------------------------------------------------------------------------- */

static const char *explain(int status) {
    switch (status) {
    case ARES_SUCCESS: return "malformed answer"; /* not the digest that we made */
    case ARES_ETIMEOUT: return "timeout";
    case ARES_ENOTFOUND: return "no such name";
    case ARES_ENODATA: return "no data";
    case ARES_ESERVFAIL: return "server failure";
    case ARES_EREFUSED: return "refused";
    case ARES_EFORMERR: return "format error";
    case ARES_ENOTIMP: return "not implemented";
    case ARES_EBADNAME: return "bad name";
    case ARES_EBADRESP: return "malformed answer";
    case ARES_ECONNREFUSED: return "no server has an answer";
    case ARES_ENOMEM: return "not enough memory";
    case ARES_ECANCELLED:
    case ARES_EDESTRUCTION: return "cancelled";
    default: return ares_strerror(status);
    }
}

/* The question is over. */
static void end(lh_question *question, const char *bytes, size_t length, const char *error) {
    lh_list_remove(&question->node);
    if (question->on_answer) {
        assert(question->resolver->wanted_count > 0);
        question->resolver->wanted_count--;
        question->on_answer(question, bytes, length, error);
    }
    lh_free(question);
}

static void leave_fresh(lh_question *question) {
    if (!question->is_fresh) return;
    assert(question->resolver->fresh_count > 0);
    question->is_fresh = false;
    question->resolver->fresh_count--;
}

/* The message whose digest this is. */
static const message *find_message(const lh_resolver *resolver, const unsigned char *digest, size_t length) {
    lh_dns_message parsed;
    lh_dns_record mark;
    uint32_t number;
    if (!lh_dns_open(&parsed, digest, length) || !lh_dns_next(&parsed, &mark)) return NULL;
    if (mark.type != TYPE_PRIVATE || !lh_dns_take_number(&parsed, &mark, NUMBER_BYTES, &number)) return NULL;
    for (lh_list *node = resolver->messages.next; node != &resolver->messages; node = node->next) {
        const message *m = LH_CONTAINER(node, message, node);
        if (m->number == number) return m;
    }
    return NULL;
}

static const char *explain_code(unsigned code) {
    switch (code) {
    case LH_DNS_FORMAT_ERROR: return "format error";
    case LH_DNS_SERVER_FAILURE: return "server failure";
    case LH_DNS_NO_SUCH_NAME: return "no such name";
    case LH_DNS_NOT_IMPLEMENTED: return "not implemented";
    case LH_DNS_REFUSED: return "refused";
    default: return NULL; /* let who asked look at the records */
    }
}

/* c-ares has the digest of an answer, or why there is none. */
static void on_done(void *argument, int status, int timeouts, unsigned char *bytes, int length) {
    (void)timeouts;
    lh_question *question = argument;
    lh_resolver *resolver = question->resolver;
    leave_fresh(question);
    const bool has_socket = status != ARES_ECONNREFUSED || !resolver->socket_error;
    const char *error = has_socket ? explain(status) : strerrordesc_np(resolver->socket_error);
    if (resolver->is_asking) { /* a script asks, inside of which nobody may be told anything: the next tick tells */
        question->error = error;
        lh_list_remove(&question->node);
        lh_list_append(&resolver->failed, &question->node);
        return;
    }
    const message *m = bytes ? find_message(resolver, bytes, (size_t)length) : NULL;
    if (m) error = explain_code(lh_dns_code(m->bytes));
    end(question, error ? NULL : m->bytes, error ? 0 : m->length, error);
}

/* The program ends when nothing is expected any more: the tick runs only while somebody waits. Answers to questions
 * that were given up are still read, as they come. */
static void run_tick(lh_resolver *resolver) {
    lh_timers *timers = &resolver->net->loop.timers;
    if (!lh_list_is_empty(&resolver->failed)) {
        lh_timer_stop(timers, &resolver->tick);
        lh_timer_start(timers, &resolver->tick, lh_loop_deadline(0));
    } else if (resolver->wanted_count == 0) {
        lh_timer_stop(timers, &resolver->tick);
    } else if (!resolver->tick.is_armed) {
        lh_timer_start(timers, &resolver->tick, lh_loop_deadline(TICK));
    }
}

static void send_question(lh_question *question) {
    lh_resolver *resolver = question->resolver;
    assert(question->sent_ns == 0 && !question->is_fresh && lh_list_is_linked(&question->node));
    lh_list_remove(&question->node);
    lh_list_append(&resolver->fresh, &question->node);
    question->sent_ns = lh_clock_now(); /* the loop's time may be long past: what is just sent would seem old */
    question->is_fresh = true;
    resolver->fresh_count++;
    resolver->is_asking =
        true; /* what ends in here, this question or (where a connection failed) others, is in `failed` */
    ares_query(resolver->channel, question->name, (int)question->class_number, (int)question->type, on_done, question);
    resolver->is_asking = false;
}

static void send_queued(lh_resolver *resolver) {
    while (resolver->fresh_count < FRESH_MAX && !lh_list_is_empty(&resolver->queued)) {
        send_question(LH_CONTAINER(resolver->queued.next, lh_question, node));
    }
    run_tick(resolver);
}

/* What has been on its way for long may be lost: it makes room for others. */
static void age(lh_resolver *resolver) {
    const lh_ns now = resolver->net->loop.now;
    while (!lh_list_is_empty(&resolver->fresh)) {
        lh_question *question = LH_CONTAINER(resolver->fresh.next, lh_question, node);
        if (now - question->sent_ns < FRESH_TIME) break;
        lh_list_remove(&question->node);
        lh_list_append(&resolver->old, &question->node);
        leave_fresh(question);
    }
}

static void on_tick(lh_timer *timer) {
    lh_resolver *resolver = LH_CONTAINER(timer, lh_resolver, tick);
    while (!lh_list_is_empty(&resolver->failed)) {
        lh_question *question = LH_CONTAINER(resolver->failed.next, lh_question, node);
        end(question, NULL, 0, question->error);
    }
    ares_process_fd(resolver->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    age(resolver);
    send_queued(resolver);
}

lh_question *lh_resolver_ask(lh_resolver *resolver, const char *name, unsigned class_number, unsigned type,
                             lh_answer_fn on_answer, void *owner) {
    assert(lh_loop_is_mine(&resolver->net->loop) && on_answer);
    char plain[LH_DNS_NAME_MAX] = "";
    const bool is_name = lh_dns_check_name(name, plain);
    const size_t size = strlen(plain) + 1;
    lh_question *question = lh_alloc(sizeof(*question) + size);
    memcpy(question->name, plain, size);
    question->resolver = resolver;
    question->on_answer = on_answer;
    question->owner = owner;
    question->class_number = class_number;
    question->type = type;
    resolver->wanted_count++;
    lh_list_init(&question->node);
    if (is_name) {
        lh_list_append(&resolver->queued, &question->node);
    } else {
        question->error = "bad name";
        lh_list_append(&resolver->failed, &question->node);
    }
    send_queued(resolver);
    return question;
}

void lh_resolver_forget(lh_question *question) {
    lh_resolver *resolver = question->resolver;
    assert(question->on_answer && resolver->wanted_count > 0);
    question->on_answer = NULL;
    resolver->wanted_count--;
    if (question->sent_ns == 0) { /* else c-ares has it */
        lh_list_remove(&question->node);
        lh_free(question);
    }
    run_tick(resolver);
}

/* -- Sockets ------------------------------------------------------------------------------------------------------- */

static channel_socket *find_socket(const lh_resolver *resolver, int fd) {
    for (lh_list *node = resolver->sockets.next; node != &resolver->sockets; node = node->next) {
        channel_socket *s = LH_CONTAINER(node, channel_socket, node);
        if (s->watch.fd == fd) return s;
    }
    return NULL;
}

/* c-ares has been told of all messages, unless it reads a stream in pieces and is in the midst of a digest. */
static void drop_messages(lh_resolver *resolver) {
    for (lh_list *node = resolver->sockets.next; node != &resolver->sockets; node = node->next) {
        const channel_socket *s = LH_CONTAINER(node, channel_socket, node);
        if (s->digest_at < s->digest_length) return;
    }
    for (lh_list *node; (node = lh_list_take_first(&resolver->messages));) lh_free(LH_CONTAINER(node, message, node));
}

static void on_ready(lh_watch *watch, unsigned events) {
    channel_socket *s = LH_CONTAINER(watch, channel_socket, watch);
    lh_resolver *resolver = s->resolver;
    const int fd = watch->fd;
    const bool is_again = events == 0;
    const ares_socket_t reads = is_again || events & (LH_POLL_IN | LH_POLL_HANGUP) ? fd : ARES_SOCKET_BAD;
    const ares_socket_t writes = s->wants_write && (is_again || events & LH_POLL_OUT) ? fd : ARES_SOCKET_BAD;
    s->is_drained = true;
    ares_process_fd(resolver->channel, reads, writes);
    drop_messages(resolver);
    s = find_socket(resolver, fd); /* it may be closed, and even opened anew */
    if (s && !s->is_drained) lh_loop_again(&resolver->net->loop, &s->watch);
    send_queued(resolver);
}

static void drop_socket(channel_socket *s) {
    lh_poll_remove(&s->resolver->net->loop.poll, &s->watch);
    lh_list_remove(&s->watch.again_node);
    lh_list_remove(&s->node);
    lh_buffer_reset(&s->received);
    lh_free(s);
}

static channel_socket *add_socket(lh_resolver *resolver, int fd) {
    assert(!find_socket(resolver, fd));
    channel_socket *s = lh_alloc(sizeof(*s));
    s->resolver = resolver;
    lh_watch_init(&s->watch, fd, on_ready);
    lh_list_init(&s->node);
    lh_list_append(&resolver->sockets, &s->node);
    int type = 0;
    socklen_t size = sizeof(type);
    s->is_stream = getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
    if (lh_poll_add(&resolver->net->loop.poll, &s->watch) < 0) { /* the tick goes on without: it times out */
        drop_socket(s);
        return NULL;
    }
    return s;
}

/* What c-ares wants of a socket now; nothing at all: it closes it. */
static void on_socket_state(void *argument, ares_socket_t fd, int reads, int writes) {
    lh_resolver *resolver = argument;
    channel_socket *s = find_socket(resolver, fd);
    if (!reads && !writes) {
        if (s) drop_socket(s);
        return;
    }
    if (!s) s = add_socket(resolver, fd);
    if (!s) return;
    if (writes && !s->wants_write) lh_loop_again(&resolver->net->loop, &s->watch); /* its edge may be past */
    s->wants_write = writes != 0;
}

static ares_socket_t open_socket(int family, int type, int protocol, void *argument) {
    lh_resolver *resolver = argument;
    const int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
    resolver->socket_error = fd < 0 ? errno : 0;
    if (fd >= 0 && type == SOCK_DGRAM) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &(int){RECEIVE_BYTES}, sizeof(int));
    return lh_descriptor_claim(fd);
}

static int close_socket(ares_socket_t fd, void *argument) {
    (void)argument;
    lh_descriptor_close(fd);
    return 0;
}

static int connect_socket(ares_socket_t fd, const struct sockaddr *to, ares_socklen_t size, void *argument) {
    (void)argument;
    return connect(fd, to, size);
}

/* Keeps the message and makes its digest; returns the digest's length, 0 = it is no answer. */
static size_t make_digest(lh_resolver *resolver, const char *bytes, size_t length, char digest[DIGEST_MAX]) {
    const size_t end = lh_dns_question_end(bytes, length);
    if (end == 0) return 0;
    message *m = lh_try_alloc(sizeof(*m) + length);
    if (!m) return 0; /* as if it had been lost on its way */
    m->number = ++resolver->message_number;
    m->length = length;
    memcpy(m->bytes, bytes, length);
    lh_list_init(&m->node);
    lh_list_append(&resolver->messages, &m->node);

    const unsigned code = lh_dns_code(bytes);
    const bool is_refusal = explain_code(code) && code != LH_DNS_NO_SUCH_NAME;
    const unsigned char flags = (unsigned char)(IS_ANSWER | (bytes[2] & IS_TRUNCATED));
    const unsigned char changed[] = {flags, (unsigned char)(is_refusal ? code : CODE_OTHER), 0, 1, 0, 1, 0, 0, 0, 0};
    const unsigned char mark[MARK_BYTES] = {0, TYPE_PRIVATE >> 8, 0, CLASS_IN >> 8, CLASS_IN, 0, 0, 0, 0,
                                            0, NUMBER_BYTES};
    memcpy(digest, bytes, end);
    memcpy(digest + ID_BYTES, changed, sizeof(changed));
    memcpy(digest + end, mark, sizeof(mark));
    for (int i = 1; i <= NUMBER_BYTES; i++) {
        digest[end + MARK_BYTES - (size_t)i] = (char)(m->number >> (CHAR_BIT * (i - 1)));
    }
    return end + MARK_BYTES;
}

/* The digest of the next datagram that is an answer; others are dropped. */
static ares_ssize_t receive_datagram(channel_socket *s, void *to, size_t room, int flags, struct sockaddr *from,
                                     ares_socklen_t *size) {
    lh_net *net = s->resolver->net;
    const ares_socklen_t from_size = size ? *size : 0;
    for (int i = 0; i < DATAGRAMS_MAX && lh_net_claim_scratch(net) == 0; i++) {
        if (size) *size = from_size;
        ssize_t count;
        do count = recvfrom(s->watch.fd, net->scratch, LH_NET_SCRATCH_BYTES, flags, from, size);
        while (count < 0 && errno == EINTR);
        if (count < 0) return count;
        char digest[DIGEST_MAX];
        const size_t length = make_digest(s->resolver, net->scratch, (size_t)count, digest);
        if (length == 0 || length > room) continue;
        memcpy(to, digest, length);
        s->is_drained = false;
        return (ares_ssize_t)length;
    }
    s->is_drained = false;
    errno = EAGAIN;
    return -1;
}

/* Makes the digest of the next message of the stream, if it is whole; what is no answer is dropped. */
static bool digest_received(channel_socket *s) {
    while (s->received.length >= PREFIX_BYTES) {
        const unsigned char *bytes = (const unsigned char *)lh_buffer_bytes(&s->received);
        const size_t length = (size_t)bytes[0] << 8 | bytes[1];
        if (s->received.length < PREFIX_BYTES + length) return false;
        const char *start = (const char *)bytes + PREFIX_BYTES;
        const size_t count = make_digest(s->resolver, start, length, s->digest + PREFIX_BYTES);
        lh_buffer_consume(&s->received, PREFIX_BYTES + length);
        if (count == 0) continue;
        s->digest[0] = (char)(count >> 8);
        s->digest[1] = (char)count;
        s->digest_at = 0;
        s->digest_length = PREFIX_BYTES + count;
        return true;
    }
    lh_buffer_relax(&s->received);
    return false;
}

/* The same for a stream, where c-ares reads what it likes of a digest and its length. */
static ares_ssize_t receive_stream(channel_socket *s, void *to, size_t room, int flags) {
    lh_net *net = s->resolver->net;
    while (s->digest_at == s->digest_length && !digest_received(s)) {
        if (lh_net_claim_scratch(net) < 0) break;
        const ssize_t count = recv(s->watch.fd, net->scratch, LH_NET_SCRATCH_BYTES, flags);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return count;
        if (lh_buffer_append(&s->received, net->scratch, (size_t)count) < 0) {
            errno = ENOMEM; /* a gap in the stream: c-ares closes it */
            return -1;
        }
    }
    s->is_drained = false;
    const size_t rest = s->digest_length - s->digest_at, count = rest < room ? rest : room;
    if (count == 0) {
        errno = EAGAIN;
        return -1;
    }
    memcpy(to, s->digest + s->digest_at, count);
    s->digest_at += count;
    return (ares_ssize_t)count;
}

static ares_ssize_t receive(ares_socket_t fd, void *to, size_t room, int flags, struct sockaddr *from,
                            ares_socklen_t *size, void *resolver) {
    channel_socket *s = find_socket(resolver, fd);
    if (!s) {
        errno = EAGAIN; /* nobody watches it */
        return -1;
    }
    return s->is_stream ? receive_stream(s, to, room, flags) : receive_datagram(s, to, room, flags, from, size);
}

static ares_ssize_t send_pieces(ares_socket_t fd, const struct iovec *pieces, int count, void *argument) {
    (void)argument;
    ssize_t sent;
    do sent = writev(fd, pieces, count); /* SIGPIPE is ignored */
    while (sent < 0 && errno == EINTR);
    return sent;
}

static const struct ares_socket_functions socket_functions = {.asocket = open_socket,
                                                              .aclose = close_socket,
                                                              .aconnect = connect_socket,
                                                              .arecvfrom = receive,
                                                              .asendv = send_pieces};

/* -- Resolvers ----------------------------------------------------------------------------------------------------- */

/* "ip", "ip:port", "[ip]:port" */
static bool parse_server(const char *text, struct ares_addr_port_node *server) {
    char host[INET6_ADDRSTRLEN];
    const char *end = text + strlen(text), *colon = strrchr(text, ':'), *port = NULL;
    if (text[0] == '[') {
        const char *bracket = strchr(text, ']');
        if (!bracket || (bracket[1] != 0 && bracket[1] != ':')) return false;
        port = bracket[1] ? bracket + 2 : NULL;
        end = bracket;
        text++;
    } else if (colon && strchr(text, ':') == colon) {
        port = colon + 1;
        end = colon;
    }
    if ((size_t)(end - text) >= sizeof(host)) return false;
    memcpy(host, text, (size_t)(end - text));
    host[end - text] = 0;
    *server = (struct ares_addr_port_node){.udp_port = PORT_DNS, .tcp_port = PORT_DNS};
    if (port) {
        char *rest;
        const long number = strtol(port, &rest, 10);
        if (*rest || rest == port || number < 1 || number > UINT16_MAX) return false;
        server->udp_port = server->tcp_port = (int)number;
    }
    server->family = AF_INET;
    if (inet_pton(AF_INET, host, &server->addr.addr4) == 1) return true;
    server->family = AF_INET6;
    return inet_pton(AF_INET6, host, &server->addr.addr6) == 1;
}

static pthread_once_t library_once = PTHREAD_ONCE_INIT;
static void open_library(void) { ares_library_init(ARES_LIB_INIT_ALL); }

/* `timeout:` and `attempts:` of resolv.conf and RES_OPTIONS, which c-ares calls otherwise. */
static void get_patience(struct ares_options *options) {
    struct __res_state system = {0};
    if (res_ninit(&system) != 0) return;
    options->timeout = system.retrans * 1000;
    options->tries = system.retry;
    res_nclose(&system);
}

static bool open_channel(lh_resolver *resolver) {
    /* A server's failure is the answer if there is nobody else to ask. */
    struct ares_options options = {.flags = ARES_FLAG_EDNS | (resolver->nameserver ? ARES_FLAG_NOCHECKRESP : 0),
                                   .ednspsz = EDNS_BYTES,
                                   .timeout = 5000,
                                   .tries = 2,
                                   .sock_state_cb = on_socket_state,
                                   .sock_state_cb_data = resolver};
    get_patience(&options);
    int mask = ARES_OPT_FLAGS | ARES_OPT_EDNSPSZ | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;
#ifdef ARES_OPT_MAXTIMEOUTMS /* else no attempt waits for more than 5 seconds */
    options.maxtimeout = INT_MAX;
    mask |= ARES_OPT_MAXTIMEOUTMS;
#endif
#ifdef ARES_OPT_QUERY_CACHE /* on, unless it is told how long to keep: not at all */
    options.qcache_max_ttl = 0;
    mask |= ARES_OPT_QUERY_CACHE;
#endif
    pthread_once(&library_once, open_library);
    if (ares_init_options(&resolver->channel, &options, mask) != ARES_SUCCESS) return false;
    ares_set_socket_functions(resolver->channel, &socket_functions, resolver);
    struct ares_addr_port_node server;
    return !resolver->nameserver || (parse_server(resolver->nameserver, &server) &&
                                     ares_set_servers_ports(resolver->channel, &server) == ARES_SUCCESS);
}

static void close_resolver(lh_resolver *resolver) {
    if (resolver->channel) ares_destroy(resolver->channel);
    lh_timer_stop(&resolver->net->loop.timers, &resolver->tick);
    for (lh_list *node; (node = lh_list_take_first(&resolver->queued));) lh_free(LH_CONTAINER(node, lh_question, node));
    for (lh_list *node; (node = lh_list_take_first(&resolver->failed));) lh_free(LH_CONTAINER(node, lh_question, node));
    drop_messages(resolver);
    lh_list_remove(&resolver->node);
    lh_free(resolver->nameserver);
    lh_free(resolver);
}

/* c-ares takes a file that it cannot open for none. Without descriptors that holds for this time only: no file is like
 * this one. */
static void note_configuration(struct stat *configuration) {
    const int fd = open(CONFIGURATION, O_RDONLY | O_CLOEXEC);
    *configuration = (struct stat){.st_size = fd < 0 && errno != ENOENT ? -1 : 0};
    if (fd < 0) return;
    fstat(fd, configuration);
    close(fd);
}

static lh_resolver *new_resolver(lh_net *net, const char *nameserver) {
    lh_resolver *resolver = lh_alloc(sizeof(*resolver));
    resolver->net = net;
    if (nameserver) resolver->nameserver = lh_alloc_copy(nameserver, strlen(nameserver));
    if (!nameserver) note_configuration(&resolver->configuration);
    lh_list_init(&resolver->sockets);
    lh_list_init(&resolver->queued);
    lh_list_init(&resolver->fresh);
    lh_list_init(&resolver->old);
    lh_list_init(&resolver->failed);
    lh_list_init(&resolver->messages);
    lh_timer_init(&resolver->tick, on_tick);
    lh_list_init(&resolver->node);
    if (open_channel(resolver)) {
        lh_list_append(&net->resolvers, &resolver->node);
        return resolver;
    }
    close_resolver(resolver);
    return NULL;
}

static bool is_current(const lh_resolver *resolver) {
    struct stat now = {0};
    const struct stat *then = &resolver->configuration;
    if (resolver->nameserver || stat(CONFIGURATION, &now) < 0) return true;
    return now.st_ino == then->st_ino && now.st_size == then->st_size && now.st_mtim.tv_sec == then->st_mtim.tv_sec &&
           now.st_mtim.tv_nsec == then->st_mtim.tv_nsec;
}

/* The system's configuration has changed since, or could not be read then: asks by what it says now. False: there is
 * somebody who waits, or no other channel to be had. */
static bool renew(lh_resolver *resolver) {
    if (resolver->wanted_count > 0) return false;
    const ares_channel old = resolver->channel;
    struct stat configuration;
    note_configuration(&configuration);
    if (!open_channel(resolver)) {
        resolver->channel = old;
        return false;
    }
    ares_destroy(old);
    resolver->configuration = configuration;
    return true;
}

static bool is_for(const lh_resolver *resolver, const char *nameserver) {
    if (!nameserver || !resolver->nameserver) return nameserver == resolver->nameserver;
    return strcmp(resolver->nameserver, nameserver) == 0;
}

lh_resolver *lh_resolver_get(lh_net *net, const char *nameserver) {
    for (lh_list *node = net->resolvers.next; node != &net->resolvers; node = node->next) {
        lh_resolver *resolver = LH_CONTAINER(node, lh_resolver, node);
        if (is_for(resolver, nameserver) && (is_current(resolver) || renew(resolver))) return resolver;
    }
    return new_resolver(net, nameserver);
}

const char *lh_resolver_nameserver(const lh_resolver *resolver) { return resolver->nameserver; }

/* Who waited is gone with the Lua state by now. */
static void forget_all(lh_list *questions) {
    for (lh_list *node = questions->next; node != questions; node = node->next) {
        LH_CONTAINER(node, lh_question, node)->on_answer = NULL;
    }
}

void lh_resolvers_close(lh_net *net) {
    while (!lh_list_is_empty(&net->resolvers)) {
        lh_resolver *resolver = LH_CONTAINER(net->resolvers.next, lh_resolver, node);
        forget_all(&resolver->fresh);
        forget_all(&resolver->old);
        close_resolver(resolver);
    }
}
