/* What scripts get: mtev.chmod, mkdir, mkdir_for_file, rmdir, unlink, realpath, getcwd, stat, readdir. How an operation
 * runs while its coroutine waits: runtime/file_job.h. lualib/mtev/files.lua raises for interrupted calls and filters
 * readdir. */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "mtev/init.h"
#include "runtime/errors.h"
#include "runtime/file_job.h"
#include "runtime/taken.h"

enum { DIRECTORY_MODE = 0777 };

/* -- chmod, mkdir, mkdir_for_file, rmdir, unlink ------------------------------------------------------------------- */

static void run_chmod(lh_file_job *job) { job->error = chmod(job->path, job->mode) < 0 ? errno : 0; }
static void run_mkdir(lh_file_job *job) { job->error = mkdir(job->path, job->mode) < 0 ? errno : 0; }
static void run_rmdir(lh_file_job *job) { job->error = rmdir(job->path) < 0 ? errno : 0; }
static void run_unlink(lh_file_job *job) { job->error = unlink(job->path) < 0 ? errno : 0; }

static int make_one(const char *path, mode_t mode) {
    if (mkdir(path, mode) == 0) return 0;
    const int error = errno;
    struct stat st;
    if (stat(path, &st) < 0) return error; /* EROFS and EACCES may come for what is there: that is fine */
    return S_ISDIR(st.st_mode) ? 0 : ENOTDIR;
}

static void run_mkdir_for_file(lh_file_job *job) {
    char *path = job->path;
    if (*path == '\0') job->error = ENOENT;
    for (char *slash = path; (slash = strchr(slash, '/')) && !job->error; slash++) {
        if (slash == path || slash[-1] == '/') continue;
        *slash = '\0';
        job->error = make_one(path, job->mode);
        *slash = '/';
    }
}

static const lh_file_op chmod_op = {.wait = {.name = "mtev.chmod", .is_world = true, .withdraw = lh_file_job_withdraw},
                                    .run = run_chmod,
                                    .push = lh_file_push_zero};
static const lh_file_op mkdir_op = {.wait = {.name = "mtev.mkdir", .is_world = true, .withdraw = lh_file_job_withdraw},
                                    .run = run_mkdir,
                                    .push = lh_file_push_true};
static const lh_file_op mkdir_for_file_op = {
    .wait = {.name = "mtev.mkdir_for_file", .is_world = true, .withdraw = lh_file_job_withdraw},
    .run = run_mkdir_for_file,
    .push = lh_file_push_true};
static const lh_file_op rmdir_op = {.wait = {.name = "mtev.rmdir", .is_world = true, .withdraw = lh_file_job_withdraw},
                                    .run = run_rmdir,
                                    .push = lh_file_push_true};
static const lh_file_op unlink_op = {
    .wait = {.name = "mtev.unlink", .is_world = true, .withdraw = lh_file_job_withdraw},
    .run = run_unlink,
    .push = lh_file_push_true};

static int start_with_mode(lua_State *L, const lh_file_op *op, const char *path, mode_t mode) {
    lh_file_job *job = lh_file_job_new(L, op, path, -1);
    job->mode = mode;
    return lh_file_job_start(L, job);
}

static int core_chmod(lua_State *L) {
    const char *path = lh_check_name(L, 1);
    return start_with_mode(L, &chmod_op, path, lh_check_mode(L, 2));
}

static int core_mkdir(lua_State *L) {
    const char *path = lh_check_name(L, 1);
    return start_with_mode(L, &mkdir_op, path, lh_opt_mode(L, 2, DIRECTORY_MODE));
}

static int core_mkdir_for_file(lua_State *L) {
    const char *path = lh_check_name(L, 1);
    return start_with_mode(L, &mkdir_for_file_op, path, lh_opt_mode(L, 2, DIRECTORY_MODE));
}

static int core_rmdir(lua_State *L) {
    return lh_file_job_start(L, lh_file_job_new(L, &rmdir_op, lh_check_name(L, 1), -1));
}
static int core_unlink(lua_State *L) {
    return lh_file_job_start(L, lh_file_job_new(L, &unlink_op, lh_check_name(L, 1), -1));
}

/* -- realpath, getcwd ---------------------------------------------------------------------------------------------- */

static void run_realpath(lh_file_job *job) {
    char *path = realpath(job->path, NULL);
    job->error = path ? -lh_buffer_append(&job->bytes, path, strlen(path)) : errno;
    lh_free(path);
}

static const lh_file_op realpath_op = {
    .wait = {.name = "mtev.realpath", .is_world = true, .withdraw = lh_file_job_withdraw},
    .run = run_realpath,
    .push = lh_file_push_bytes};

static int core_realpath(lua_State *L) {
    return lh_file_job_start(L, lh_file_job_new(L, &realpath_op, lh_check_name(L, 1), -1));
}

static int mtev_getcwd(lua_State *L) {
    char *path = getcwd(NULL, 0);
    if (!path) return lh_push_nil_errno(L, errno);
    lh_push_taken(L, path, strlen(path), lh_free);
    return 1;
}

/* -- stat, readdir ------------------------------------------------------------------------------------------------- */

static void run_stat(lh_file_job *job) {
    const int rv = job->path ? lstat(job->path, &job->stat) : fstat(job->fd, &job->stat);
    if (rv < 0) job->error = errno;
}

static void set_number(lua_State *L, const char *key, double value) {
    lua_pushnumber(L, value);
    lua_setfield(L, -2, key);
}

static double seconds(const struct timespec *t) { return (double)t->tv_sec + (double)t->tv_nsec / 1e9; }

static int push_stat(lua_State *L, lh_file_job *job) {
    if (job->error) return lh_push_nil_errno(L, job->error);
    const struct stat *st = &job->stat;
    lua_createtable(L, 0, 11);
    set_number(L, "dev", (double)st->st_dev);
    set_number(L, "ino", (double)st->st_ino);
    set_number(L, "mode", st->st_mode);
    set_number(L, "nlink", (double)st->st_nlink);
    set_number(L, "uid", st->st_uid);
    set_number(L, "gid", st->st_gid);
    set_number(L, "rdev", (double)st->st_rdev);
    set_number(L, "size", (double)st->st_size);
    set_number(L, "mtime", seconds(&st->st_mtim));
    set_number(L, "atime", seconds(&st->st_atim));
    set_number(L, "ctime", seconds(&st->st_ctim));
    return 1;
}

static const lh_file_op stat_op = {.wait = {.name = "mtev.stat", .is_world = true, .withdraw = lh_file_job_withdraw},
                                   .run = run_stat,
                                   .push = push_stat};

static int core_stat(lua_State *L) {
    if (lua_isnoneornil(L, 1)) {
        lua_pushnil(L);
        return 1;
    }
    const bool is_fd = lua_type(L, 1) == LUA_TNUMBER;
    const int fd = is_fd ? lh_check_fd(L, 1) : -1;
    return lh_file_job_start(L, lh_file_job_new(L, &stat_op, is_fd ? NULL : lh_check_name(L, 1), fd));
}

static void run_readdir(lh_file_job *job) {
    DIR *dir = opendir(job->path);
    if (!dir) {
        job->error = errno;
        return;
    }
    errno = 0;
    for (const struct dirent *entry; !job->error && (entry = readdir(dir)); errno = 0) {
        job->error = -lh_buffer_append(&job->bytes, entry->d_name, strlen(entry->d_name) + 1);
    }
    if (!job->error) job->error = errno;
    closedir(dir);
}

static int push_names(lua_State *L, lh_file_job *job) {
    if (job->error) return lh_push_nil_errno(L, job->error);
    lua_newtable(L);
    const char *name = lh_buffer_bytes(&job->bytes);
    const char *end = name + job->bytes.length;
    assert(name == end || end[-1] == '\0');
    for (int i = 1; name < end; name += strlen(name) + 1) {
        lua_pushstring(L, name);
        lua_rawseti(L, -2, i++);
    }
    return 1;
}

static const lh_file_op readdir_op = {
    .wait = {.name = "mtev.readdir", .is_world = true, .withdraw = lh_file_job_withdraw},
    .run = run_readdir,
    .push = push_names};

static int core_readdir(lua_State *L) {
    return lh_file_job_start(L, lh_file_job_new(L, &readdir_op, lh_check_name(L, 1), -1));
}

static const luaL_Reg functions[] = {{"getcwd", mtev_getcwd}, {NULL, NULL}};

static const luaL_Reg file_functions[] = {
    {"chmod", core_chmod}, {"mkdir", core_mkdir},     {"mkdir_for_file", core_mkdir_for_file},
    {"rmdir", core_rmdir}, {"unlink", core_unlink},   {"realpath", core_realpath},
    {"stat", core_stat},   {"readdir", core_readdir}, {NULL, NULL},
};

void lh_open_files_tree(lua_State *L) {
    lh_set_functions(L, LH_MTEV, functions);
    lh_set_file_functions(L, file_functions);
}
