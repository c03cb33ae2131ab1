#include "runtime/taken.h"

#include <assert.h>

#include "runtime/task.h"

typedef struct text {
    const char *bytes;
    size_t length;
} text;

static int push_text(lh_task *task, lua_State *T, void *context) {
    (void)task;
    const text *t = context;
    lua_pushlstring(T, t->bytes, t->length);
    return 1;
}

void lh_push_taken(lua_State *L, char *take_text, size_t length, void (*release)(void *block)) {
    assert(take_text);
    text t = {.bytes = take_text, .length = length};
    const int n = lh_protect(L, push_text, &t);
    release(take_text);
    if (n == LH_PROTECT_RAISED) lua_error(L);
}
