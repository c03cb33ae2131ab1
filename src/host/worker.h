/* The worker's side of managed mode: what a process does that a monitor (host/monitor.h) has started.
 *
 * Owner: nothing.
 * Thread: the first, before others exist.
 * Errors: a worker that cannot have what its monitor gave it ends. */
#pragma once
/* The variable of the environment in which a monitor names the descriptors of the heartbeats and of the trace. */
#define LH_WORKER_VARIABLE "LHOTSE_WORKER"

/* The descriptor that traces are written to (runtime/trace.h) when a monitor has started us: lh_heartbeats_here is set,
 * and we end when it does. -1: none has. */
int lh_worker_attach(void);

/* Has the kernel end us with our monitor, also after another user was become, which undoes it. */
void lh_worker_follow_monitor(void);
