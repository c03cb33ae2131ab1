/* The main thread's stack grows up to RLIMIT_STACK, of which pthread_getattr_np knows; with no limit it is taken for
 * 8 MiB, since other mappings may lie anywhere below. */
#include "base/stack.h"

#include <pthread.h>

enum { UNLIMITED_BYTES = 8 * 1024 * 1024 };

_Thread_local uintptr_t lh__stack_end;

uintptr_t lh__stack_measure(void) {
    pthread_attr_t attributes;
    void *lowest = NULL;
    size_t size = 0;
    if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
        pthread_attr_getstack(&attributes, &lowest, &size);
        pthread_attr_destroy(&attributes);
    }
    const uintptr_t here = (uintptr_t)__builtin_frame_address(0), top = (uintptr_t)lowest + size;
    if (size == 0 || size > (size_t)UNLIMITED_BYTES * 8) {
        lh__stack_end = (size == 0 ? here : top) - UNLIMITED_BYTES / 4 * 3;
    } else {
        lh__stack_end = (uintptr_t)lowest + size / 4;
    }
    return lh__stack_end;
}
