/* Counts a program's calls into the C library:  LD_PRELOAD=count_calls.so PROGRAM ...
 * On signal SIGRTMIN + 5 it prints the counts to the file that $COUNT_CALLS names and starts again from 0. Unlike
 * strace and ltrace it does not slow the program, which would change how many events a turn of the loop serves. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { READS, WRITES, WAITS, CTLS, MALLOCS, KINDS };
static const char *const names[KINDS] = {"reads", "writes", "epoll_waits", "epoll_ctls", "mallocs"};
static atomic_long counts[KINDS];
static char file[256]; /* kept from the start: nginx throws its environment away */

static void print_counts(int signal_number) {
    (void)signal_number;
    char line[256];
    int n = 0;
    for (int i = 0; i < KINDS; i++) {
        n += snprintf(line + n, sizeof(line) - (size_t)n, "%s %ld ", names[i], atomic_exchange(&counts[i], 0));
    }
    line[n - 1] = '\n';
    const int fd = open(file, O_WRONLY | O_CREAT | O_APPEND, 0666);
    if (write(fd, line, (size_t)n) != n) abort();
    close(fd);
}

__attribute__((constructor)) static void start(void) {
    const char *name = getenv("COUNT_CALLS");
    if (!name) return;
    snprintf(file, sizeof(file), "%s", name);
    signal(SIGRTMIN + 5, print_counts);
}

/* Stands in for a function of the C library. */
#define COUNT(kind, result, name, parameters, arguments)                                                               \
    result name parameters;                                                                                            \
    result name parameters {                                                                                           \
        static result(*real) parameters;                                                                               \
        if (!real) *(void **)&real = dlsym(RTLD_NEXT, #name);                                                          \
        atomic_fetch_add_explicit(&counts[kind], 1, memory_order_relaxed);                                             \
        return real arguments;                                                                                         \
    }

COUNT(READS, ssize_t, read, (int fd, void *p, size_t n), (fd, p, n))
COUNT(READS, ssize_t, readv, (int fd, const struct iovec *v, int n), (fd, v, n))
COUNT(READS, ssize_t, recv, (int fd, void *p, size_t n, int flags), (fd, p, n, flags))
COUNT(READS, ssize_t, recvmsg, (int fd, struct msghdr *m, int flags), (fd, m, flags))
COUNT(WRITES, ssize_t, write, (int fd, const void *p, size_t n), (fd, p, n))
COUNT(WRITES, ssize_t, writev, (int fd, const struct iovec *v, int n), (fd, v, n))
COUNT(WRITES, ssize_t, send, (int fd, const void *p, size_t n, int flags), (fd, p, n, flags))
COUNT(WRITES, ssize_t, sendmsg, (int fd, const struct msghdr *m, int flags), (fd, m, flags))
COUNT(WAITS, int, epoll_wait, (int fd, struct epoll_event *e, int n, int ms), (fd, e, n, ms))
COUNT(WAITS, int, epoll_pwait, (int fd, struct epoll_event *e, int n, int ms, const sigset_t *s), (fd, e, n, ms, s))
COUNT(WAITS, int, epoll_pwait2, (int fd, struct epoll_event *e, int n, const struct timespec *t, const sigset_t *s),
      (fd, e, n, t, s))
COUNT(CTLS, int, epoll_ctl, (int fd, int op, int other, struct epoll_event *e), (fd, op, other, e))
COUNT(MALLOCS, void *, realloc, (void *p, size_t n), (p, n))

/* dlsym itself allocates: these go to the C library under its other names. */
extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t count, size_t n);
extern void *__libc_memalign(size_t alignment, size_t n);

void *malloc(size_t n) {
    atomic_fetch_add_explicit(&counts[MALLOCS], 1, memory_order_relaxed);
    return __libc_malloc(n);
}

void *calloc(size_t count, size_t n) {
    atomic_fetch_add_explicit(&counts[MALLOCS], 1, memory_order_relaxed);
    return __libc_calloc(count, n);
}

void *aligned_alloc(size_t alignment, size_t n) {
    atomic_fetch_add_explicit(&counts[MALLOCS], 1, memory_order_relaxed);
    return __libc_memalign(alignment, n);
}

int posix_memalign(void **p, size_t alignment, size_t n) {
    atomic_fetch_add_explicit(&counts[MALLOCS], 1, memory_order_relaxed);
    *p = __libc_memalign(alignment, n);
    return *p ? 0 : ENOMEM;
}
