/* What scripts get: jit.profile, finished in lualib/mtev/profile.lua. LuaJIT's timer belongs to the process, and its
 * handler runs in whichever thread the kernel picks: it would charge one loop's work to another. Here each sample is
 * asked for by a timer of the CPU time of the thread that profiles.
 *
 *     core.profile_begin() -> boolean   LuaJIT's profiler may be started; false: another thread has it
 *     core.profile_timer(milliseconds)  it has been: samples so often
 *     core.profile_end()                it has been stopped
 *     core.profile_is_over              int *: a signal ends the program, core.profile_exit(thread) is to be called */
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "mtev/init.h"
#include "runtime/errors.h"
#include "runtime/hang.h"

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static _Thread_local timer_t timer;
static _Thread_local bool has_timer;

static void delete_timer(void) {
    if (has_timer) timer_delete(timer);
    has_timer = false;
}

static _Thread_local bool is_profiling;

static int core_profile_begin(lua_State *L) {
    is_profiling = is_profiling || lh_hang_lend_profiler();
    lua_pushboolean(L, is_profiling);
    return 1;
}

static int core_profile_timer(lua_State *L) {
    const int64_t milliseconds = lh_check_integer(L, 1, 1, 1000000);
    const struct itimerval off = {0};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGPROF};
    event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
    setitimer(ITIMER_PROF, &off, NULL);
    delete_timer();
    has_timer = timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer) == 0;
    const struct timespec interval = {.tv_sec = (time_t)(milliseconds / 1000),
                                      .tv_nsec = (long)(milliseconds % 1000) * 1000000};
    const struct itimerspec time = {.it_interval = interval, .it_value = interval};
    if (has_timer) timer_settime(timer, 0, &time, NULL);
    return 0;
}

static int core_profile_end(lua_State *L) {
    (void)L;
    delete_timer();
    if (is_profiling) lh_hang_take_profiler();
    is_profiling = false;
    return 0;
}

static int core_profile_exit(lua_State *L) {
    lua_State *running = lua_tothread(L, 1);
    lh_hang_end(running ? running : L);
}

static const luaL_Reg core_functions[] = {{"profile_begin", core_profile_begin},
                                          {"profile_timer", core_profile_timer},
                                          {"profile_end", core_profile_end},
                                          {"profile_exit", core_profile_exit},
                                          {NULL, NULL}};

void lh_open_profile(lua_State *L) {
    lh_set_functions(L, LH_CORE, core_functions);
    lua_pushlightuserdata(L, (void *)(uintptr_t)&lh_hang_is_over);
    lua_setfield(L, LH_CORE, "profile_is_over");
}
