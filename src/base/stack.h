/* How much of the calling thread's C stack is left.
 *
 * LuaJIT bounds the stacks of its coroutines, but not the C stack below them: coroutines that resume one another, and C
 * functions that call Lua which calls them again, would end in SIGSEGV. What nests so asks here first, and raises
 * "C stack overflow".
 *
 * Thread: any; each asks for itself. Errors: none. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The lowest address that may still be used; 0 until the thread has asked. */
extern _Thread_local uintptr_t lh__stack_end;
uintptr_t lh__stack_measure(void);

/* False in the last quarter of the stack: that is left for what does not ask. */
static inline bool lh_stack_has_room(void) {
    const uintptr_t end = lh__stack_end ? lh__stack_end : lh__stack_measure();
    return (uintptr_t)__builtin_frame_address(0) > end;
}
