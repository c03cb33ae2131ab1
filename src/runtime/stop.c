#include "runtime/stop.h"

#include <assert.h>

#include "base/alloc.h"
#include "host/log.h"
#include "runtime/task.h"

static atomic_int function_count;
static atomic_int pending; /* threads that have not answered, and the one that asks */
static lh_timer patience;
static void (*end_program)(void);

void lh_stop_register(int count) { atomic_fetch_add(&function_count, count); }

bool lh_stop_is_registered(void) { return atomic_load(&function_count) > 0; }

void lh_stop_done(void) {
    assert(end_program && atomic_load(&pending) > 0);
    if (atomic_fetch_sub(&pending, 1) == 1) end_program();
}

static void on_patience_over(lh_timer *timer) {
    (void)timer;
    end_program();
}

static int push_runner(lh_task *task, lua_State *L, void *context) {
    (void)task;
    lh_task **runner = context;
    lua_getfield(L, LUA_REGISTRYINDEX, LH_STOP);
    if (lua_isfunction(L, -1)) {
        *runner = lh_task_new(lh_state_here(), L, 0);
        lh_task_anchor(*runner);
    }
    return 1;
}

static void run_functions(lh_mail *mail, lh_loop *loop, bool is_closing) {
    lh_free(mail);
    if (is_closing) return;
    assert(lh_loop_is_mine(loop));
    lh_state *state = lh_state_of_loop(loop);
    lua_State *L = state->L;
    lua_settop(L, 0);
    lh_task *runner = NULL;
    if (lh_protect(L, push_runner, &runner) == LH_PROTECT_RAISED) {
        lh_log_print("error", "lhotse: the functions of mtev.on_stop are not run: %s\n", lua_tostring(L, -1));
    }
    lua_settop(L, 0); /* the thread, which the task anchors */
    if (runner) {
        lh_task_start(state, runner);
    } else {
        lh_stop_done();
    }
}

bool lh_stop_begin(lh_loop *loop, void (*end)(void)) {
    if (!lh_stop_is_registered()) return false;
    assert(lh_loop_is_mine(loop) && !patience.is_armed);
    end_program = end;
    atomic_store(&pending, 1);
    lh_timer_init(&patience, on_patience_over);
    lh_timer_start(&loop->timers, &patience, lh_loop_deadline(LH_STOP_SECONDS * LH_SECOND));
    return true;
}

void lh_stop_ask(lh_state *state) {
    lh_mail *mail = lh_alloc(sizeof(*mail));
    mail->deliver = run_functions;
    atomic_fetch_add(&pending, 1);
    lh_mailbox_post(&state->net.loop.mailbox, mail);
}
