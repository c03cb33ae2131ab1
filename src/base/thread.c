#include "base/thread.h"

#include <pthread.h>
#include <signal.h>

int lh_thread_start(const char *name, void *(*run)(void *), void *argument, size_t stack_bytes) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, stack_bytes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigset_t all, previous; /* a thread inherits its maker's mask */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &previous);
    pthread_t thread;
    const int error = pthread_create(&thread, &attributes, run, argument);
    if (error == 0) pthread_setname_np(thread, name);
    pthread_sigmask(SIG_SETMASK, &previous, NULL);
    pthread_attr_destroy(&attributes);
    return -error;
}
