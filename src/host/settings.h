/* What a configuration says to the program itself, held against what the program knows: a misspelt name would count for
 * nothing, in silence.
 *
 * Owner: nothing.
 * Thread: the first, before others exist.
 * Errors: what is unknown is reported, and ignored; but where that would loosen something the program must not run. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

/* Reports unknown attributes and elements of <eventer>, <logs>, <watchdog>, <security>, <modules> and <clusters>, and
 * elements that are called nearly like one of these. To be called once the logs are open. False: what is unknown may
 * have been meant to restrict the program (<security>), or to join it to others (<clusters>). */
bool lh_settings_check(const char *program) __attribute__((warn_unused_result));

/* The word of `known` (separated by spaces) that was probably meant by `name`, with its length; NULL = none is near. */
const char *lh_settings_nearest(const char *name, const char *known, size_t *length);
