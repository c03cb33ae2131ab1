/* Which thread an object belongs to, for assertions that no other one uses it.
 *
 * Owner: none. Thread: any. Errors: none. */
#pragma once

/* A thread's mark; another thread may have the same one once this thread has ended. */
typedef const void *lh_owner;

extern _Thread_local const char lh__owner_mark;

static inline lh_owner lh_owner_here(void) { return &lh__owner_mark; }
