#include "host/options.h"

static lh_options current;

void lh_options_set(const lh_options *options) { current = *options; }

const lh_options *lh_options_get(void) { return &current; }
