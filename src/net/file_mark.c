#include "net/file_mark.h"

#include <dirent.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

int lh_file_mark(lh_buffer *to, const char *path, const struct stat *status) {
    return lh_buffer_print(to, " %s %ju %ju %ju %ju.%ju %ju.%ju", path, (uintmax_t)status->st_dev,
                           (uintmax_t)status->st_ino, (uintmax_t)status->st_size, (uintmax_t)status->st_mtim.tv_sec,
                           (uintmax_t)status->st_mtim.tv_nsec, (uintmax_t)status->st_ctim.tv_sec,
                           (uintmax_t)status->st_ctim.tv_nsec);
}

enum { HASH_DIGITS = 8 };

/* "5ed36f99.0", "5ed36f99.r0" */
static bool is_hashed(const char *name) {
    if (strspn(name, "0123456789abcdef") != HASH_DIGITS || name[HASH_DIGITS] != '.') return false;
    const char *number = name + HASH_DIGITS + (name[HASH_DIGITS + 1] == 'r' ? 2 : 1);
    return *number && number[strspn(number, "0123456789")] == 0;
}

static int count_hashed(DIR *directory) {
    int count = 0;
    rewinddir(directory);
    for (const struct dirent *entry; (entry = readdir(directory));) count += is_hashed(entry->d_name);
    return count;
}

void lh_hashed_files(const char *directory, void (*visit)(void *context, const char *path, const struct stat *status),
                     void *context) {
    DIR *open = opendir(directory);
    if (!open) return;
    const bool is_small = count_hashed(open) <= LH_HASHED_FILES_MAX;
    rewinddir(open);
    for (const struct dirent *entry; is_small && (entry = readdir(open));) {
        char path[PATH_MAX];
        struct stat status;
        if (!is_hashed(entry->d_name)) continue;
        const int length = snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
        if (length < (int)sizeof(path) && stat(path, &status) == 0) visit(context, path, &status);
    }
    closedir(open);
}
