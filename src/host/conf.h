/* The process's configuration: one document for all threads.
 *
 * Reads run side by side; a change is seen by all threads at once, as a whole. Changes stay in memory until somebody
 * saves what lh_conf_saved_text gives.
 *
 * Owner: static, one per process, from lh_conf_open to lh_conf_close.
 * Thread: any, in between.
 * Errors: as data/config.h. */
#pragma once
#include <stdint.h>

#include "data/config.h"

/* Reads the file, or, with NULL, makes what the command line amounts to. False: `message` says why. */
bool lh_conf_open(const char *file, int thread_count, char message[LH_CONFIG_MESSAGE_BYTES]);
void lh_conf_close(void);

/* The file that was read, NULL = none. */
const char *lh_conf_file(void);

lh_config_result lh_conf_read(const char *path, char **value, char message[LH_CONFIG_MESSAGE_BYTES]);
lh_config_result lh_conf_read_list(const char *base, const char *child, char ***values, size_t *count,
                                   char message[LH_CONFIG_MESSAGE_BYTES]);
/* `visit` must not change the configuration. */
void lh_conf_visit_sections(void (*visit)(const char *name, void *context), void *context);
lh_config_result lh_conf_write(const char *path, const char *value, size_t length, bool is_replacing,
                               char message[LH_CONFIG_MESSAGE_BYTES]);

/* Another number after each change. */
uint64_t lh_conf_generation(void);

/* The document as text, freed with lh_free; NULL = no memory. */
char *lh_conf_shown_text(size_t *length); /* with what was included */
char *lh_conf_saved_text(size_t *length); /* as it is to be saved */
