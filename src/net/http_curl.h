/* Loading libcurl, before any of its functions is called: net/http_curl.c says why it is not linked.
 *
 * Owner: the library stays for the life of the process.
 * Thread: any.
 * Errors: false; `message` says why. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

/* Once it was true the functions of <curl/curl.h> that we use may be called. */
bool lh_curl_load(char *message, size_t size);
