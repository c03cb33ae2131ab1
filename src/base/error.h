/* errno in words.
 *
 * Owner: nothing. Thread: any. Errors: none. */
#pragma once

/* The text of a positive errno; valid until the thread's next call. */
const char *lh_error_text(int error);
