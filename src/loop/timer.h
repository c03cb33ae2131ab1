/* Timers that scale: starting, moving and stopping one is O(1) at a million armed timers.
 *
 * A hierarchical wheel of 1.024 us ticks. A timer is a node embedded in whatever waits; it fires once, never before its
 * deadline and at most a tick (plus what the loop is busy with) after it. Timers due in the same tick fire in the order
 * they were started.
 *
 * Owner: the timer's memory is the caller's and must live until it fired or was stopped; `lh_timers` is embedded in the
 * loop. Thread: the loop's own. Errors: none; nothing is allocated. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/owner.h"

typedef struct lh_timer lh_timer;
typedef void (*lh_timer_fn)(lh_timer *timer);

enum { LH_TIMER_LEVELS = 8, LH_TIMER_SLOT_BITS = 6, LH_TIMER_SLOTS = 1 << LH_TIMER_SLOT_BITS };

struct lh_timer {
    lh_list wheel_node;    /* in a slot of the wheel, or in the list of due timers */
    lh_ns deadline_ns;     /* when to fire, monotonic */
    lh_timer_fn on_expire; /* called once, the timer already disarmed; may start it again */
    uint16_t slot;         /* level * LH_TIMER_SLOTS + slot, or LH_TIMER_DUE */
    bool is_armed;
};

typedef struct lh_timers {
    lh_owner owner;                     /* the thread that made it */
    uint64_t tick;                      /* everything up to this tick has fired or is due */
    size_t count;                       /* armed timers */
    lh_list due;                        /* armed timers whose tick has come */
    uint64_t occupied[LH_TIMER_LEVELS]; /* a bit per slot that holds a timer */
    lh_list slots[LH_TIMER_LEVELS][LH_TIMER_SLOTS];
} lh_timers;

void lh_timers_init(lh_timers *timers, lh_ns now);

/* Makes a disarmed timer. */
void lh_timer_init(lh_timer *timer, lh_timer_fn on_expire);

/* Arms `timer` to fire once at `deadline_ns` (in the past = next turn of the loop, never at once). Arming an armed
 * timer moves it. LH_NEVER disarms. */
void lh_timer_start(lh_timers *timers, lh_timer *timer, lh_ns deadline_ns);

/* Harmless on a disarmed timer. */
void lh_timer_stop(lh_timers *timers, lh_timer *timer);

/* Fires what is due at `now`. Timers started by the callbacks wait for the next call. */
void lh_timers_expire(lh_timers *timers, lh_ns now);

/* An instant at or before the earliest deadline (the wheel may want to cascade first), LH_NEVER without timers. */
lh_ns lh_timers_next(const lh_timers *timers);
