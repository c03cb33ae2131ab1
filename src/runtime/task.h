/* Tasks: the coroutines that the scheduler knows.
 *
 * A task is `running` (its Lua code runs, or it resumed another), `ready` (in the run queue), `parked` (waiting for
 * something) or gone. There is one way to wait, for every API function:
 *
 *     lh_task *task = lh_task_may_park(L, &wait);   raises where yielding is impossible; nothing is armed yet
 *     ... put `task` where the event will find it ...
 *     return lh_task_park(task, L, &wait, deadline);
 *
 * and one way back: the event calls lh_task_answer (from a loop callback: the code runs at once) with a function that
 * pushes the call's results, or lh_task_wake (from Lua code: it runs when its turn comes). Deadline and cancellation
 * come through the wait's own functions, so that every way out passes one withdrawal.
 *
 * Results are made on the state's own stack, in a protected call, and then moved: a parked coroutine's stack may be
 * full, and whatever the collector runs while something is allocated must not run on it. What raises there, for lack
 * of memory, is raised by the call that waited.
 *
 * Waiting works at any depth of the script's own coroutines: the innermost yields a token, the replaced
 * coroutine.resume (lualib/mtev/coroutine.lua) passes it on to the task's own thread, and results travel back down.
 *
 * Owner: the state's slab. A task may be gone after anything that runs Lua: what refers to one for longer, and is not
 * told of its end, keeps its lh_task_number. Thread: the state's own. Errors: as each function says. */
#pragma once
#include "loop/timer.h"
#include "runtime/protect.h"
#include "runtime/state.h"

/* What a parked task waits for: one constant per API function. Each callback runs with the task still parked. */
typedef struct lh_wait {
    const char *name; /* as scripts call it: "mtev.sleep" */
    bool is_world;    /* the world outside (a descriptor, a process) ends it: keeps the program alive */
    bool is_plain;    /* on_deadline and on_run push nil, booleans and numbers only: nothing is allocated or raised */
    /* The deadline has come: push the results on `T`, then take the task out of where it waits, and return their
     * number; LH_TASK_STAY: something is on its way, go on waiting without deadline. May raise while it pushes. */
    int (*on_deadline)(lh_task *task, lua_State *T);
    /* The wait ends for another reason: take the task out of where it waits. NULL = it is nowhere. */
    void (*withdraw)(lh_task *task);
    /* A ready task is cancelled before it could take its `n` results, which lie on top of `T`: pass on what must not be
     * lost. NULL = nothing. May raise. */
    void (*on_undelivered)(lh_task *task, lua_State *T, int n);
    /* Pushes the results when the task comes out of the run queue, not before. NULL = they are there. May raise. */
    int (*on_run)(lh_task *task, lua_State *T);
} lh_wait;

typedef enum lh_task_status { LH_TASK_GONE, LH_TASK_RUNNING, LH_TASK_READY, LH_TASK_PARKED } lh_task_status;

/* Something that ends with the task that owns it. */
typedef struct lh_owned {
    lh_list owned_node;                           /* in lh_task.owned */
    void (*on_owner_end)(struct lh_owned *owned); /* must unlink */
} lh_owned;

struct lh_task {
    lua_State *L;        /* the task's thread; NULL = gone */
    lua_State *parked_L; /* the thread that made the blocking call: L, or a coroutine of the script inside it */
    const lh_wait *wait; /* what it waits or waited for last */
    union {
        void *object;     /* the wait's own: the thing waited on */
        lh_ns started_ns; /* ... or when */
    };
    uint32_t generation;   /* changes when the task ends: tells a reused struct from the one that was meant */
    int slot;              /* of its anchors; kept when the struct is reused, 0 = none yet */
    uint8_t status;        /* lh_task_status */
    uint8_t park_attempts; /* since it was cancelled */
    bool is_anchored;      /* its thread and the function that spawned it are in the table of anchors */
    bool is_cancelled;
    bool is_started;     /* its function has been entered */
    bool has_held;       /* its slot in the held values is set */
    bool is_early;       /* it yielded in a callback of the loop: its turn is the next one, not the one under way */
    bool is_interrupted; /* it is ready to raise what interrupted it, not to take results */
    /* What is above may be read when the task has ended. */
    lh_list wait_node;       /* the wait's own: in a queue of waiters */
    lh_timer timer;          /* its deadline */
    lh_list owned;           /* lh_owned */
    int spawn_line;          /* where it was spawned; the function is anchored (set with it) */
    int result_count;        /* values on L that a ready task will be resumed with */
    union {                  /* last: the slab reuses this word */
        lh_task *ready_next; /* in the run queue */
        lua_State *spawner;  /* while it is not anchored: the stack that spawned it, on which its thread lies */
    };
};

/* What the scheduler keeps in the registry of a new state. */
void lh_task_open(lh_state *state, lua_State *L);

/* Makes a task of the function and its `n` arguments on top of `L` (popped) and leaves its thread there instead: to be
 * kept there until lh_task_start has returned, or anchored. Needs six slots of `L`'s stack. Raises when there is no
 * memory. */
lh_task *lh_task_new(lh_state *state, lua_State *L, int n);

/* Keeps the task's thread alive until it ends. (One that waits is anchored anyway.) Raises nothing. */
void lh_task_anchor(lh_task *task);

/* Runs a new task at once, on top of whatever runs now; or queues it when too many lie on one another. A C function
 * that a script called returns after this, or yields; to raise is not allowed (see protect.h). */
void lh_task_start(lh_state *state, lh_task *task);

/* Pushes the function that spawned the task, or false; returns the line. Raises nothing. */
int lh_task_push_spawner(lua_State *L, const lh_state *state, const lh_task *task);

/* The task that runs now; raises outside one, naming `what`. */
lh_task *lh_task_current(lua_State *L, const char *what);

/* The task that runs now, if it may block here: raises "attempt to yield across C-call boundary (NAME)", or "coroutine
 * cancelled". Changes nothing else. */
lh_task *lh_task_may_park(lua_State *L, const lh_wait *wait);

/* Parks; to be returned from the C function as it is. `deadline` LH_NEVER = none. */
int lh_task_park(lh_task *task, lua_State *L, const lh_wait *wait, lh_ns deadline);

/* Keeps the value at `index` of `L` alive until the task is resumed. One value; call after lh_task_may_park. Raises
 * nothing. */
void lh_task_hold(lh_task *task, lua_State *L, int index);

/* Puts the running task at the end of the run queue; to be returned. `wait->on_run` gives the results. */
int lh_task_yield(lh_task *task, lua_State *L, const lh_wait *wait);

/* A parked task becomes ready, with `n` results on top of task->L: at most LH_TASK_RESULTS_MAX, none of which was
 * allocated there (nil, booleans, numbers, and what was moved). With 0 and a wait->on_run, that gives the results. */
void lh_task_wake(lh_task *task, int n);

/* A parked task runs now, with what `push` gives; or goes on waiting. Only from loop callbacks. When `push` raises, the
 * task is withdrawn from its wait, and the call raises the same. */
void lh_task_answer(lh_task *task, lh_push_fn push, void *context);

/* Ends the task: it never returns from the call that it is parked in; what it owns is released now. Code inside pcall
 * sees the error "coroutine cancelled" first. A running task ends when it wants to park. The caller raises nothing
 * after it, as after lh_task_start. */
void lh_task_cancel(lh_task *task);

/* Lets the parked call raise the message on top of `L` (popped) instead of returning. False when it is not parked. */
bool lh_task_interrupt(lh_task *task, lua_State *L);

/* The running task has just parked, but the coroutine around it cannot yield: the wait ends as if it had not begun. */
void lh_task_unpark(lh_task *task);

/* What a task that does not run waits for ("mtev.sleep"); NULL for one that runs. */
const char *lh_task_wait_name(const lh_task *task);

/* The task of a thread, or NULL. `thread` may be any address. */
lh_task *lh_task_of(lh_state *state, const void *thread);

/* A number that is this task's alone, for as long as the state lives; exact as a double. */
double lh_task_number(lh_task *task);

/* The task that has the number, or NULL: it is gone. */
lh_task *lh_task_find(lh_state *state, lua_State *L, double number);

/* A debug hook or a callback of the compiler runs, or a message handler gets what one raised: then LuaJIT still runs
 * the handler inside its hook. */
bool lh_task_is_in_hook(lh_state *state);

/* True when a call may wait here, but for being outside every task: not in a C function's callback, not in a hook. */
bool lh_task_can_yield(lua_State *L);

/* Runs what was ready when called, and a few of those that were woken meanwhile; who yielded meanwhile waits for the
 * next call. True when more is ready. */
bool lh_task_run_ready(lh_state *state);

/* The second of the three values that an interrupted call returns to its Lua wrapper (nil, this, message), and the
 * value that a blocked coroutine of the script yields. */
void lh_task_push_interrupted(lua_State *L);
void lh_task_push_token(lua_State *L);

/* What the scheduler reports. Set once by the program. */
typedef struct lh_task_events {
    void (*on_error)(lh_state *state, lh_task *task);   /* it failed, with the error value on top of task->L */
    void (*on_main_end)(lh_state *state, lua_State *T); /* the main task ended; its results are all that T holds */
} lh_task_events;
extern lh_task_events lh_task_on;
