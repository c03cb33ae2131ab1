/* Two levels: pages are made when their first descriptor is claimed and stay. The sockets of ten thousand connections
 * touch three pages; a claim is one store. */
#include "base/descriptors.h"

#include <stdatomic.h>
#include <stddef.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/alloc.h"

enum { PAGE_SIZE = 4096, PAGES_MAX = 1024 * 1024 / PAGE_SIZE * 16 }; /* 16 Mi, fs.nr_open's usual ceiling is 1 Mi */

typedef struct page {
    atomic_bool is_claimed[PAGE_SIZE];
} page;

static _Atomic(page *) pages[PAGES_MAX];

static page *make_page(int index) {
    page *made = lh_alloc(sizeof(*made)), *there = NULL;
    if (atomic_compare_exchange_strong(&pages[index], &there, made)) return made;
    lh_free(made);
    return there;
}

static void mark(int fd, bool is_claimed) {
    const int index = fd / PAGE_SIZE;
    if (fd < 0 || index >= PAGES_MAX) return;
    page *p = atomic_load_explicit(&pages[index], memory_order_acquire);
    if (!p) p = make_page(index);
    atomic_store_explicit(&p->is_claimed[fd % PAGE_SIZE], is_claimed, memory_order_relaxed);
}

/* An open file takes the lowest number that is free. Where there is no /dev/null, a directory takes the place. */
void lh_descriptors_open_standard(void) {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0) continue;
        if (open("/dev/null", O_RDWR) < 0 && open("/", O_RDONLY) < 0) return;
    }
}

int lh_descriptor_claim(int fd) {
    mark(fd, true);
    return fd;
}

void lh_descriptor_close(int fd) {
    if (fd < 0) return;
    mark(fd, false); /* before: afterwards the number may be another thread's */
    close(fd);
}

bool lh_descriptor_is_claimed(int fd) {
    const int index = fd / PAGE_SIZE;
    if (fd < 0 || index >= PAGES_MAX) return false;
    const page *p = atomic_load_explicit(&pages[index], memory_order_acquire);
    return p && atomic_load_explicit(&p->is_claimed[fd % PAGE_SIZE], memory_order_relaxed);
}
