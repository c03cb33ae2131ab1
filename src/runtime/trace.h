/* What a program tells of itself when it crashes, and a managed worker also when it hangs: what all coroutines of the
 * thread do, then the C functions. What is queued in logs is written first. A worker writes to a file in memory that it
 * has in common with its monitor, so that it needs no right to write anywhere; other programs to stderr.
 *
 * Of a hang: the monitor sends LH_TRACE_SIGNAL to the thread of the loop that is late. First it asks for a trace at the
 * next Lua instruction (LH_TRACE_SOON), which has every coroutine's traceback as an error would show it. Where no Lua
 * instruction comes, in a blocking C call or in a compiled loop, it asks for one at once (LH_TRACE_NOW), read from the
 * signal handler: then the line in the running function may be one behind. Behind either, the C functions. The other
 * loops are asked last.
 *
 * Owner: static, one per process.
 * Thread: the handlers run in the thread that is signalled.
 * Errors: what cannot be read is left out. */
#pragma once
#include "host/heartbeat.h"

/* Installs the handlers of the signals that a crash raises; with lh_heartbeats_here that of LH_TRACE_SIGNAL, too. */
void lh_trace_open(int fd);

/* Writes what this thread does, as far as it can be read, from a signal handler. */
void lh_trace_write(int fd, const char *what);

/* For each loop thread: crashes of a full stack have another to be told on. */
void lh_trace_open_thread(void);
void lh_trace_close_thread(void);
