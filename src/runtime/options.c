#include "runtime/options.h"

#include <stdio.h>
#include <unistd.h>

#include "loop/child.h"
#include "runtime/log.h"

static lh_options current;

void lh_options_set(const lh_options *options) { current = *options; }

const lh_options *lh_program_options(void) { return &current; }

/* A script's children end with it, unless a signal ends it. */
void lh_program_exit(int status) {
    lh_child_kill_all();
    lh_log_flush();
    fflush(NULL);
    lh_log_flush();
    _exit(status & 0xff);
}

int lh_program_failure_status(void) { return current.is_luamtev ? 255 : 1; }
