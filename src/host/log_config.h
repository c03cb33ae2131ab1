/* The <logs> of the configuration: each <log> below it is a stream.
 *
 *   <logs>
 *     <log name="access" type="file" path="/var/log/access.log" rotate_bytes="100000000" retain_bytes="1000000000"/>
 *     <log name="error" timestamps="on"><outlet name="stderr"/></log>
 *   </logs>
 *
 * A log has the outlets of its own element and of all those around it up to <logs>; attributes come from the nearest
 * element that has them. With neither a type nor outlets a stream keeps the outlet it would have without its element.
 *
 * Owner: nothing.
 * Thread: the first, before others exist; lh_conf_open and lh_log_open were called.
 * Errors: false; `message` names the element and says why. */
#pragma once
#include <stdbool.h>
#include <sys/types.h>

#include "host/conf.h"

/* Makes the streams. `is_follower`: another process, the worker, rotates the files; this one only writes. */
bool lh_log_configure(bool is_follower, char message[LH_CONFIG_MESSAGE_BYTES]);

/* Gives the files to a user and a group (-1 = as it is), before the process becomes that user. */
void lh_log_give_files(uid_t user, gid_t group);
