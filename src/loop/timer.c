/* The level of a timer is the highest group of six bits in which its tick differs from the current one; within the
 * level its slot is that group. All timers of a level therefore lie in the future of the current slot and before any
 * timer of a higher level, so the earliest is found by the lowest non-empty level's lowest bit. Entering a slot of a
 * higher level redistributes ("cascades") its timers downwards; a timer cascades at most once per level.
 *
 * A 4-ary heap was the alternative. At a million timers it touches ten cache lines per pop, and keeping each timer's
 * position for O(1) stops writes to as many timers; a wheel touches the neighbours only. */
#include "loop/timer.h"

#include <assert.h>

enum { TICK_SHIFT = 10, SLOT_MASK = LH_TIMER_SLOTS - 1, DUE = 0xffff };

static const uint64_t MAX_TICK = (UINT64_C(1) << (LH_TIMER_LEVELS * LH_TIMER_SLOT_BITS)) - 1; /* 9 years of uptime */

/* The first tick that does not begin before `deadline`. */
static uint64_t tick_of(lh_ns deadline) {
    const uint64_t tick = (deadline >> TICK_SHIFT) + ((deadline & ((1u << TICK_SHIFT) - 1)) != 0);
    return tick > MAX_TICK ? MAX_TICK : tick;
}

void lh_timers_init(lh_timers *timers, lh_ns now) {
    timers->owner = lh_owner_here();
    timers->tick = now >> TICK_SHIFT;
    timers->count = 0;
    lh_list_init(&timers->due);
    for (int level = 0; level < LH_TIMER_LEVELS; level++) {
        timers->occupied[level] = 0;
        for (int slot = 0; slot < LH_TIMER_SLOTS; slot++) lh_list_init(&timers->slots[level][slot]);
    }
}

void lh_timer_init(lh_timer *timer, lh_timer_fn on_expire) {
    *timer = (lh_timer){.on_expire = on_expire};
    lh_list_init(&timer->wheel_node);
}

static __attribute__((unused)) bool is_mine(const lh_timers *timers) { return timers->owner == lh_owner_here(); }

static void place(lh_timers *timers, lh_timer *timer) {
    const uint64_t tick = tick_of(timer->deadline_ns);
    if (tick <= timers->tick) {
        timer->slot = DUE;
        lh_list_append(&timers->due, &timer->wheel_node);
        return;
    }
    const int high_bit = 63 - __builtin_clzll(tick ^ timers->tick);
    const int level = high_bit / LH_TIMER_SLOT_BITS;
    const int slot = (int)(tick >> (level * LH_TIMER_SLOT_BITS)) & SLOT_MASK;
    assert(level < LH_TIMER_LEVELS);
    timer->slot = (uint16_t)(level * LH_TIMER_SLOTS + slot);
    timers->occupied[level] |= UINT64_C(1) << slot;
    lh_list_append(&timers->slots[level][slot], &timer->wheel_node);
}

static void displace(lh_timers *timers, lh_timer *timer) {
    assert(lh_list_is_linked(&timer->wheel_node));
    lh_list_remove(&timer->wheel_node);
    if (timer->slot == DUE) return;
    const int level = timer->slot / LH_TIMER_SLOTS, slot = timer->slot & SLOT_MASK;
    if (lh_list_is_empty(&timers->slots[level][slot])) timers->occupied[level] &= ~(UINT64_C(1) << slot);
}

void lh_timer_start(lh_timers *timers, lh_timer *timer, lh_ns deadline_ns) {
    assert(is_mine(timers) && timer->on_expire);
    lh_timer_stop(timers, timer);
    if (deadline_ns == LH_NEVER) return;
    timer->deadline_ns = deadline_ns;
    timer->is_armed = true;
    timers->count++;
    place(timers, timer);
}

void lh_timer_stop(lh_timers *timers, lh_timer *timer) {
    if (!timer->is_armed) return;
    assert(is_mine(timers) && timers->count > 0);
    timer->is_armed = false;
    timers->count--;
    displace(timers, timer);
}

/* The lowest level that holds a timer, or -1. */
static int lowest_level(const lh_timers *timers) {
    for (int level = 0; level < LH_TIMER_LEVELS; level++) {
        if (timers->occupied[level]) return level;
    }
    return -1;
}

/* The tick at which the first occupied slot of `level` begins. */
static uint64_t first_slot_tick(const lh_timers *timers, int level) {
    const int shift = level * LH_TIMER_SLOT_BITS;
    const uint64_t slot = (uint64_t)__builtin_ctzll(timers->occupied[level]);
    const uint64_t above = ~UINT64_C(0) << (shift + LH_TIMER_SLOT_BITS);
    return (timers->tick & above) | (slot << shift);
}

/* Moves the wheel to `tick`, collecting in `due` what it passes. */
static void advance(lh_timers *timers, uint64_t tick) {
    for (int level; (level = lowest_level(timers)) >= 0;) {
        const uint64_t slot_tick = first_slot_tick(timers, level);
        if (slot_tick > tick) break;
        const int slot = __builtin_ctzll(timers->occupied[level]);
        assert(slot_tick >= timers->tick);
        timers->tick = slot_tick;
        timers->occupied[level] &= ~(UINT64_C(1) << slot);
        lh_list arrived;
        lh_list_init(&arrived);
        lh_list_splice(&arrived, &timers->slots[level][slot]);
        for (lh_list *node; (node = lh_list_take_first(&arrived));) {
            place(timers, LH_CONTAINER(node, lh_timer, wheel_node));
        }
    }
    if (tick > timers->tick) timers->tick = tick;
}

void lh_timers_expire(lh_timers *timers, lh_ns now) {
    assert(is_mine(timers));
    if (timers->count == 0) {
        timers->tick = now >> TICK_SHIFT;
        return;
    }
    advance(timers, now >> TICK_SHIFT);
    if (lh_list_is_empty(&timers->due)) return;
    /* A batch of its own: what callbacks start with a past deadline stays for the next turn. */
    lh_list batch;
    lh_list_init(&batch);
    lh_list_splice(&batch, &timers->due);
    for (lh_list *node; (node = lh_list_take_first(&batch));) {
        lh_timer *timer = LH_CONTAINER(node, lh_timer, wheel_node);
        assert(timer->is_armed && timer->deadline_ns <= now);
        timer->is_armed = false;
        timers->count--;
        timer->on_expire(timer);
    }
}

lh_ns lh_timers_next(const lh_timers *timers) {
    if (!lh_list_is_empty(&timers->due)) return 0;
    const int level = lowest_level(timers);
    return level < 0 ? LH_NEVER : first_slot_tick(timers, level) << TICK_SHIFT;
}
