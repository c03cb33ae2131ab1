#include "host/service.h"

#include <assert.h>
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "host/heartbeat.h"
#include "base/thread.h"
#include "host/log.h"

enum { THREAD_STACK_BYTES = 64 * 1024 };
#define LOOK_INTERVAL (LH_SECOND / 20) /* until it is ready */

static int (*notify)(int unset_environment, const char *state);
static int (*watchdog_enabled)(int unset_environment, uint64_t *usec);

bool lh_service_open(void) {
    if (!getenv("NOTIFY_SOCKET")) return false;
    void *library = dlopen("libsystemd.so.0", RTLD_NOW | RTLD_LOCAL);
    if (library) {
        *(void **)&notify = dlsym(library, "sd_notify");
        *(void **)&watchdog_enabled = dlsym(library, "sd_watchdog_enabled");
    }
    if (notify && watchdog_enabled) return true;
    lh_log_print("error", "lhotse: NOTIFY_SOCKET is set, but libsystemd cannot be loaded: %s\n", dlerror());
    notify = NULL;
    return false;
}

void lh_service_notify(const char *state) {
    if (notify) notify(0, state);
}

lh_ns lh_service_watchdog(void) {
    assert(!notify || watchdog_enabled);
    uint64_t usec = 0;
    if (!notify || watchdog_enabled(0, &usec) <= 0) return LH_NEVER;
    return usec * 1000;
}

static void *tell(void *argument) {
    const lh_heartbeats *heartbeats = argument;
    const lh_ns watchdog = lh_service_watchdog();
    while (atomic_load(&heartbeats->ready_count) < atomic_load(&heartbeats->thread_count))
        lh_clock_sleep(LOOK_INTERVAL);
    lh_service_notify("READY=1");
    if (watchdog == LH_NEVER) return NULL;
    for (;;) {
        if (lh_heartbeats_late(heartbeats, lh_clock_now()) < 0) lh_service_notify("WATCHDOG=1");
        lh_clock_sleep(watchdog / 3);
    }
}

void lh_service_start(int thread_count) {
    if (lh_heartbeats_here || !lh_service_open()) return;
    lh_heartbeats *heartbeats = lh_heartbeats_new(NULL);
    if (!heartbeats) return;
    heartbeats->timeout = lh_service_watchdog();
    atomic_store(&heartbeats->thread_count, thread_count);
    lh_heartbeats_here = heartbeats;
    if (lh_thread_start("service", tell, heartbeats, THREAD_STACK_BYTES) < 0) {
        lh_log_print("error", "lhotse: cannot create the thread that answers systemd\n");
    }
}
