/* UTF-8 as HTML: characters beyond ASCII as entities, named where HTML 4 names them.
 *
 * Owner: nothing. Thread: any. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* With `escapes_tags` also < and >. `to` has room for the result, or is NULL: then its length is only counted. That
 * length, or -1 - offset of what is no UTF-8. */
ssize_t lh_html_escape(const char *from, size_t length, bool escapes_tags, char *to);
