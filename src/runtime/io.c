/* Whatever ends a wait passes `leave`: it empties the slot, and closes a socket whose last handle has gone meanwhile.
 */
#include "runtime/io.h"

#include <assert.h>
#include <errno.h>

#include "base/error.h"
#include "runtime/errors.h"

static const lh_io_wait *io_wait_of(const lh_task *task) { return LH_CONTAINER(task->wait, const lh_io_wait, wait); }

static void **waiter_slot(lh_socket *socket, bool is_writing) { return is_writing ? &socket->writer : &socket->reader; }

void lh_io_check_free(lua_State *L, const lh_socket *socket, bool is_writing) {
    if (is_writing ? socket->writer : socket->reader) {
        lh_raise(L, "mtev.eventer: busy (another coroutine is %s)", is_writing ? "sending" : "receiving");
    }
}

/* The socket has one waiter less; if its handle is gone too, that was the last use. */
static void leave(lh_socket *socket, bool is_writing) {
    assert(lh_slab_has(&lh_state_here()->net.sockets, socket) && *waiter_slot(socket, is_writing));
    *waiter_slot(socket, is_writing) = NULL;
    if (socket->is_orphan && !socket->reader && !socket->writer) lh_socket_close(socket);
}

static void give_up(lh_task *task, int error) {
    const lh_io_wait *wait = io_wait_of(task);
    if (wait->give_up) wait->give_up(task->object, error);
}

void lh_io_withdraw(lh_task *task) {
    assert(*waiter_slot(task->object, io_wait_of(task)->is_writing) == task);
    give_up(task, ECANCELED);
    leave(task->object, io_wait_of(task)->is_writing);
}

int lh_io_on_deadline(lh_task *task, lua_State *T) {
    assert(*waiter_slot(task->object, io_wait_of(task)->is_writing) == task);
    const int n = io_wait_of(task)->fail(T, "timeout");
    give_up(task, ETIMEDOUT);
    leave(task->object, io_wait_of(task)->is_writing);
    return n;
}

void lh_io_end_closed(lh_task *task) {
    if (!task) return;
    give_up(task, ECANCELED);
    lh_task_wake(task, 0); /* lh_io_on_run says "closed" */
}

int lh_io_on_run(lh_task *task, lua_State *T) { return io_wait_of(task)->fail(T, "closed"); }

static int push_attempt(lh_task *task, lua_State *T, void *socket) {
    const lh_io_wait *wait = io_wait_of(task);
    const int n = wait->attempt(task, T, socket);
    if (n != LH_TASK_STAY) leave(socket, wait->is_writing);
    return n;
}

static void attempt(lh_socket *socket, lh_task *task) {
    assert(task && task->object == socket);
    lh_task_answer(task, push_attempt, socket);
}

static void on_readable(lh_socket *socket) { attempt(socket, socket->reader); }
static void on_writable(lh_socket *socket) { attempt(socket, socket->writer); }

void lh_io_retry(lh_socket *socket, bool is_writing) { attempt(socket, *waiter_slot(socket, is_writing)); }

const lh_socket_events lh_io_events = {.on_readable = on_readable, .on_writable = on_writable};

int lh_io_park(lh_task *task, lua_State *L, lh_socket *socket, const lh_io_wait *wait, lh_ns deadline) {
    assert(task == lh_state_here()->running && !*waiter_slot(socket, wait->is_writing));
    const int rv = lh_socket_expect(socket);
    if (rv < 0) return wait->fail(L, lh_error_text(-rv));
    *waiter_slot(socket, wait->is_writing) = task;
    task->object = socket;
    return lh_task_park(task, L, &wait->wait, deadline);
}
