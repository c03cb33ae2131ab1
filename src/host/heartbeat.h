/* How somebody outside sees that event loops turn: a slot in shared memory for each.
 *
 * A loop stores the instant of its clock reading once a turn, and before it sleeps the instant at which it will wake,
 * so that an idle loop needs no turn to be alive. A loop is late when `timeout` has passed since what its slot says.
 * Who looks is another process (host/monitor.h) or another thread (host/service.h).
 *
 * Owner: lh_heartbeats_new, for the life of the process.
 * Thread: any; the fields are atomic.
 * Errors: NULL, with errno. */
#pragma once
#include <signal.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "base/clock.h"

enum { LH_HEARTBEATS = 256 };

/* What a thread is asked for by LH_TRACE_SIGNAL (runtime/trace.h answers). */
typedef enum lh_trace_wanted {
    LH_TRACE_NOTHING,
    LH_TRACE_SOON,
    LH_TRACE_NOW,
    LH_TRACE_OTHER,     /* of a loop that turns, at once: for what its coroutines wait */
    LH_TRACE_INTERRUPT, /* no trace: the next Lua instruction raises "interrupted!" */
} lh_trace_wanted;

#define LH_TRACE_SIGNAL (SIGRTMIN + 5)

typedef struct lh_heartbeat {
    _Alignas(64) _Atomic lh_ns beat; /* LH_NEVER: nothing is expected */
    atomic_int thread_id;            /* the kernel's */
} lh_heartbeat;

typedef struct lh_heartbeats {
    pid_t monitor; /* the process that looks; 0 = this one */
    lh_ns timeout;
    atomic_int ready_count; /* loops whose script has begun */
    atomic_int thread_count;
    atomic_int trace_wanted; /* lh_trace_wanted */
    atomic_int trace_done;
    lh_heartbeat of[LH_HEARTBEATS];
} lh_heartbeats;

/* All slots expect nothing. With `fd` in memory that another process can map, else in memory of our own. */
lh_heartbeats *lh_heartbeats_new(int *fd);

/* Those of another process. */
lh_heartbeats *lh_heartbeats_map(int fd);

/* The slot of a loop that is late, -1 = none. */
int lh_heartbeats_late(const lh_heartbeats *heartbeats, lh_ns now);

/* Those that the loops of this process beat in, NULL = nobody looks. Set before other threads exist. */
extern lh_heartbeats *lh_heartbeats_here;
