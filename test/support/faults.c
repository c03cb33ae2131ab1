/* Preloaded: makes system calls fail now and then, as they may at any time: short reads and writes, EINTR, EAGAIN, no
 * descriptors, no memory, no space, a broken disk.
 *
 *     LD_PRELOAD=libfaults.so LHOTSE_FAULTS=SEED:ONE_IN[:KIND,KIND...] lhotse ...
 *
 * One call in ONE_IN of each kind fails; kinds are short, eintr, eagain, emfile, enobufs, enomem, enospc, eio; default
 * all. Descriptors are those of sockets, pipes and files; the program's loader, its libraries and standard error are
 * left alone: faults begin when the program has made its first epoll descriptor.
 *
 * A kernel tells a change of readiness once (EPOLLET). Whoever gets a short read or EAGAIN that the kernel knows
 * nothing of would wait for ever: so the descriptor is armed again, which has the kernel tell once more. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { SHORT, INTERRUPTED, AGAIN, NO_DESCRIPTOR, NO_BUFFERS, NO_MEMORY, NO_SPACE, BROKEN, KINDS };
static const char *const kind_names[KINDS] = {"short",   "eintr",  "eagain", "emfile",
                                              "enobufs", "enomem", "enospc", "eio"};

enum { DESCRIPTORS = 65536 };

static atomic_bool has_begun;
static bool is_on[KINDS];
static unsigned long one_in;
static _Atomic unsigned long turn;
static unsigned long seed;

/* What a descriptor is watched for. */
static struct {
    _Atomic int poll; /* the epoll descriptor + 1, 0 = none */
    struct epoll_event event;
} watched[DESCRIPTORS];

#define REAL(name)                                                                                                     \
    static __typeof__(&name) real;                                                                                     \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void read_environment(void) {
    const char *text = getenv("LHOTSE_FAULTS");
    char *rest;
    if (!text) return;
    seed = strtoul(text, &rest, 10);
    one_in = *rest == ':' ? strtoul(rest + 1, &rest, 10) : 0;
    for (int i = 0; i < KINDS; i++) is_on[i] = *rest != ':' || strstr(rest, kind_names[i]);
    unsetenv("LD_PRELOAD"); /* not for children */
}

static unsigned long mix(unsigned long x) {
    x += 0x9E3779B97F4A7C15UL;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9UL;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBUL;
    return x ^ (x >> 31);
}

static unsigned long draw(void) { return mix(seed ^ mix(atomic_fetch_add(&turn, 1))); }

static bool strikes(enum kind kind) {
    return atomic_load_explicit(&has_begun, memory_order_relaxed) && one_in && is_on[kind] && draw() % one_in == 0;
}

static bool fails(enum kind kind, int error) {
    if (!strikes(kind)) return false;
    errno = error;
    return true;
}

static void arm_again(int fd) {
    if (fd < 0 || fd >= DESCRIPTORS) return;
    const int poll = atomic_load(&watched[fd].poll);
    if (!poll) return;
    REAL(epoll_ctl);
    const int error = errno;
    real(poll - 1, EPOLL_CTL_MOD, fd, &watched[fd].event);
    errno = error;
}

static bool is_watched(int fd) { return fd >= 0 && fd < DESCRIPTORS && atomic_load(&watched[fd].poll); }

/* Watched descriptors do not block: they may say EAGAIN, and move less than asked for. */
static bool stops_transfer(int fd) {
    if (fd <= STDERR_FILENO) return false;
    if (fails(INTERRUPTED, EINTR)) return true;
    if (is_watched(fd) && fails(AGAIN, EAGAIN)) {
        arm_again(fd);
        return true;
    }
    return false;
}

static size_t shortened(int fd, size_t size) {
    if (fd <= STDERR_FILENO || size < 2 || !strikes(SHORT)) return size;
    arm_again(fd);
    return 1 + draw() % (size - 1);
}

/* -- Transfers ----------------------------------------------------------------------------------------------------- */

static bool is_file(int fd) {
    struct stat status;
    return fd > STDERR_FILENO && fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

ssize_t read(int fd, void *bytes, size_t size) {
    REAL(read);
    if (stops_transfer(fd)) return -1;
    if (is_on[BROKEN] && is_file(fd) && fails(BROKEN, EIO)) return -1;
    return real(fd, bytes, is_watched(fd) ? shortened(fd, size) : size);
}

ssize_t write(int fd, const void *bytes, size_t size) {
    REAL(write);
    if (size == sizeof(eventfd_t) && !is_watched(fd) && !is_file(fd)) return real(fd, bytes, size); /* an eventfd */
    if (stops_transfer(fd)) return -1;
    if (is_file(fd) && (fails(NO_SPACE, ENOSPC) || fails(BROKEN, EIO))) return -1;
    return real(fd, bytes, shortened(fd, size));
}

ssize_t recv(int fd, void *bytes, size_t size, int flags) {
    REAL(recv);
    if (stops_transfer(fd)) return -1;
    return real(fd, bytes, shortened(fd, size), flags);
}

ssize_t send(int fd, const void *bytes, size_t size, int flags) {
    REAL(send);
    if (stops_transfer(fd) || fails(NO_BUFFERS, ENOBUFS)) return -1;
    return real(fd, bytes, shortened(fd, size), flags);
}

ssize_t writev(int fd, const struct iovec *pieces, int count) {
    REAL(writev);
    if (stops_transfer(fd)) return -1;
    if (count > 1 && fd > STDERR_FILENO && strikes(SHORT)) {
        arm_again(fd);
        count = 1;
    }
    return real(fd, pieces, count);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    REAL(sendmsg);
    if (stops_transfer(fd)) return -1;
    return real(fd, message, flags);
}

/* -- Descriptors --------------------------------------------------------------------------------------------------- */

int socket(int domain, int type, int protocol) {
    REAL(socket);
    if (fails(NO_DESCRIPTOR, EMFILE) || fails(NO_BUFFERS, ENOBUFS) || fails(NO_MEMORY, ENOMEM)) return -1;
    return real(domain, type, protocol);
}

int accept4(int fd, struct sockaddr *restrict address, socklen_t *restrict length, int flags) {
    REAL(accept4);
    if (fails(INTERRUPTED, EINTR)) return -1;
    if (fails(NO_DESCRIPTOR, EMFILE) || fails(NO_MEMORY, ENOMEM)) {
        arm_again(fd);
        return -1;
    }
    return real(fd, address, length, flags);
}

int pipe2(int fds[2], int flags) {
    REAL(pipe2);
    if (fails(NO_DESCRIPTOR, EMFILE)) return -1;
    return real(fds, flags);
}

int socketpair(int domain, int type, int protocol, int fds[2]) {
    REAL(socketpair);
    if (fails(NO_DESCRIPTOR, EMFILE) || fails(NO_MEMORY, ENOMEM)) return -1;
    return real(domain, type, protocol, fds);
}

int open(const char *path, int flags, ...) {
    REAL(open);
    mode_t mode = 0;
    if (flags & (O_CREAT | O_TMPFILE)) {
        va_list arguments;
        va_start(arguments, flags);
        mode = va_arg(arguments, mode_t);
        va_end(arguments);
    }
    if (fails(INTERRUPTED, EINTR) || fails(NO_DESCRIPTOR, EMFILE)) return -1;
    if (flags & O_CREAT && fails(NO_SPACE, ENOSPC)) return -1;
    return real(path, flags, mode);
}

int close(int fd) {
    REAL(close);
    if (fd >= 0 && fd < DESCRIPTORS) atomic_store(&watched[fd].poll, 0);
    return real(fd);
}

/* -- Waiting ------------------------------------------------------------------------------------------------------- */

int epoll_ctl(int poll, int operation, int fd, struct epoll_event *event) {
    REAL(epoll_ctl);
    atomic_store(&has_begun, true);
    if (operation == EPOLL_CTL_ADD && fd > STDERR_FILENO && fails(NO_MEMORY, ENOMEM)) return -1;
    const int rv = real(poll, operation, fd, event);
    if (rv == 0 && fd >= 0 && fd < DESCRIPTORS) {
        if (operation != EPOLL_CTL_DEL) watched[fd].event = *event;
        atomic_store(&watched[fd].poll, operation == EPOLL_CTL_DEL ? 0 : poll + 1);
    }
    return rv;
}

int epoll_wait(int poll, struct epoll_event *events, int max, int timeout) {
    REAL(epoll_wait);
    if (fails(INTERRUPTED, EINTR)) return -1;
    return real(poll, events, max, timeout);
}

int epoll_pwait2(int poll, struct epoll_event *events, int max, const struct timespec *timeout, const sigset_t *mask) {
    REAL(epoll_pwait2);
    if (fails(INTERRUPTED, EINTR)) return -1;
    return real(poll, events, max, timeout, mask);
}
