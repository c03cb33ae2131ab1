/* Two levels: pages are made when their first descriptor is claimed and stay. The sockets of ten thousand connections
 * touch three pages; a claim is one store. It stores the claim's owner, where one is given, so that a claim whose
 * descriptor is gone is not mistaken for the claim of the number's present holder. */
#include "base/descriptors.h"

#include <stdatomic.h>
#include <stddef.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/alloc.h"

enum { PAGE_SIZE = 4096, PAGES_MAX = 1024 * 1024 / PAGE_SIZE * 16 }; /* 16 Mi, fs.nr_open's usual ceiling is 1 Mi */

typedef struct page {
    _Atomic(const void *) owners[PAGE_SIZE]; /* NULL = it is not claimed */
} page;

static _Atomic(page *) pages[PAGES_MAX];
static const char somebody;

static page *make_page(int index) {
    page *made = lh_alloc(sizeof(*made)), *there = NULL;
    if (atomic_compare_exchange_strong(&pages[index], &there, made)) return made;
    lh_free(made);
    return there;
}

static page *find_page(int fd) {
    const int index = fd / PAGE_SIZE;
    return fd >= 0 && index < PAGES_MAX ? atomic_load_explicit(&pages[index], memory_order_acquire) : NULL;
}

static void mark(int fd, const void *owner) {
    if (fd < 0 || fd / PAGE_SIZE >= PAGES_MAX) return;
    page *p = find_page(fd);
    if (!p) p = make_page(fd / PAGE_SIZE);
    atomic_store_explicit(&p->owners[fd % PAGE_SIZE], owner, memory_order_relaxed);
}

/* An open file takes the lowest number that is free. Where there is no /dev/null, a directory takes the place. */
void lh_descriptors_open_standard(void) {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0) continue;
        if (open("/dev/null", O_RDWR) < 0 && open("/", O_RDONLY) < 0) return;
    }
}

int lh_descriptor_claim(int fd) { return lh_descriptor_claim_for(fd, &somebody); }

int lh_descriptor_claim_for(int fd, const void *owner) {
    mark(fd, owner);
    return fd;
}

void lh_descriptor_forget(int fd, const void *owner) {
    page *p = find_page(fd);
    if (p) atomic_compare_exchange_strong(&p->owners[fd % PAGE_SIZE], &owner, NULL);
}

void lh_descriptor_close(int fd) {
    if (fd < 0) return;
    mark(fd, NULL); /* before: afterwards the number may be another thread's */
    close(fd);
}

bool lh_descriptor_is_claimed(int fd) {
    page *p = find_page(fd);
    return p && atomic_load_explicit(&p->owners[fd % PAGE_SIZE], memory_order_relaxed);
}
