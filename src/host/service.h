/* A service of systemd: readiness and watchdog, by libsystemd (sd_notify(3), sd_watchdog_enabled(3)).
 *
 * The library is loaded when the environment says that somebody listens (NOTIFY_SOCKET), so that other programs do not
 * pay for it.
 *
 * Owner: static, one per process.
 * Thread: any, after lh_service_open.
 * Errors: said once, in the log. */
#pragma once
#include <stdbool.h>

#include "base/clock.h"

/* False when nobody listens. */
bool lh_service_open(void);

/* Tells, e.g. "READY=1". Does nothing when nobody listens. */
void lh_service_notify(const char *state);

/* Within what time WATCHDOG=1 is expected; LH_NEVER = not. */
lh_ns lh_service_watchdog(void);

/* For a program without a monitor, of so many loops: a thread tells that it is ready when all its loops have begun, and
 * that it lives as long as no loop is late by the watchdog's time. Before other threads exist. */
void lh_service_start(int thread_count);
