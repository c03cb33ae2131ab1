#include "host/heartbeat.h"

#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

lh_heartbeats *lh_heartbeats_here;

lh_heartbeats *lh_heartbeats_map(int fd) {
    const int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
    void *memory = mmap(NULL, sizeof(lh_heartbeats), PROT_READ | PROT_WRITE, flags, fd, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

lh_heartbeats *lh_heartbeats_new(int *fd) {
    int memory = -1;
    if (fd) {
        memory = memfd_create("heartbeats", MFD_CLOEXEC);
        if (memory < 0) return NULL;
        if (ftruncate(memory, sizeof(lh_heartbeats)) < 0) {
            close(memory);
            return NULL;
        }
        *fd = memory;
    }
    lh_heartbeats *heartbeats = lh_heartbeats_map(memory);
    if (!heartbeats) {
        if (memory >= 0) close(memory);
        return NULL;
    }
    for (int i = 0; i < LH_HEARTBEATS; i++) atomic_init(&heartbeats->of[i].beat, LH_NEVER);
    return heartbeats;
}

int lh_heartbeats_late(const lh_heartbeats *heartbeats, lh_ns now) {
    for (int i = 0; i < LH_HEARTBEATS; i++) {
        const lh_ns beat = atomic_load_explicit(&heartbeats->of[i].beat, memory_order_relaxed);
        if (beat != LH_NEVER && now > lh_clock_add(beat, heartbeats->timeout)) return i;
    }
    return -1;
}
