/* A configuration: an XML document that is read and changed by XPath 1.0, one value at a time.
 *
 * Values are substituted as they are read: a whole value `ENV:default:{KEY}`, and each `{{ENV:default:{KEY}}}` within
 * one, become the environment variable KEY, or the default (of [A-Za-z0-9_]*) when there is none. An element
 * `<include file="..."/>` has the children of that file's root below it; with snippet="true" the file is a piece of XML
 * without a root.
 *
 * Owner: lh_config_load or lh_config_parse, lh_config_free.
 * Thread: any number of readers, or one writer: the caller sees to that.
 * Errors: LH_CONFIG_BAD with a message. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

typedef struct lh_config lh_config;

enum { LH_CONFIG_MESSAGE_BYTES = 512 };

typedef enum lh_config_result {
    LH_CONFIG_BAD = -1, /* the path is no XPath, or not of the form that is needed; or there is no memory */
    LH_CONFIG_NONE = 0, /* nothing is there; nothing was done */
    LH_CONFIG_DONE = 1,
    LH_CONFIG_INCOMPLETE = 2, /* a match of `base` has no `child` */
} lh_config_result;

/* Of a file; its directory is where relative names of included files begin. NULL: `message` says why, with the line. */
lh_config *lh_config_load(const char *file, char message[LH_CONFIG_MESSAGE_BYTES]);

/* Of a text. */
lh_config *lh_config_parse(const char *text, size_t length, char message[LH_CONFIG_MESSAGE_BYTES]);
void lh_config_free(lh_config *config);

/* The text of the last node in document order that the path selects; an expression's value as a string. *value is freed
 * with lh_free. */
lh_config_result lh_config_get(const lh_config *config, const char *path, char **value,
                               char message[LH_CONFIG_MESSAGE_BYTES]);

/* Calls `visit` with the name of each element below the root, in document order. */
void lh_config_each_section(const lh_config *config, void (*visit)(const char *name, void *context), void *context);

/* The text of `child`, relative to each node that `base` selects. Each of the *count is freed with lh_free, as is the
 * array, whatever the result. */
lh_config_result lh_config_list(const lh_config *config, const char *base, const char *child, char ***values,
                                size_t *count, char message[LH_CONFIG_MESSAGE_BYTES]);

/* Removes what the path selects, and sets its last step, an element's name or `@` and an attribute's, at its parent:
 * the first one of several. NONE: there is no parent. */
lh_config_result lh_config_replace(lh_config *config, const char *path, const char *value, size_t length,
                                   char message[LH_CONFIG_MESSAGE_BYTES]);

/* Changes the one node that the path selects, or makes it as lh_config_replace does. NONE: also when it selects
 * several. */
lh_config_result lh_config_set(lh_config *config, const char *path, const char *value, size_t length,
                               char message[LH_CONFIG_MESSAGE_BYTES]);

/* As text, freed with lh_free. `with_included`: with what was included, else as it is to be saved. NULL = no memory. */
char *lh_config_text(const lh_config *config, bool with_included, size_t *length);
