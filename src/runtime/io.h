/* A task that waits for a socket: for its turn to read, or to write.
 *
 * The task is noted in the socket (`reader` or `writer`), whose callbacks try the operation again. It waits on the
 * lh_socket, not on a handle: the handle may be closed, given away or collected meanwhile.
 *
 * Owner: the wait is a constant. Thread: the state's own. Errors: as each function says. */
#pragma once
#include "net/socket.h"
#include "runtime/task.h"

/* How a parked task goes on when its socket is ready. */
typedef struct lh_io_wait {
    lh_wait wait;    /* .on_run, and usually .on_deadline and .withdraw: lh_io_* below */
    bool is_writing; /* waits in `writer`, else in `reader` */
    /* Tries the operation; pushes its results on T and returns their number, or LH_TASK_STAY. */
    int (*attempt)(lh_task *task, lua_State *T, lh_socket *socket);
    /* Pushes the call's failure with `message`. */
    int (*fail)(lua_State *T, const char *message);
    /* The operation is given up before it succeeded, for `error`: by its deadline, by cancel, by close. NULL = whoever
     * tries next goes on where it stands. */
    void (*give_up)(lh_socket *socket, int error);
} lh_io_wait;

/* Raises when another task is parked on that direction of the socket. */
void lh_io_check_free(lua_State *L, const lh_socket *socket, bool is_writing);

/* Parks the running task until `wait->attempt` succeeds or the deadline comes; to be returned. When the socket cannot
 * be watched it returns the call's failure. `lh_task_may_park` has been called. */
int lh_io_park(lh_task *task, lua_State *L, lh_socket *socket, const lh_io_wait *wait, lh_ns deadline);

/* For lh_wait: the task gives up and leaves the socket it waits on. */
void lh_io_withdraw(lh_task *task);

/* For lh_wait: gives up, leaves, and pushes the failure "timeout". */
int lh_io_on_deadline(lh_task *task, lua_State *T);

/* For lh_wait: the handle was closed; pushes the failure "closed". */
int lh_io_on_run(lh_task *task, lua_State *T);

/* The handle of a parked task that has left its socket (or NULL) was closed: it wakes with the failure "closed". */
void lh_io_end_closed(lh_task *task);

/* The parked task's operation may be over for a reason that is not its socket's: its `attempt` is called. */
void lh_io_retry(lh_socket *socket, bool is_writing);

/* What a socket whose operations wait here calls. */
extern const lh_socket_events lh_io_events;
