/* luaL_traceback shows a C function as "[builtin#21]: at 0x55..." and the built-in library's frames among the script's.
 * Here C functions go by their registered names, and of the built-in frames only those that a script called are shown.
 */
#include "runtime/traceback.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "runtime/errors.h"

enum { FRAMES_MAX = 40, COROUTINES_MAX = 20 };

static void describe_frame(lua_State *T, int level, lua_Debug *ar, lh_buffer *out) {
    lua_getinfo(T, "Slf", ar);
    const lh_function_name registered = lh_pop_function_name(T);
    const bool is_internal = lh_is_internal_source(ar->source);
    if (registered.name && !*registered.name) return; /* the C half of a blocking function */
    if (registered.name) {
        lh_buffer_print(out, "\n\t[built-in]: in function '%s%s'", registered.prefix, registered.name);
        return;
    }
    if (is_internal) return;
    lh_get_frame_name(T, level, ar);
    if (strcmp(ar->what, "C") == 0) {
        lh_buffer_print(out, "\n\t[C]: in %s%s%s", ar->name ? "function '" : "?", ar->name ? ar->name : "",
                        ar->name ? "'" : "");
        return;
    }
    /* Where the interpreter itself raised, LuaJIT cannot tell the line afterwards; the message has it. */
    char line[16] = "";
    if (ar->currentline > 0) snprintf(line, sizeof(line), ":%d", ar->currentline);
    if (strcmp(ar->what, "main") == 0) {
        lh_buffer_print(out, "\n\t%s%s: in main chunk", ar->short_src, line);
    } else if (ar->name) {
        lh_buffer_print(out, "\n\t%s%s: in function '%s'", ar->short_src, line, ar->name);
    } else {
        lh_buffer_print(out, "\n\t%s%s: in function <%s:%d>", ar->short_src, line, ar->short_src, ar->linedefined);
    }
}

static bool runs(lua_State *T, lua_Debug *ar, const void *function) {
    lua_getinfo(T, "f", ar);
    const bool is_it = lua_topointer(T, -1) == function;
    lua_pop(T, 1);
    return is_it;
}

/* The frames above the first one of `end` (NULL = all). Needs two slots of T, which every stack has: asking for them
 * might raise, on a stack that is full. */
static void describe_until(lua_State *T, const void *end, lh_buffer *out) {
    lua_Debug ar;
    for (int level = 0; lua_getstack(T, level, &ar); level++) {
        if (end && runs(T, &ar, end)) return;
        if (level == FRAMES_MAX) {
            lh_buffer_print(out, "\n\t...");
            return;
        }
        describe_frame(T, level, &ar, out);
    }
}

static void describe_stack(lua_State *T, lh_buffer *out) { describe_until(T, NULL, out); }

/* The coroutine that `T` resumed and that blocks inside it, or NULL. */
static lua_State *inner_coroutine(lua_State *L, lua_State *T) {
    lua_getfield(L, LUA_REGISTRYINDEX, LH_INNER);
    lua_pushthread(T);
    if (T != L) lua_xmove(T, L, 1);
    lua_rawget(L, -2);
    lua_State *inner = lua_tothread(L, -1);
    lua_pop(L, 2);
    return inner;
}

static void describe_nested(lua_State *L, lua_State *T, lh_buffer *out, int depth) {
    lua_State *inner = depth < COROUTINES_MAX ? inner_coroutine(L, T) : NULL;
    if (inner) {
        describe_nested(L, inner, out, depth + 1);
        lh_buffer_print(out, "\n\t(coroutine resumed by)");
    }
    describe_stack(T, out);
}

/* What entry `i` of the table of the last error tells of its way; false: that was all. */
static bool describe_entry(lua_State *L, int i, lh_buffer *out) {
    lua_rawgeti(L, -1, i);
    lua_State *coroutine = lua_tothread(L, -1);
    const char *frames = lua_tostring(L, -1);
    if (coroutine) {
        describe_stack(coroutine, out);
        lh_buffer_print(out, "\n\t(coroutine resumed by)");
    } else if (frames && *frames) {
        lh_buffer_print(out, "%s\n\t(passed on by)", frames);
    }
    lua_pop(L, 1);
    return coroutine || frames;
}

/* When the error on top of T came out of a coroutine.wrap, that coroutine's stack still shows where; when the library
 * passed it on, what it noted. */
static void describe_failed(lua_State *L, lua_State *T, lh_buffer *out) {
    lua_getfield(L, LUA_REGISTRYINDEX, LH_FAILED); /* stack: failed */
    if (!lua_istable(L, -1) || lua_gettop(T) == 0) {
        lua_pop(L, 1);
        return;
    }
    lua_rawgeti(L, -1, 1); /* stack: failed, message */
    lua_pushvalue(T, -1);
    if (T != L) lua_xmove(T, L, 1); /* stack: failed, message, error */
    const bool is_same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    for (int i = 2; is_same && i < COROUTINES_MAX; i++) {
        if (!describe_entry(L, i, out)) break;
    }
    lua_pop(L, 1);
}

static void describe_origin(lua_State *L, const lh_state *state, const lh_task *task, lh_buffer *out) {
    if (task == state->main_task) return;
    const int line = lh_task_push_spawner(L, state, task);
    if (!lua_isfunction(L, -1)) {
        lua_pop(L, 1);
        return;
    }
    lua_Debug ar;
    lua_getinfo(L, ">S", &ar);
    if (line >= 0 && !lh_is_internal_source(ar.source)) {
        lh_buffer_print(out, "\n\t(spawned at %s:%d)", ar.short_src, line);
    }
}

static void push_buffer(lua_State *L, lh_buffer *out) {
    lua_pushlstring(L, out->length ? lh_buffer_bytes(out) : "", out->length);
    lh_buffer_reset(out);
}

static void describe(lua_State *L, lh_state *state, const lh_task *task, lh_buffer *out) {
    assert(task->L && task->slot > 0);
    lh_buffer_print(out, "stack traceback:");
    if (task->status == LH_TASK_RUNNING) describe_failed(L, task->L, out);
    describe_nested(L, task->L, out, 0);
    describe_origin(L, state, task, out);
}

void lh_traceback_push(lua_State *L, lh_state *state, const lh_task *task) {
    assert(lh_loop_is_mine(&state->net.loop));
    luaL_checkstack(L, 8, "traceback");
    lh_buffer out = {0};
    describe(L, state, task, &out);
    push_buffer(L, &out);
}

void lh_traceback_push_here(lua_State *L) {
    luaL_checkstack(L, 8, "traceback");
    lh_buffer out = {0};
    lh_buffer_print(&out, "stack traceback:");
    describe_stack(L, &out);
    push_buffer(L, &out);
}

/* Asks for no room on the stack: there may be none, and this is for a message handler, where errors lose the first. */
void lh_traceback_push_until_xpcall(lua_State *L, const lh_state *state) {
    lh_buffer out = {0};
    describe_until(L, state->xpcall, &out);
    push_buffer(L, &out);
}

void lh_traceback_push_all(lua_State *L, lh_state *state) {
    assert(lh_loop_is_mine(&state->net.loop));
    luaL_checkstack(L, 8, "traceback");
    lh_buffer out = {0};
    for (size_t i = 0; i < state->task_of.capacity; i++) {
        const lh_task *task = state->task_of.entries[i].value;
        if (!state->task_of.entries[i].key || task->status != LH_TASK_PARKED) continue;
        lh_buffer_print(&out, "coroutine %p is waiting in %s\n", (void *)task->L, task->wait->name);
        describe(L, state, task, &out);
        lh_buffer_print(&out, "\n");
    }
    push_buffer(L, &out);
}

/* -- For a trace of a process that hangs or crashed ---------------------------------------------------------------- */

static void write_buffer(int fd, lh_buffer *out) {
    for (size_t done = 0; done < out->length;) {
        const ssize_t n = write(fd, lh_buffer_bytes(out) + done, out->length - done);
        if (n <= 0) break;
        done += (size_t)n;
    }
    lh_buffer_reset(out);
}

static const char *status_of(const lh_task *task) {
    static const char *const words[] = {"gone", "running", "ready to run after", "waiting in"};
    return words[task->status];
}

typedef struct save_request {
    lh_state *state;
    lua_State *T;
    int fd;
} save_request;

static void save_running_one(lua_State *L, const save_request *request) {
    lh_state *state = request->state;
    lh_buffer out = {0};
    const lh_task *running = state->running;
    if (!running) return;
    lh_buffer_print(&out, "coroutine %p is running\n", (void *)running->L);
    if (request->T != running->L) {
        lh_buffer_print(&out, "stack traceback of coroutine %p inside it:", (void *)request->T);
        describe_stack(request->T, &out);
        lh_buffer_print(&out, "\n");
    }
    describe(L, state, running, &out);
    lh_buffer_print(&out, "\n");
    write_buffer(request->fd, &out);
}

static int save_running(lua_State *L) {
    save_running_one(L, lua_touserdata(L, 1));
    return 0;
}

static int save_all(lua_State *L) {
    const save_request *request = lua_touserdata(L, 1);
    lh_state *state = request->state;
    lh_buffer out = {0};
    const lh_task *running = state->running;
    save_running_one(L, request);
    for (size_t i = 0; i < state->task_of.capacity; i++) {
        const lh_task *task = state->task_of.entries[i].value;
        if (!state->task_of.entries[i].key || task == running || task->status == LH_TASK_GONE) continue;
        lh_buffer_print(&out, "coroutine %p is %s %s\n", (void *)task->L, status_of(task),
                        task->wait ? task->wait->name : "");
        describe(L, state, task, &out);
        lh_buffer_print(&out, "\n");
        write_buffer(request->fd, &out);
    }
    return 0;
}

static void save(lua_CFunction what, lua_State *T, lh_state *state, int fd) {
    save_request request = {state, T, fd};
    if (!lua_checkstack(T, 4)) return;
    lua_pushcfunction(T, what);
    lua_pushlightuserdata(T, &request);
    if (lua_pcall(T, 1, 0, 0) != 0) lua_pop(T, 1);
}

void lh_traceback_save_all(lua_State *T, lh_state *state, int fd) { save(save_all, T, state, fd); }
void lh_traceback_save_running(lua_State *T, lh_state *state, int fd) { save(save_running, T, state, fd); }

static void write_raw(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void write_raw(int fd, const char *format, ...) {
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (length > 0 && write(fd, text, (size_t)length < sizeof(text) ? (size_t)length : sizeof(text) - 1) < 0) return;
}

static void save_stack_raw(lua_State *T, int fd) {
    lua_Debug ar;
    for (int level = 0; level < FRAMES_MAX && lua_getstack(T, level, &ar); level++) {
        memset(ar.short_src, 0, sizeof(ar.short_src));
        if (!lua_getinfo(T, "Sl", &ar)) return;
        if (strcmp(ar.what, "C") == 0) {
            write_raw(fd, "\t[C]: in ?\n");
        } else if (!lh_is_internal_source(ar.source)) {
            write_raw(fd, "\t%.60s:%d: in a function defined in line %d\n", ar.short_src, ar.currentline,
                      ar.linedefined);
        }
    }
}

void lh_traceback_save_raw(lh_state *state, int fd) {
    const lh_task *running = state->running;
    if (running) {
        write_raw(fd, "coroutine %p is running (as far as it can be told)\n", (void *)running->L);
        save_stack_raw(running->L, fd);
    }
    for (size_t i = 0; i < state->task_of.capacity; i++) {
        const lh_task *task = state->task_of.entries[i].value;
        if (!state->task_of.entries[i].key || task == running || task->status == LH_TASK_GONE) continue;
        write_raw(fd, "coroutine %p is %s %s\n", (void *)task->L, status_of(task), task->wait ? task->wait->name : "");
        save_stack_raw(task->L, fd);
    }
}
