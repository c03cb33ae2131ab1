/* What a configuration says to the program itself, held against what the program knows: a misspelt name would count for
 * nothing, in silence.
 *
 * Owner: nothing.
 * Thread: the first, before others exist.
 * Errors: none: what is unknown is reported as a notice, and ignored. */
#pragma once
#include <stddef.h>

/* Reports unknown attributes and elements of <eventer>, <logs>, <watchdog>, <security>, <modules> and <clusters>, and
 * elements that are called nearly like one of these. To be called once the logs are open. */
void lh_settings_check(const char *program);

/* The word of `known` (separated by spaces) that was probably meant by `name`, with its length; NULL = none is near. */
const char *lh_settings_nearest(const char *name, const char *known, size_t *length);
