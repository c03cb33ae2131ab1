/* libcurl's functions that we call, each of which calls the real one in a libcurl that the first of them loads.
 *
 * libcurl brings twenty libraries (Kerberos, LDAP, SSH, GnuTLS), whose symbols cost every start of the program more
 * than Lua does; most programs make no request. Linked against these names nothing else changes.
 *
 * curl_easy_setopt and its like take one more argument, a long, a curl_off_t or a pointer: all are passed as a pointer
 * is, on every system whose longs are as wide as its pointers. */
#include <curl/curl.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

_Static_assert(sizeof(long) == sizeof(void *) && sizeof(curl_off_t) == sizeof(void *), "one more argument");

#undef curl_easy_setopt
#undef curl_easy_getinfo
#undef curl_multi_setopt
#undef curl_share_setopt

/* Nobody else is to find these names in the program. */
#define OURS __attribute__((visibility("hidden")))

static void *library;

static void load(void) {
    library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    if (library) return;
    fprintf(stderr, "lhotse: %s\n", dlerror());
    exit(1);
}

/* The address of the real function; asked once for each. */
static void *find(const char *name) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
    void *function = dlsym(library, name);
    if (function) return function;
    fprintf(stderr, "lhotse: %s\n", dlerror());
    exit(1);
}

/* Two threads may both find it: they find the same. */
#define REAL(name)                                                                                                     \
    static _Atomic(void *) address;                                                                                    \
    if (!address) address = find(#name);                                                                               \
    __typeof__(&name) real = (__typeof__(&name))address

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
