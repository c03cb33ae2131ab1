/* Loading and running the script that the command line names. The policy is in lualib/inner/run.lua.
 *
 * Owner: nothing. Thread: the state's own. Errors: reported there; loading errors end the process. */
#pragma once
#include "runtime/state.h"

/* Starts the main task of the state: the script, then its entry function; or the test runner. */
void lh_script_start(lh_state *state);
