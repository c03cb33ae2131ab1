/* The command line: everything it says ends up in lh_options.
 *
 * Owner: nothing. Thread: the first. Errors: usage on stderr, and the process ends with LH_EXIT_USAGE. */
#pragma once
#include "host/options.h"

enum { LH_EXIT_USAGE = 2, LH_THREADS_MAX = 256 };

/* Also ends the process, for -h and -v. `script` is NULL when the configuration has to say what runs. */
lh_options lh_command_line_parse(char **argv);

/* A number of threads, of which 0 is one for each core; -1 = `text` is none. */
int lh_command_line_threads(const char *text);

/* Enables the streams of -l and -d, once the configuration has made what it makes of them. */
void lh_command_line_enable_logs(void);

void lh_usage_error(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
