/* A Lua state and what belongs to it: one per event loop thread.
 *
 * Nothing of a state is shared: other threads reach it only by mail to its loop. C code running on the thread finds it
 * with lh_state_here().
 *
 * Owner: the program opens and closes it on the state's own thread.
 * Thread: its own.
 * Errors: lh_state_open returns false and has said why. */
#pragma once
#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

#include "base/ptrmap.h"
#include "net/net.h"

typedef struct lh_task lh_task;
typedef struct lh_state lh_state;
struct lh_program;

/* What other threads may see of a state, as it was at the end of its last turn. */
typedef struct lh_state_figures {
    _Atomic uint64_t turns;
    _Atomic uint64_t tasks, sockets, timers; /* that are there */
} lh_state_figures;

struct lh_state {
    lua_State *L;       /* the Lua state's main thread; scripts never run on it */
    lua_Alloc allocate; /* LuaJIT's own ... */
    void *allocator;    /* ... and what it works on */
    lh_net net;
    struct lh_program *program;
    int index;           /* of the loop, 0..n-1 */
    pid_t thread_id;     /* the kernel's */
    clockid_t cpu_clock; /* the thread's CPU time */
    lh_state_figures figures;
    bool is_closing; /* lua_close is under way: finalizers must not wake anybody */

    /* scheduler (task.c) */
    lh_task *running;                  /* the task whose Lua code runs now, NULL = none */
    lh_task *main_task;                /* runs the script and its entry; NULL once ended */
    lh_task *ready_first, *ready_last; /* the run queue */
    size_t ready_count;
    bool is_in_hook;          /* a script's debug hook or jit.attach's callback is running (mtev/hook.c): ask
                                 lh_task_is_in_hook */
    lua_State *hook_raiser;   /* what a hook raised is on its way there, NULL = nothing */
    lua_CFunction hook_raise; /* ... for as long as this function is on its stack */
    int finalizers_due;       /* finalizers that the next turn calls (finalizer.c) */
    bool is_in_queue;         /* lh_task_run_ready is at work; else the loop's callbacks are */
    size_t task_count;        /* tasks not ended */
    unsigned spawn_depth;     /* immediate starts on top of one another */
    int slot_count;           /* anchor slots handed out */
    int anchor_count;         /* that the table of anchors has room for */
    lh_slab tasks;
    lh_ptrmap task_of;          /* lua_State* -> lh_task* */
    const void *pcall, *xpcall; /* the functions, to find them on a stack */
    int anchors_ref;          /* array: [2 slot - 1] a task's thread, [2 slot] the function that spawned it, or false */
    int held_ref;             /* [slot]: a value kept alive while a task is parked */
    int call_push_ref;        /* the C function that calls what `answer` says */
    int cancelled_ref;        /* the message "coroutine cancelled" */
    struct answer *answer;    /* what protected code is to do, NULL = none is running */
    void **trap;              /* where an error goes that nothing catches (protect.c), NULL = it ends the process */
    int finalizers_ref;       /* what they are to finalize */
    int finalizer_runner_ref; /* the function that is called with a finalizer and its object */
    int finalizer_probe_ref;  /* the C function that raises while LuaJIT runs a finalizer */
    int finalizers_first;     /* where the table of finalizers_ref begins */

    int eventer_ref;        /* registry slot of mtev.eventer's metatable (eventer.c) */
    int spare_eventers_ref; /* array: handles that are not used yet, so that the next ones need no memory */
    int spare_eventers;     /* how many there are */
    const void *eventer_metatable;
    struct lh_messages *messages; /* mtev.notify's channels (message.c) */
};

/* The state of the calling thread, NULL outside loop threads. */
static inline lh_state *lh_state_here(void);

/* Opens loop, Lua and its libraries; `open_api` fills the table `mtev` that lies on top of the stack. */
bool lh_state_open(lh_state *state, struct lh_program *program, int index, void (*open_api)(lua_State *L))
    __attribute__((warn_unused_result));

/* Registers the functions of the table on top of the stack for tracebacks and errors, as `prefix` .. key; "eventer:"
 * says that they are methods; NULL that they are not to be shown. The functions of `mtev` register themselves. */
void lh_state_name_methods(lua_State *L, const char *prefix);

/* Closes Lua (finalizers run), then the loop. Tasks end without being told. */
void lh_state_close(lh_state *state);

/* -- Names in the registry -- */
#define LH_NAMES "mtev.names"       /* function -> "sleep", for tracebacks and argument errors; "": none */
#define LH_PREFIXES "mtev.prefixes" /* function -> "mtev.", what goes before that */
#define LH_INNER "mtev.inner"       /* blocked coroutine -> the coroutine it resumed and that blocks in it */
#define LH_REQUIRE "mtev.require"   /* loads a file of the built-in library that scripts cannot require */
#define LH_FAILED "mtev.failed"     /* {message, coroutine or frames ...}: which error was passed on last, whence */

extern _Thread_local lh_state *lh__state_here;
static inline lh_state *lh_state_here(void) { return lh__state_here; }

/* The state whose loop this is. */
static inline lh_state *lh_state_of_loop(lh_loop *loop) { return LH_CONTAINER(lh_net_of(loop), lh_state, net); }
