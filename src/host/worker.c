#include "host/worker.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/descriptors.h"
#include "host/heartbeat.h"

void lh_worker_follow_monitor(void) {
    if (!lh_heartbeats_here || !lh_heartbeats_here->monitor) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != lh_heartbeats_here->monitor) _exit(1); /* it ended before */
}

int lh_worker_attach(void) {
    int heartbeats, trace;
    const char *value = getenv(LH_WORKER_VARIABLE);
    if (!value) return -1;
    if (sscanf(value, "%d,%d", &heartbeats, &trace) != 2) return -1;
    unsetenv(LH_WORKER_VARIABLE);
    lh_heartbeats_here = lh_heartbeats_map(heartbeats);
    close(heartbeats);
    if (!lh_heartbeats_here || fcntl(trace, F_SETFD, FD_CLOEXEC) < 0) {
        fprintf(stderr, "lhotse: the variable " LH_WORKER_VARIABLE " is for monitors only\n");
        _exit(1);
    }
    lh_worker_follow_monitor();
    return lh_descriptor_claim(trace);
}
