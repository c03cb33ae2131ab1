/* One mutex guards the directory of streams and their graph; a stream's effective flag is recomputed under it whenever
 * the graph or a flag changes, so that writing needs to read one byte only. Sinks have a mutex each, for their queue.
 *
 * The writer threads are started by the first record of their sink: a script that prints nothing pays nothing. */
#include "runtime/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/strmap.h"
#include "loop/thread.h"

enum { QUEUE_MAX_BYTES = 8 * 1024 * 1024, BATCH = 64, OUTLETS_MAX = 8, PASS_MAX = 16, FLUSH_SECONDS = 10 };
enum { WRITER_STACK_BYTES = 128 * 1024 };

typedef struct record {
    struct record *next;
    size_t length;
    bool is_debug;
    char bytes[];
} record;

typedef struct log_sink {
    int fd;
    bool waits_when_full;   /* instead of dropping */
    pthread_mutex_t mutex;  /* guards everything below */
    pthread_cond_t queued;  /* the writer waits for records */
    pthread_cond_t written; /* others wait for room, or for the end */
    record *first, *last;
    size_t queued_bytes; /* in the queue, the batch under way not counted */
    size_t lost_count;   /* records dropped and not yet reported */
    uint64_t put, done;  /* records ever queued, and ever written or dropped */
    bool has_writer;
} log_sink;

struct lh_log {
    char *name;
    bool is_enabled;                    /* the stream's own flag; guarded by `directory_mutex` */
    _Atomic unsigned char is_effective; /* reaches a sink; written under `directory_mutex`, read by anyone */
    bool is_debug;                      /* "debug" or below it: the first to be dropped */
    log_sink *sink;                     /* NULL = none; set before the stream is published */
    lh_log *outlets[OUTLETS_MAX];
    int outlet_count;
};

static pthread_mutex_t directory_mutex = PTHREAD_MUTEX_INITIALIZER; /* guards `directory` and the graph */
static lh_strmap directory;
static log_sink stdout_sink, stderr_sink;

/* -- Sinks: the writing side --------------------------------------------------------------------------------------- */

static void wait_until_writable(int fd) {
    struct pollfd pollfd = {.fd = fd, .events = POLLOUT};
    poll(&pollfd, 1, -1);
}

/* Writes all pieces; false when the descriptor refuses. The descriptor may be non-blocking: it is shared with others.
 */
static bool write_all(int fd, struct iovec *pieces, int count) {
    while (count > 0) {
        ssize_t n = writev(fd, pieces, count);
        if (n < 0) {
            if (errno == EINTR) continue;
            if (errno != EAGAIN) return false;
            wait_until_writable(fd);
            continue;
        }
        while (count > 0 && (size_t)n >= pieces->iov_len) {
            n -= (ssize_t)pieces->iov_len;
            pieces++;
            count--;
        }
        if (count > 0) {
            pieces->iov_base = (char *)pieces->iov_base + n;
            pieces->iov_len -= (size_t)n;
        }
    }
    return true;
}

static record *take_batch(log_sink *sink, int *count) {
    record *first = sink->first, *last = NULL;
    *count = 0;
    for (record *r = first; r && *count < BATCH; r = r->next) {
        sink->queued_bytes -= r->length;
        last = r;
        ++*count;
    }
    sink->first = last ? last->next : NULL;
    if (!sink->first) sink->last = NULL;
    if (last) last->next = NULL;
    return first;
}

static void write_batch(int fd, record *batch) {
    struct iovec pieces[BATCH];
    int count = 0;
    for (record *r = batch; r; r = r->next) {
        pieces[count++] = (struct iovec){.iov_base = r->bytes, .iov_len = r->length};
    }
    write_all(fd, pieces, count);
    for (record *r = batch, *next; r; r = next) {
        next = r->next;
        lh_free(r);
    }
}

static void report_loss(log_sink *sink) {
    char text[96];
    const int length =
        snprintf(text, sizeof(text), "lhotse: %zu log records were lost (queue full)\n", sink->lost_count);
    sink->lost_count = 0;
    struct iovec piece = {.iov_base = text, .iov_len = (size_t)length};
    pthread_mutex_unlock(&sink->mutex);
    write_all(sink->fd, &piece, 1);
    pthread_mutex_lock(&sink->mutex);
}

static void *write_records(void *argument) {
    log_sink *sink = argument;
    pthread_mutex_lock(&sink->mutex);
    for (;;) {
        while (!sink->first) pthread_cond_wait(&sink->queued, &sink->mutex);
        if (sink->lost_count) report_loss(sink);
        int count;
        record *batch = take_batch(sink, &count);
        pthread_mutex_unlock(&sink->mutex);
        write_batch(sink->fd, batch);
        pthread_mutex_lock(&sink->mutex);
        sink->done += (uint64_t)count;
        pthread_cond_broadcast(&sink->written);
    }
    return NULL;
}

/* -- Sinks: the queueing side -------------------------------------------------------------------------------------- */

static void start_writer(log_sink *sink) {
    sink->has_writer = lh_thread_start("log", write_records, sink, WRITER_STACK_BYTES) == 0;
}

/* Drops the oldest record that `only_debug` allows; false when there is none. */
static bool drop_oldest(log_sink *sink, bool only_debug) {
    record *previous = NULL;
    for (record *r = sink->first; r; previous = r, r = r->next) {
        if (only_debug && !r->is_debug) continue;
        if (previous) {
            previous->next = r->next;
        } else {
            sink->first = r->next;
        }
        if (sink->last == r) sink->last = previous;
        sink->queued_bytes -= r->length;
        sink->lost_count++;
        sink->done++;
        lh_free(r);
        return true;
    }
    return false;
}

static void make_room(log_sink *sink, size_t length) {
    while (sink->queued_bytes > 0 && sink->queued_bytes + length > QUEUE_MAX_BYTES) {
        if (drop_oldest(sink, true)) continue;
        if (sink->waits_when_full) {
            pthread_cond_wait(&sink->written, &sink->mutex);
        } else {
            drop_oldest(sink, false);
        }
    }
}

static void put(log_sink *sink, const char *bytes, size_t length, bool is_debug) {
    record *r = lh_try_alloc(sizeof(*r) + length);
    pthread_mutex_lock(&sink->mutex);
    if (!sink->has_writer) start_writer(sink);
    if (!r || !sink->has_writer) {
        sink->lost_count++;
        pthread_mutex_unlock(&sink->mutex);
        lh_free(r);
        return;
    }
    *r = (record){.length = length, .is_debug = is_debug};
    memcpy(r->bytes, bytes, length);
    make_room(sink, length);
    if (sink->last) {
        sink->last->next = r;
    } else {
        sink->first = r;
        pthread_cond_signal(&sink->queued);
    }
    sink->last = r;
    sink->queued_bytes += length;
    sink->put++;
    pthread_mutex_unlock(&sink->mutex);
}

static void flush_sink(log_sink *sink) {
    pthread_mutex_lock(&sink->mutex);
    const uint64_t goal = sink->put;
    uint64_t seen = sink->done;
    struct timespec limit;
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += FLUSH_SECONDS;
    while (sink->done < goal) {
        if (pthread_cond_timedwait(&sink->written, &sink->mutex, &limit) == ETIMEDOUT) {
            if (sink->done == seen) break; /* stuck */
            seen = sink->done;
            limit.tv_sec += FLUSH_SECONDS;
        }
    }
    pthread_mutex_unlock(&sink->mutex);
}

static void init_sink(log_sink *sink, int fd, bool waits_when_full) {
    sink->fd = fd;
    sink->waits_when_full = waits_when_full;
    pthread_mutex_init(&sink->mutex, NULL);
    pthread_cond_init(&sink->queued, NULL);
    pthread_cond_init(&sink->written, NULL);
}

/* A terminal, or 2>&1: one queue for both, so that what a script prints and what it logs stay in order. */
static bool is_same_file(int a, int b) {
    struct stat first, second;
    return fstat(a, &first) == 0 && fstat(b, &second) == 0 && first.st_dev == second.st_dev &&
           first.st_ino == second.st_ino;
}

/* -- stdio --------------------------------------------------------------------------------------------------------- */

static ssize_t write_stdio(void *cookie, const char *bytes, size_t length) {
    put(cookie, bytes, length, false);
    return (ssize_t)length;
}

static void redirect_stdio(log_sink *error_sink) {
    const cookie_io_functions_t functions = {.write = write_stdio};
    FILE *out = fopencookie(&stdout_sink, "w", functions), *err = fopencookie(error_sink, "w", functions);
    if (!out || !err) return; /* the plain ones do, out of order */
    setvbuf(out, NULL, isatty(STDOUT_FILENO) ? _IOLBF : _IOFBF, 16 * 1024);
    setvbuf(err, NULL, _IONBF, 0);
    stdout = out;
    stderr = err;
}

void lh_log_flush_stdio(void) {
    if (__fpending(stdout) > 0) fflush(stdout);
}

void lh_log_flush(void) {
    fflush(stdout);
    flush_sink(&stdout_sink);
    flush_sink(&stderr_sink);
}

/* -- Streams ------------------------------------------------------------------------------------------------------- */

static bool compute_effective(const lh_log *log, int depth) {
    if (!log->is_enabled || depth > PASS_MAX) return false;
    if (log->sink) return true;
    for (int i = 0; i < log->outlet_count; i++) {
        if (compute_effective(log->outlets[i], depth + 1)) return true;
    }
    return false;
}

static void refresh_one(const lh_strmap_node *node, void *context) {
    (void)context;
    lh_log *log = node->value;
    if (log) atomic_store(&log->is_effective, compute_effective(log, 0));
}

static void refresh_all(void) { lh_strmap_each(&directory, refresh_one, NULL); }

static void add_outlet(lh_log *log, lh_log *outlet) {
    if (log->outlet_count < OUTLETS_MAX) log->outlets[log->outlet_count++] = outlet;
}

static bool is_debug_name(const char *name) {
    return strncmp(name, "debug", 5) == 0 && (name[5] == '\0' || name[5] == '/');
}

/* Finds or makes a stream; `directory_mutex` is held. */
static lh_log *get_locked(const char *name, size_t length) {
    lh_log *log = lh_strmap_get(&directory, name, length);
    if (log) return log;
    const char *slash = memrchr(name, '/', length);
    lh_log *parent = slash ? get_locked(name, (size_t)(slash - name)) : NULL;
    log = lh_alloc(sizeof(*log));
    log->name = lh_alloc_copy(name, length);
    log->is_enabled = true;
    log->is_debug = is_debug_name(log->name);
    if (parent) add_outlet(log, parent);
    atomic_init(&log->is_effective, compute_effective(log, 0));
    *lh_strmap_slot(&directory, name, length) = log;
    return log;
}

lh_log *lh_log_get(const char *name, size_t length) {
    pthread_mutex_lock(&directory_mutex);
    lh_log *log = get_locked(name, length);
    pthread_mutex_unlock(&directory_mutex);
    return log;
}

lh_log *lh_log_find(const char *name, size_t length) {
    pthread_mutex_lock(&directory_mutex);
    lh_log *log = lh_strmap_get(&directory, name, length);
    pthread_mutex_unlock(&directory_mutex);
    return log;
}

const volatile unsigned char *lh_log_flag(const lh_log *log) {
    return (const volatile unsigned char *)&log->is_effective;
}

void lh_log_enable(lh_log *log, bool is_enabled) {
    pthread_mutex_lock(&directory_mutex);
    log->is_enabled = is_enabled;
    refresh_all();
    pthread_mutex_unlock(&directory_mutex);
}

/* Outlets are set before a stream is published and never change, so passing along needs no lock. */
static void pass_on(const lh_log *log, const char *bytes, size_t length, bool is_debug, int depth) {
    if (!atomic_load_explicit(&log->is_effective, memory_order_relaxed) || depth > PASS_MAX) return;
    if (log->sink) put(log->sink, bytes, length, is_debug);
    for (int i = 0; i < log->outlet_count; i++) pass_on(log->outlets[i], bytes, length, is_debug, depth + 1);
}

void lh_log_write(lh_log *log, const char *bytes, size_t length) {
    lh_log_flush_stdio();
    pass_on(log, bytes, length, log->is_debug, 0);
}

void lh_log_print(const char *name, const char *format, ...) {
    char *text;
    va_list arguments;
    va_start(arguments, format);
    const int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (length < 0) return;
    lh_log_write(lh_log_get(name, strlen(name)), text, (size_t)length);
    lh_free(text);
}

static lh_log *make(const char *name, log_sink *sink, lh_log *outlet) {
    lh_log *log = get_locked(name, strlen(name));
    log->sink = sink;
    if (outlet) add_outlet(log, outlet);
    return log;
}

void lh_log_open(void) {
    init_sink(&stdout_sink, STDOUT_FILENO, true);
    init_sink(&stderr_sink, STDERR_FILENO, false);
    log_sink *const error_sink = is_same_file(STDOUT_FILENO, STDERR_FILENO) ? &stdout_sink : &stderr_sink;
    make("stdout", &stdout_sink, NULL);
    lh_log *to_stderr = make("stderr", error_sink, NULL);
    lh_log *error = make("error", NULL, to_stderr);
    make("notice", NULL, error);
    make("debug", NULL, to_stderr)->is_enabled = false;
    refresh_all();
    redirect_stdio(error_sink);
}
