/* The Lua part of the library, compiled into the binary as text.
 *
 * Owner: static. Thread: any. Errors: NULL for an unknown name. */
#pragma once
#include <stddef.h>

typedef struct lh_lualib_file {
    const char *name; /* "mtev/coroutine": lualib/mtev/coroutine.lua */
    const char *text, *end;
} lh_lualib_file;

/* Generated from the files in lualib/; ends with a NULL name. */
extern const lh_lualib_file lh_lualib_files[];

const lh_lualib_file *lh_lualib_find(const char *name);
