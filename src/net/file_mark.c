#include "net/file_mark.h"

#include <inttypes.h>
#include <stdint.h>

int lh_file_mark(lh_buffer *to, const char *path, const struct stat *status) {
    return lh_buffer_print(to, " %s %ju %ju %ju %ju.%ju %ju.%ju", path, (uintmax_t)status->st_dev,
                           (uintmax_t)status->st_ino, (uintmax_t)status->st_size, (uintmax_t)status->st_mtim.tv_sec,
                           (uintmax_t)status->st_mtim.tv_nsec, (uintmax_t)status->st_ctim.tv_sec,
                           (uintmax_t)status->st_ctim.tv_nsec);
}
