/* LuaJIT takes the stack that code ran on last for the one that runs (g->cur_L), until a C function returns; where one
 * raises instead, it does not look, and the next exit of a compiled loop restores the wrong stack. So a C function of
 * the script's that has had code run on another stack (this on state->L, a resumed task) raises nothing afterwards. */
#include "runtime/protect.h"

#include <assert.h>
#include <stdio.h>

#include "runtime/state.h"

/* What protected code is to do. */
struct answer {
    lh_push_fn push;
    lh_task *task;
    void *context;
    int count;
};

static int call_push(lua_State *T) {
    struct answer *answer = lh_state_here()->answer;
#ifdef LHOTSE_COLLECT
    if (answer->task) lua_gc(T, LUA_GCCOLLECT, 0);
#endif
    answer->count = answer->push(answer->task, T, answer->context);
    return answer->count == LH_TASK_STAY ? 0 : answer->count;
}

/* With the `n` values on top of `L`. */
static int protect(lua_State *L, int n, struct answer answer) {
    lh_state *state = lh_state_here();
    struct answer *const around = state->answer;
    lh_task *const running = state->running;
    state->answer = &answer;
    lua_rawgeti(L, LUA_REGISTRYINDEX, state->call_push_ref);
    lua_insert(L, -(n + 1));
    const int rc = lua_pcall(L, n, LUA_MULTRET, 0);
    state->running = running;
    state->answer = around;
    if (rc != 0) return LH_PROTECT_RAISED;
    assert(answer.count >= 0 && answer.count <= LH_TASK_RESULTS_MAX);
    return answer.count;
}

int lh_protect_for(lua_State *L, lh_task *task, lh_push_fn push, void *context) {
    return protect(L, 0, (struct answer){.push = push, .task = task, .context = context});
}

int lh_protect(lua_State *L, lh_push_fn push, void *context) { return lh_protect_with(L, 0, push, context); }

int lh_protect_with(lua_State *L, int n, lh_push_fn push, void *context) {
    return protect(L, n, (struct answer){.push = push, .context = context});
}

/* Costs a tenth of a call of lua_pcall. */
__attribute__((noinline)) bool lh_protect_at_base(lh_state *state, lh_task *task, lh_push_fn push, void *context,
                                                  int *count) {
    void *trap[5]; /* the compiler's own setjmp: a few instructions, where the C library's takes thirty */
    assert(!state->running && lua_gettop(state->L) == 0 && !state->answer);
    state->trap = trap;
    if (__builtin_setjmp(trap) == 0) {
#ifdef LHOTSE_COLLECT
        lua_gc(state->L, LUA_GCCOLLECT, 0);
#endif
        *count = push(task, state->L, context);
        state->trap = NULL;
        return true;
    }
    lua_State *S = lh_state_here()->L;
    lh_state_here()->trap = NULL;
    lh_state_here()->running = NULL;
    lua_insert(S, 1); /* in a callback of the loop the stack was empty */
    lua_settop(S, 1);
    return false;
}

static int on_panic(lua_State *L) {
    lh_state *state = lh_state_here();
    if (state && state->trap && L == state->L) __builtin_longjmp(state->trap, 1);
    const char *message = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "an error";
    fprintf(stderr, "lhotse: %s, where nothing can catch it\n", message);
    return 0; /* LuaJIT ends the process */
}

void lh_protect_open(lh_state *state, lua_State *L) {
    lua_atpanic(L, on_panic);
    lua_pushcfunction(L, call_push);
    state->call_push_ref = luaL_ref(L, LUA_REGISTRYINDEX);
}
