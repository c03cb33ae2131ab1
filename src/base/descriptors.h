/* Which file descriptors belong to the runtime.
 *
 * Scripts handle descriptors as plain numbers (mtev.open, mtev.write, mtev.close), so a stale or wrong number could hit
 * a socket, the poll or a log file. The runtime claims each descriptor of its own while it is open; functions that take
 * numbers from scripts refuse claimed ones.
 *
 * Owner: a process-wide table that only grows.
 * Thread: any; a claim is visible to others with whatever makes the descriptor visible to them.
 * Errors: none; running out of memory ends the process. */
#pragma once
#include <stdbool.h>

/* Opens /dev/null for each of 0, 1 and 2 that is closed: else the next files or sockets would get these numbers, and
 * what is printed or logged would end up in them. To be called before anything is opened. */
void lh_descriptors_open_standard(void);

/* `fd` was just opened. Returns it; a negative one is passed through. */
int lh_descriptor_claim(int fd);

/* The same for one that foreign code may close: `owner` is whatever tells its claim from others. */
int lh_descriptor_claim_for(int fd, const void *owner);

/* Foreign code has closed it: `owner` claims it no longer. Whoever claimed the number since keeps it. */
void lh_descriptor_forget(int fd, const void *owner);

/* Closes a claimed descriptor; a negative one is ignored. */
void lh_descriptor_close(int fd);

bool lh_descriptor_is_claimed(int fd);
