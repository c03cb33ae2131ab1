/* What scripts get: mtev.lockfile_acquire, lockfile_release. A lock is one of fcntl(2) that belongs to the open file
 * (F_OFD_SETLK); the kernel releases it when its process ends, however that is. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/descriptors.h"
#include "mtev/init.h"
#include "runtime/errors.h"
#include "runtime/file_job.h"

static int lock_whole(int fd) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_OFD_SETLK, &lock) < 0 ? -errno : 0;
}

/* A holder removes its file before it unlocks: what we have locked may not be the file of that name any more. */
static bool is_still(int fd, const char *path) {
    struct stat mine, there;
    return fstat(fd, &mine) == 0 && stat(path, &there) == 0 && mine.st_ino == there.st_ino &&
           mine.st_dev == there.st_dev;
}

/* The lock belongs to the open file, not to the process: a second acquire in this process fails as well. */
static void run_lock(lh_file_job *job) {
    for (;;) {
        const int fd = open(job->path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        if (fd < 0) {
            job->error = errno;
            return;
        }
        job->error = -lock_whole(fd);
        if (!job->error && is_still(fd, job->path)) {
            char text[32];
            const int length = snprintf(text, sizeof(text), "%d\n", (int)getpid());
            if (ftruncate(fd, 0) < 0 || write(fd, text, (size_t)length) < 0) job->error = errno;
            job->fd = lh_descriptor_claim(fd);
            if (!job->error) return;
            lh_descriptor_close(fd);
            return;
        }
        close(fd);
        if (job->error) return;
    }
}

/* registry[LOCKFILES][handle] = path */
#define LOCKFILES "mtev.lockfiles"

static int push_lock(lua_State *L, lh_file_job *job) {
    if (job->error) return lh_push_minus1_errno(L, job->error);
    lua_getfield(L, LUA_REGISTRYINDEX, LOCKFILES);
    lua_pushstring(L, job->path);
    lua_rawseti(L, -2, job->fd);
    lua_pop(L, 1);
    lua_pushinteger(L, job->fd);
    return 1;
}

static void drop_lock(const lh_file_job *job) { lh_descriptor_close(job->fd); }

static const lh_file_op lock_op = {
    .wait = {.name = "mtev.lockfile_acquire", .is_world = true, .withdraw = lh_file_job_withdraw},
    .run = run_lock,
    .push = push_lock,
    .drop = drop_lock};

static int core_lockfile_acquire(lua_State *L) {
    return lh_file_job_start(L, lh_file_job_new(L, &lock_op, lh_check_name(L, 1), -1));
}

static int mtev_lockfile_release(lua_State *L) {
    const int handle = lh_check_fd(L, 1);
    lua_getfield(L, LUA_REGISTRYINDEX, LOCKFILES);
    lua_rawgeti(L, -1, handle); /* stack: ..., lockfiles, path */
    const char *path = lua_tostring(L, -1);
    if (!path) {
        lua_pushinteger(L, -1);
        lua_pushinteger(L, EBADF);
        return 2;
    }
    if (is_still(handle, path)) unlink(path);
    lh_descriptor_close(handle);
    lua_pushnil(L);
    lua_rawseti(L, -3, handle);
    lua_pushinteger(L, 0);
    return 1;
}

static const luaL_Reg functions[] = {{"lockfile_release", mtev_lockfile_release}, {NULL, NULL}};
static const luaL_Reg file_functions[] = {{"lockfile_acquire", core_lockfile_acquire}, {NULL, NULL}};

void lh_open_files_lock(lua_State *L) {
    lh_set_functions(L, LH_MTEV, functions);
    lh_set_file_functions(L, file_functions);
    lua_newtable(L);
    lua_setfield(L, LUA_REGISTRYINDEX, LOCKFILES);
}
