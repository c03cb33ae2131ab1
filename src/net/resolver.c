/* c-ares tells which of its sockets want what; each is watched by our poll, which reports edges. It reads datagrams
 * until there are none; of a TCP connection it reads a piece at a time, so that watch is served again until the kernel
 * has nothing (has_more). Its timeouts have a resolution of a second and are looked at by a tick, while questions are
 * on their way: asking it for the next one would walk all of them. */
#include "net/resolver.h"

#define CARES_NO_DEPRECATED /* 1.34 has newer forms of what 1.18 has; the older ones exist in both */
#include <ares.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
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
#include "base/descriptors.h"

enum { FRESH_MAX = 250, EDNS_BYTES = 1232, PORT_DNS = 53 };

static const lh_ns TICK = 100 * LH_MILLISECOND, FRESH_TIME = 200 * LH_MILLISECOND;
static const char CONFIGURATION[] = "/etc/resolv.conf";

/* A socket of c-ares. */
typedef struct channel_socket {
    lh_watch watch;
    lh_list node; /* in lh_resolver.sockets */
    lh_resolver *resolver;
    bool is_stream;
    bool wants_write;
} channel_socket;

struct lh_resolver {
    lh_list node; /* in lh_net.resolvers */
    lh_net *net;
    ares_channel channel;
    char *nameserver;           /* NULL = the system's */
    struct stat configuration;  /* of the system's, when it was read */
    lh_list sockets;            /* channel_socket */
    lh_list queued, fresh, old; /* questions: not sent yet; sent; sent a while ago ... */
    lh_list failed;             /* ... and could not be sent, which nobody knows yet */
    size_t fresh_count;
    size_t wanted_count; /* questions that somebody waits for */
    int socket_error;    /* why it has no socket, errno; 0 = it has */
    lh_timer tick;
};

/* -- Questions ----------------------------------------------------------------------------------------------------- */

static const char *explain(int status) {
    switch (status) {
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
        question->resolver->wanted_count--;
        question->on_answer(question, bytes, length, error);
    }
    lh_free(question);
}

static void leave_fresh(lh_question *question) {
    if (!question->is_fresh) return;
    question->is_fresh = false;
    question->resolver->fresh_count--;
}

/* c-ares has an answer, or none. With NXDOMAIN and the like the message comes along. */
static void on_done(void *argument, int status, int timeouts, unsigned char *bytes, int length) {
    (void)timeouts;
    lh_question *question = argument;
    lh_resolver *resolver = question->resolver;
    leave_fresh(question);
    const char *error = bytes && status == ARES_SUCCESS ? NULL : explain(status);
    if (status == ARES_ECONNREFUSED && resolver->socket_error) error = strerrordesc_np(resolver->socket_error);
    if (question->is_sending) { /* nobody waits for it yet: the next tick tells */
        question->error = error ? error : "no answer";
        lh_list_remove(&question->node);
        lh_list_append(&resolver->failed, &question->node);
        return;
    }
    end(question, error ? NULL : (const char *)bytes, error ? 0 : (size_t)length, error);
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
    lh_list_remove(&question->node);
    lh_list_append(&resolver->fresh, &question->node);
    question->sent_ns = resolver->net->loop.now;
    question->is_fresh = true;
    resolver->fresh_count++;
    question->is_sending = true;
    ares_query(resolver->channel, question->name, (int)question->class_number, (int)question->type, on_done, question);
    /* It is alive: an answer within ares_query has put it into `failed`. */
    question->is_sending = false;
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
    const size_t size = strlen(name) + 1;
    lh_question *question = lh_alloc(sizeof(*question) + size);
    memcpy(question->name, name, size);
    question->resolver = resolver;
    question->on_answer = on_answer;
    question->owner = owner;
    question->class_number = class_number;
    question->type = type;
    resolver->wanted_count++;
    lh_list_init(&question->node);
    lh_list_append(&resolver->queued, &question->node);
    send_queued(resolver);
    return question;
}

void lh_resolver_forget(lh_question *question) {
    lh_resolver *resolver = question->resolver;
    question->on_answer = NULL;
    resolver->wanted_count--;
    if (question->sent_ns == 0) { /* else c-ares has it */
        lh_list_remove(&question->node);
        lh_free(question);
    }
    run_tick(resolver);
}

/* -- Sockets ------------------------------------------------------------------------------------------------------- */

static bool has_more(int fd) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1 && p.revents != 0;
}

static channel_socket *find_socket(const lh_resolver *resolver, int fd) {
    for (lh_list *node = resolver->sockets.next; node != &resolver->sockets; node = node->next) {
        channel_socket *s = LH_CONTAINER(node, channel_socket, node);
        if (s->watch.fd == fd) return s;
    }
    return NULL;
}

static void on_ready(lh_watch *watch, unsigned events) {
    channel_socket *s = LH_CONTAINER(watch, channel_socket, watch);
    lh_resolver *resolver = s->resolver;
    const int fd = watch->fd;
    const bool is_again = events == 0;
    const ares_socket_t reads = is_again || events & (LH_POLL_IN | LH_POLL_HANGUP) ? fd : ARES_SOCKET_BAD;
    const ares_socket_t writes = s->wants_write && (is_again || events & LH_POLL_OUT) ? fd : ARES_SOCKET_BAD;
    ares_process_fd(resolver->channel, reads, writes);
    s = find_socket(resolver, fd); /* it may be closed, and even opened anew */
    if (s && s->is_stream && has_more(fd)) lh_loop_again(&resolver->net->loop, &s->watch);
    send_queued(resolver);
}

static void drop_socket(channel_socket *s) {
    lh_poll_remove(&s->resolver->net->loop.poll, &s->watch);
    lh_list_remove(&s->watch.again_node);
    lh_list_remove(&s->node);
    lh_free(s);
}

static channel_socket *add_socket(lh_resolver *resolver, int fd) {
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

static ares_ssize_t receive(ares_socket_t fd, void *to, size_t room, int flags, struct sockaddr *from,
                            ares_socklen_t *size, void *argument) {
    (void)argument;
    return recvfrom(fd, to, room, flags, from, size);
}

static ares_ssize_t send_pieces(ares_socket_t fd, const struct iovec *pieces, int count, void *argument) {
    (void)argument;
    return writev(fd, pieces, count); /* SIGPIPE is ignored */
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
    pthread_once(&library_once, open_library);
    if (ares_init_options(&resolver->channel, &options,
                          ARES_OPT_FLAGS | ARES_OPT_EDNSPSZ | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
                              ARES_OPT_SOCK_STATE_CB) != ARES_SUCCESS) {
        return false;
    }
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

static bool is_for(const lh_resolver *resolver, const char *nameserver) {
    if (!nameserver || !resolver->nameserver) return nameserver == resolver->nameserver;
    return strcmp(resolver->nameserver, nameserver) == 0;
}

lh_resolver *lh_resolver_get(lh_net *net, const char *nameserver) {
    for (lh_list *node = net->resolvers.next; node != &net->resolvers; node = node->next) {
        lh_resolver *resolver = LH_CONTAINER(node, lh_resolver, node);
        if (is_for(resolver, nameserver) && is_current(resolver)) return resolver;
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
