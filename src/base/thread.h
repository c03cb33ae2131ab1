/* Helper threads: those that run no loop.
 *
 * They receive no signals, so that handlers run on loop threads only, and are never joined: they live until the process
 * ends or until their function returns.
 *
 * Owner: nothing. Thread: any. Errors: negative errno. */
#pragma once
#include <stddef.h>

/* Starts `run(argument)` on a detached thread. `name`: at most 15 bytes, as tools show it. 0 or -EAGAIN. */
int lh_thread_start(const char *name, void *(*run)(void *), void *argument, size_t stack_bytes)
    __attribute__((warn_unused_result));
