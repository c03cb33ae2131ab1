/* libcurl's functions that we call, each of which calls the real one in a libcurl that the first of them loads.
 *
 * libcurl brings twenty libraries (Kerberos, LDAP, SSH, GnuTLS), whose symbols cost every start of the program more
 * than Lua does; most programs make no request. Linked against these names nothing else changes.
 *
 * curl_easy_setopt and its like take one more argument, a long, a curl_off_t or a pointer: all are passed as a pointer
 * is, on every system whose longs are as wide as its pointers. */
#include "net/http_curl.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

_Static_assert(sizeof(long) == sizeof(void *) && sizeof(curl_off_t) == sizeof(void *), "one more argument");

#undef curl_easy_setopt
#undef curl_easy_getinfo
#undef curl_multi_setopt
#undef curl_share_setopt

/* Nobody else is to find these names in the program. */
#define OURS __attribute__((visibility("hidden")))

/* clang-format off */
#define EACH_FUNCTION(X) \
    X(curl_global_init) \
    X(curl_easy_init) \
    X(curl_easy_setopt) \
    X(curl_easy_getinfo) \
    X(curl_easy_pause) \
    X(curl_easy_cleanup) \
    X(curl_easy_strerror) \
    X(curl_multi_init) \
    X(curl_multi_setopt) \
    X(curl_multi_add_handle) \
    X(curl_multi_remove_handle) \
    X(curl_multi_socket_action) \
    X(curl_multi_info_read) \
    X(curl_multi_cleanup) \
    X(curl_share_init) \
    X(curl_share_setopt) \
    X(curl_share_cleanup) \
    X(curl_slist_append) \
    X(curl_slist_free_all)
/* clang-format on */

#define FIELD(name) __typeof__(&name) name;
#define NAME(name) #name,

static struct { EACH_FUNCTION(FIELD) } functions;

static const char *const names[] = {EACH_FUNCTION(NAME)};
_Static_assert(sizeof(names) == sizeof(functions), "a name for each function");

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* guards loading */
static bool is_loaded;

/* All of them, so that none is found missing later. */
static const char *find_all(void *library) {
    void *found[sizeof(names) / sizeof(names[0])];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        found[i] = dlsym(library, names[i]);
        if (!found[i]) return dlerror();
    }
    memcpy(&functions, found, sizeof(functions));
    return NULL;
}

static const char *load(void) {
    void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    const char *reason = library ? find_all(library) : dlerror();
    is_loaded = !reason;
    if (is_loaded) functions.curl_global_init(CURL_GLOBAL_DEFAULT);
    return reason;
}

/* Tried again by each request until it works: it may be descriptors that lack. */
bool lh_curl_load(char *message, size_t size) {
    pthread_mutex_lock(&mutex);
    const char *reason = is_loaded ? NULL : load();
    if (reason) snprintf(message, size, "libcurl cannot be loaded: %s", reason);
    pthread_mutex_unlock(&mutex);
    return !reason;
}

#define REAL(name) __typeof__(&name) real = functions.name

#define ONE_MORE(after)                                                                                                \
    va_list arguments;                                                                                                 \
    va_start(arguments, after);                                                                                        \
    void *value = va_arg(arguments, void *);                                                                           \
    va_end(arguments)

OURS CURLcode curl_global_init(long flags) {
    REAL(curl_global_init);
    return real(flags);
}

OURS CURL *curl_easy_init(void) {
    REAL(curl_easy_init);
    return real();
}

OURS CURLcode curl_easy_setopt(CURL *easy, CURLoption option, ...) {
    ONE_MORE(option);
    REAL(curl_easy_setopt);
    return real(easy, option, value);
}

OURS CURLcode curl_easy_getinfo(CURL *easy, CURLINFO info, ...) {
    ONE_MORE(info);
    REAL(curl_easy_getinfo);
    return real(easy, info, value);
}

OURS CURLcode curl_easy_pause(CURL *easy, int what) {
    REAL(curl_easy_pause);
    return real(easy, what);
}

OURS void curl_easy_cleanup(CURL *easy) {
    REAL(curl_easy_cleanup);
    real(easy);
}

OURS const char *curl_easy_strerror(CURLcode code) {
    REAL(curl_easy_strerror);
    return real(code);
}

OURS CURLM *curl_multi_init(void) {
    REAL(curl_multi_init);
    return real();
}

OURS CURLMcode curl_multi_setopt(CURLM *multi, CURLMoption option, ...) {
    ONE_MORE(option);
    REAL(curl_multi_setopt);
    return real(multi, option, value);
}

OURS CURLMcode curl_multi_add_handle(CURLM *multi, CURL *easy) {
    REAL(curl_multi_add_handle);
    return real(multi, easy);
}

OURS CURLMcode curl_multi_remove_handle(CURLM *multi, CURL *easy) {
    REAL(curl_multi_remove_handle);
    return real(multi, easy);
}

OURS CURLMcode curl_multi_socket_action(CURLM *multi, curl_socket_t socket, int events, int *running) {
    REAL(curl_multi_socket_action);
    return real(multi, socket, events, running);
}

OURS CURLMsg *curl_multi_info_read(CURLM *multi, int *left) {
    REAL(curl_multi_info_read);
    return real(multi, left);
}

OURS CURLMcode curl_multi_cleanup(CURLM *multi) {
    REAL(curl_multi_cleanup);
    return real(multi);
}

OURS CURLSH *curl_share_init(void) {
    REAL(curl_share_init);
    return real();
}

OURS CURLSHcode curl_share_setopt(CURLSH *share, CURLSHoption option, ...) {
    ONE_MORE(option);
    REAL(curl_share_setopt);
    return real(share, option, value);
}

OURS CURLSHcode curl_share_cleanup(CURLSH *share) {
    REAL(curl_share_cleanup);
    return real(share);
}

OURS struct curl_slist *curl_slist_append(struct curl_slist *list, const char *text) {
    REAL(curl_slist_append);
    return real(list, text);
}

OURS void curl_slist_free_all(struct curl_slist *list) {
    REAL(curl_slist_free_all);
    real(list);
}
