/* Records wait in a queue of chunks (log_queue) for the sink's thread, or one at a time for the thread that puts them.
 * `is_writing` says which thread writes, without the mutex; everything else is the mutex's. */
#include "host/log_sink.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/thread.h"
#include "host/exit.h"
#include "host/log_queue.h"
#include "host/log_ring.h"

enum { FLUSH_SECONDS = 10, SINKS_MAX = 256 };
enum { WRITER_STACK_BYTES = 128 * 1024 };

static const lh_ns RETRY_TIME = 1 * LH_SECOND;

/* Why a record was lost, and what is said of it. */
typedef enum loss { LOSS_QUEUE_FULL, LOSS_NO_MEMORY, LOSSES } loss;
static const char *const loss_texts[LOSSES] = {"queue full", "no memory"};

typedef enum sink_kind { SINK_FD, SINK_FILE, SINK_SYNCHRONOUS, SINK_MEMORY } sink_kind;

struct lh_log_sink {
    sink_kind kind;
    int fd;           /* of SINK_FD */
    lh_log_file file; /* of who made `is_writing` true, or under `mutex` if synchronous */
    bool is_output;   /* stdout: what is printed waits when it is full */
    bool is_json;
    pthread_mutex_t mutex;      /* guards everything below */
    pthread_cond_t queued;      /* the writer waits for records */
    pthread_cond_t written;     /* others wait for room, or for the end */
    lh_log_queue queue;         /* without the batch under way */
    size_t lost_counts[LOSSES]; /* records dropped and not yet reported */
    _Atomic uint64_t put, done; /* records ever queued, and ever written or dropped; a report counts from when it is
                                   begun; a crash reads without the mutex */
    atomic_bool has_writer;
    bool is_writing; /* `writing_thread` writes to the descriptor or file, without the mutex; not if synchronous */
    pthread_t writing_thread;
    atomic_bool is_failing; /* a file that cannot be written now */
    bool is_torn;           /* of SINK_SYNCHRONOUS: the last record was written in part */
    bool must_reopen;
    lh_ns reopen_ns;  /* when it is tried again, because it failed; 0 = it did not */
    lh_log_ring ring; /* of SINK_MEMORY */
};

static lh_log_sink *sinks[SINKS_MAX]; /* filled before other threads exist */
static size_t sink_count;
static lh_log_sink *complaints; /* set before any sink can fail */
static atomic_bool is_output_lost;

/* -- Writing ------------------------------------------------------------------------------------------------------- */

static bool is_writing_here(const lh_log_sink *sink) {
    return sink->is_writing && pthread_equal(sink->writing_thread, pthread_self());
}

/* Not only the writer writes: who flushes reports what was lost, and without memory for a writer everybody writes. One
 * at a time: a file's size, rotation and descriptor are no place for two, and a record is written in one piece. */
static void begin_writing(lh_log_sink *sink) {
    assert((sink->kind == SINK_FD || sink->kind == SINK_FILE) && !is_writing_here(sink));
    while (sink->is_writing) pthread_cond_wait(&sink->written, &sink->mutex);
    sink->is_writing = true;
    sink->writing_thread = pthread_self();
}

static void end_writing(lh_log_sink *sink) {
    assert(is_writing_here(sink));
    sink->is_writing = false;
    pthread_cond_broadcast(&sink->written);
}

static void wait_until_writable(int fd) {
    struct pollfd pollfd = {.fd = fd, .events = POLLOUT};
    poll(&pollfd, 1, -1);
}

/* Writes all pieces, consuming them. The descriptor may be non-blocking: it is shared with others. */
static int write_fd(int fd, struct iovec *pieces, int count) {
    while (count > 0) {
        ssize_t n = writev(fd, pieces, count);
        if (n < 0) {
            if (errno == EINTR) continue;
            if (errno != EAGAIN) return -errno;
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
    return 0;
}

/* To where somebody may see it, whatever becomes of this sink. Queued like any record: stderr may be a pipe that nobody
 * empties, and whoever complains may hold a sink's lock. */
static void complain(const char *path, const char *what) {
    char text[512];
    const int length = snprintf(text, sizeof(text), "lhotse: %s: %s\n", path, what);
    if (complaints) {
        const size_t shown = (size_t)length < sizeof(text) ? (size_t)length : sizeof(text) - 1;
        lh_log_sink_put(complaints, "", 0, text, shown, LH_LOG_LOGGED);
    }
}

static void complain_of_file(const char *path, const char *what) {
    char name[400];
    snprintf(name, sizeof(name), "log file %s", path);
    complain(name, what);
}

static void complain_of(const char *path, const char *what, int error) {
    char text[256];
    snprintf(text, sizeof(text), "%s: %s", what, lh_error_text(-error));
    complain_of_file(path, text);
}

static int write_file(lh_log_sink *sink, struct iovec *pieces, int count, bool is_continued) {
    lh_log_file *file = &sink->file;
    const int rv = lh_log_file_write(file, pieces, count, is_continued);
    if (file->rotation_error < 0) {
        complain_of(file->path, "cannot be rotated, and grows until it is reopened (SIGHUP)", file->rotation_error);
        file->rotation_error = 0;
    }
    return rv;
}

static int write_pieces(lh_log_sink *sink, struct iovec *pieces, int count, bool is_continued) {
    assert(sink->kind != SINK_MEMORY && count > 0);
    return sink->kind == SINK_FD ? write_fd(sink->fd, pieces, count) : write_file(sink, pieces, count, is_continued);
}

/* The mutex is held. A file that only who `is_writing` uses is opened without it; a synchronous one is the mutex's, and
 * any thread that got it meanwhile would write to a descriptor that is being closed. */
static void reopen(lh_log_sink *sink) {
    assert(sink->kind == SINK_SYNCHRONOUS || (sink->kind == SINK_FILE && is_writing_here(sink)));
    const bool is_writers = sink->kind == SINK_FILE;
    sink->must_reopen = false;
    if (is_writers) pthread_mutex_unlock(&sink->mutex);
    const int rv = lh_log_file_reopen(&sink->file);
    if (rv < 0 && sink->reopen_ns == 0) {
        complain_of(sink->file.path, "cannot be reopened; still writing to the old file, will try again", rv);
    }
    if (is_writers) pthread_mutex_lock(&sink->mutex);
    sink->reopen_ns = rv < 0 ? lh_clock_now() + RETRY_TIME : 0;
}

/* The directory may be there again. */
static bool is_reopen_due(const lh_log_sink *sink) {
    return sink->must_reopen || (sink->reopen_ns && lh_clock_now() >= sink->reopen_ns);
}

/* Waits for `queued` until `deadline`, LH_NEVER = no longer. The mutex is held. */
static void wait_until(lh_log_sink *sink, lh_ns deadline) {
    const struct timespec limit = {.tv_sec = (time_t)(deadline / LH_SECOND), .tv_nsec = (long)(deadline % LH_SECOND)};
    if (deadline == LH_NEVER) {
        pthread_cond_wait(&sink->queued, &sink->mutex);
    } else {
        pthread_cond_timedwait(&sink->queued, &sink->mutex, &limit); /* its clock is the monotonic one */
    }
}

/* Notes that a file cannot be written, and waits until it is time to try again. */
static void wait_for_retry(lh_log_sink *sink, int error) {
    pthread_mutex_lock(&sink->mutex);
    if (!sink->is_failing) {
        char what[192];
        snprintf(what, sizeof(what), "%s; up to %d MiB of records wait for it", lh_error_text(-error),
                 LH_LOG_QUEUE_MAX_BYTES / 1024 / 1024);
        complain_of_file(sink->file.path, what);
    }
    sink->is_failing = true;
    pthread_cond_broadcast(&sink->written);
    const lh_ns deadline = lh_clock_now() + RETRY_TIME;
    while (!sink->must_reopen && lh_clock_now() < deadline) wait_until(sink, deadline);
    if (is_reopen_due(sink)) reopen(sink);
    pthread_mutex_unlock(&sink->mutex);
}

/* The program's result is lost: it is said once, and is the exit status. A reader that has gone, as head(1), ends a
 * command as it ends any filter. */
static void lose_output(lh_log_sink *sink, int error) {
    if (atomic_exchange(&is_output_lost, true)) return;
    if (error == -EPIPE) lh_exit_as_filter();
    complain("standard output", lh_error_text(-error));
    sink->is_failing = true; /* a flush waits no longer: not before this is said, lest the program end without a word */
}

/* A file's pieces stay until they are written; a descriptor's are dropped when it refuses. */
static void write_surely(lh_log_sink *sink, struct iovec *pieces, int count) {
    for (bool is_continued = false;; is_continued = true) {
        const int rv = write_pieces(sink, pieces, count, is_continued);
        if (rv < 0 && sink->is_output) lose_output(sink, rv);
        if (rv == 0 || sink->kind == SINK_FD) return;
        while (count > 1 && pieces->iov_len == 0) { /* gone already */
            pieces++;
            count--;
        }
        wait_for_retry(sink, rv);
    }
}

static void write_batch(lh_log_sink *sink, lh_log_chunk *batch) {
    struct iovec pieces[LH_LOG_BATCH];
    int count = 0;
    for (lh_log_chunk *c = batch; c; c = c->next)
        pieces[count++] = (struct iovec){.iov_base = c->bytes, .iov_len = c->length};
    write_surely(sink, pieces, count);
    for (lh_log_chunk *c = batch, *next; c; c = next) {
        next = c->next;
        lh_free(c);
    }
}

/* -- Losses -------------------------------------------------------------------------------------------------------- */

/* The writer has it to say; it may be asleep. */
static void lose(lh_log_sink *sink, loss why, size_t count) {
    sink->lost_counts[why] += count;
    pthread_cond_broadcast(&sink->queued);
}

/* How many lines it takes to say what was lost. */
static unsigned count_losses(const lh_log_sink *sink) {
    unsigned count = 0;
    for (int why = 0; why < LOSSES; why++) count += sink->lost_counts[why] > 0;
    return count;
}

static void report_loss(lh_log_sink *sink, loss why) {
    char text[128];
    const char *format = sink->is_json
                             ? "{\"facility\":\"error\",\"message\":\"lhotse: %zu log records were lost (%s)\"}\n"
                             : "lhotse: %zu log records were lost (%s)\n";
    const int length = snprintf(text, sizeof(text), format, sink->lost_counts[why], loss_texts[why]);
    assert(length > 0 && (size_t)length < sizeof(text));
    sink->lost_counts[why] = 0;
    sink->put++;
    struct iovec piece = {.iov_base = text, .iov_len = (size_t)length};
    pthread_mutex_unlock(&sink->mutex);
    write_surely(sink, &piece, 1);
    pthread_mutex_lock(&sink->mutex);
    sink->is_failing = false;
    sink->done++;
}

/* The mutex is held, and `is_writing` the caller's. */
static void report_losses(lh_log_sink *sink) {
    assert(is_writing_here(sink));
    for (int why = 0; why < LOSSES; why++) {
        if (sink->lost_counts[why]) report_loss(sink, (loss)why);
    }
}

/* -- The writer ---------------------------------------------------------------------------------------------------- */

static void write_next(lh_log_sink *sink) {
    size_t count;
    lh_log_chunk *batch = lh_log_queue_take(&sink->queue, &count);
    pthread_mutex_unlock(&sink->mutex);
    write_batch(sink, batch);
    pthread_mutex_lock(&sink->mutex);
    sink->is_failing = false;
    sink->done += count;
    assert(lh_log_queue_is_sound(&sink->queue));
}

static void *write_records(void *argument) {
    lh_log_sink *sink = argument;
    pthread_mutex_lock(&sink->mutex);
    for (;;) {
        while (!sink->queue.first && !count_losses(sink) && !is_reopen_due(sink)) {
            wait_until(sink, sink->reopen_ns ? sink->reopen_ns : LH_NEVER);
        }
        begin_writing(sink);
        if (is_reopen_due(sink)) reopen(sink);
        report_losses(sink);
        if (sink->queue.first) write_next(sink); /* what there was may have been dropped meanwhile */
        end_writing(sink);
    }
    return NULL;
}

/* -- Queueing ------------------------------------------------------------------------------------------------------ */

static void start_writer(lh_log_sink *sink) {
    sink->has_writer = lh_thread_start("log", write_records, sink, WRITER_STACK_BYTES) == 0;
}

/* False when there is none. */
static bool drop_oldest(lh_log_sink *sink, bool only_debug) {
    const size_t count = lh_log_queue_drop(&sink->queue, only_debug);
    if (count == 0) return false;
    lose(sink, LOSS_QUEUE_FULL, count);
    sink->done += count;
    return true;
}

/* False: there is none, and the record is to be dropped. */
static bool make_room(lh_log_sink *sink, size_t capacity, lh_log_importance importance) {
    while (lh_log_queue_is_full(&sink->queue, capacity)) {
        if (drop_oldest(sink, true)) continue;
        if (!sink->is_output) {
            drop_oldest(sink, false);
        } else if (importance == LH_LOG_PRINTED) {
            pthread_cond_wait(&sink->written, &sink->mutex);
        } else {
            return false;
        }
    }
    return true;
}

/* The chunk at the end of the queue with room for `length` bytes, or NULL. */
static lh_log_chunk *chunk_for(lh_log_sink *sink, size_t length, lh_log_importance importance) {
    const bool is_debug = importance == LH_LOG_DEBUGGING;
    lh_log_chunk *last = lh_log_queue_last(&sink->queue, length, is_debug);
    if (last) return last;
    const size_t capacity = lh_log_queue_capacity(&sink->queue, length, is_debug);
    if (!make_room(sink, capacity, importance)) return NULL;
    last = lh_log_queue_last(&sink->queue, length, is_debug); /* it may have been waited */
    if (last) return last;
    const bool was_empty = !sink->queue.first;
    last = lh_log_queue_add(&sink->queue, capacity, is_debug);
    if (last && was_empty) pthread_cond_broadcast(&sink->queued);
    return last;
}

/* Why there was no chunk: the queue is full, and the record nothing to wait for. */
static bool is_refused(const lh_log_sink *sink, size_t length, lh_log_importance importance) {
    const size_t capacity = lh_log_queue_capacity(&sink->queue, length, importance == LH_LOG_DEBUGGING);
    return importance != LH_LOG_PRINTED && lh_log_queue_is_full(&sink->queue, capacity);
}

/* There is no memory for a writer's thread: waiting here is better than losing what may be the reason. */
static void put_without_writer(lh_log_sink *sink, const char *head, size_t head_length, const char *bytes,
                               size_t length) {
    struct iovec pieces[] = {{(void *)(uintptr_t)head, head_length}, {(void *)(uintptr_t)bytes, length}};
    begin_writing(sink);
    if (is_reopen_due(sink)) reopen(sink);
    pthread_mutex_unlock(&sink->mutex);
    write_surely(sink, pieces, 2);
    pthread_mutex_lock(&sink->mutex);
    report_losses(sink);
    end_writing(sink);
}

static void wait_until_written(lh_log_sink *sink) {
    assert(!is_writing_here(sink));
    const uint64_t goal = sink->put;
    while (sink->done < goal && !sink->is_failing) pthread_cond_wait(&sink->written, &sink->mutex);
}

/* The queue is full, or there is no memory for a chunk, or for a writer. What shares a descriptor with the script's
 * output is not dropped for want of memory, but written in its turn. Who writes to this sink, and complains of it,
 * cannot wait for itself. */
static void put_unqueued(lh_log_sink *sink, const char *head, size_t head_length, const char *bytes, size_t length,
                         lh_log_importance importance) {
    const bool is_for_room = sink->has_writer && is_refused(sink, head_length + length, importance);
    const bool may_wait = (!sink->has_writer || (sink->is_output && !is_for_room)) && !is_writing_here(sink);
    if (!may_wait) {
        lose(sink, is_for_room ? LOSS_QUEUE_FULL : LOSS_NO_MEMORY, 1);
        return;
    }
    if (sink->has_writer) wait_until_written(sink);
    put_without_writer(sink, head, head_length, bytes, length);
}

static void put_queued(lh_log_sink *sink, const char *head, size_t head_length, const char *bytes, size_t length,
                       lh_log_importance importance) {
    if (!sink->has_writer) start_writer(sink);
    lh_log_chunk *c = sink->has_writer ? chunk_for(sink, head_length + length, importance) : NULL;
    if (!c) {
        put_unqueued(sink, head, head_length, bytes, length, importance);
        return;
    }
    lh_log_chunk_append(c, head, head_length);
    lh_log_chunk_append(c, bytes, length);
    c->record_count++;
    sink->put++;
}

/* Does the file end in a part of a record, after an attempt to write one of `length` bytes left these pieces? The first
 * ends the line of a part that was there before: what is left of it says that nothing at all was written. */
static bool is_torn_by(const struct iovec pieces[3], size_t length) {
    const size_t left = pieces[1].iov_len + pieces[2].iov_len;
    return pieces[0].iov_len > 0 || (left > 0 && left < length);
}

/* What cannot be written is lost, and said. */
static void put_now(lh_log_sink *sink, const char *head, size_t head_length, const char *bytes, size_t length) {
    struct iovec pieces[] = {
        {"\n", sink->is_torn}, {(void *)(uintptr_t)head, head_length}, {(void *)(uintptr_t)bytes, length}};
    if (is_reopen_due(sink)) reopen(sink);
    const int rv = write_file(sink, pieces, 3, false);
    if (rv < 0 && !sink->is_failing) complain_of_file(sink->file.path, lh_error_text(-rv));
    sink->is_failing = rv < 0;
    sink->is_torn = is_torn_by(pieces, head_length + length);
}

/* -- Putting ------------------------------------------------------------------------------------------------------- */

uint64_t lh_log_sink_each(lh_log_sink *sink, uint64_t after,
                          void (*visit)(const char *bytes, size_t length, void *context), void *context) {
    assert(sink->kind == SINK_MEMORY);
    pthread_mutex_lock(&sink->mutex);
    const uint64_t last = lh_log_ring_each(&sink->ring, after, visit, context);
    pthread_mutex_unlock(&sink->mutex);
    return last;
}

bool lh_log_sink_is_memory(const lh_log_sink *sink) { return sink->kind == SINK_MEMORY; }

void lh_log_sink_put(lh_log_sink *sink, const char *head, size_t head_length, const char *bytes, size_t length,
                     lh_log_importance importance) {
    pthread_mutex_lock(&sink->mutex);
    switch (sink->kind) {
    case SINK_FD:
    case SINK_FILE: put_queued(sink, head, head_length, bytes, length, importance); break;
    case SINK_SYNCHRONOUS: put_now(sink, head, head_length, bytes, length); break;
    case SINK_MEMORY: lh_log_ring_put(&sink->ring, head, head_length, bytes, length); break;
    }
    pthread_mutex_unlock(&sink->mutex);
}

void lh_log_sink_lose(lh_log_sink *sink) {
    if (sink->kind != SINK_FD && sink->kind != SINK_FILE) return;
    pthread_mutex_lock(&sink->mutex);
    if (!sink->has_writer) start_writer(sink);
    lose(sink, LOSS_NO_MEMORY, 1);
    pthread_mutex_unlock(&sink->mutex);
}

bool lh_log_sink_has_room(lh_log_sink *sink) {
    pthread_mutex_lock(&sink->mutex);
    const bool has_room = !lh_log_queue_is_full(&sink->queue, LH_LOG_CHUNK_MAX_BYTES);
    pthread_mutex_unlock(&sink->mutex);
    return has_room;
}

void lh_log_sink_complain_to(lh_log_sink *sink) { complaints = sink; }

bool lh_log_sink_is_output_lost(void) { return atomic_load(&is_output_lost); }

/* -- All sinks ----------------------------------------------------------------------------------------------------- */

static void init_locks(lh_log_sink *sink) {
    pthread_mutex_init(&sink->mutex, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&sink->queued, &attributes);
    pthread_cond_init(&sink->written, &attributes);
    pthread_condattr_destroy(&attributes);
}

static lh_log_sink *make(sink_kind kind) {
    lh_log_sink *sink = lh_alloc(sizeof(*sink));
    sink->kind = kind;
    sink->fd = sink->file.fd = -1;
    init_locks(sink);
    if (sink_count < SINKS_MAX) sinks[sink_count++] = sink;
    return sink;
}

lh_log_sink *lh_log_sink_of_fd(int fd, bool is_output) {
    lh_log_sink *sink = make(SINK_FD);
    sink->fd = fd;
    sink->is_output = is_output;
    return sink;
}

lh_log_sink *lh_log_sink_of_file(const char *path, const lh_log_file_limits *limits, bool is_synchronous, int *error) {
    lh_log_file file;
    *error = sink_count < SINKS_MAX ? lh_log_file_open(&file, path, limits) : -ENFILE;
    if (*error < 0) return NULL;
    lh_log_sink *sink = make(is_synchronous ? SINK_SYNCHRONOUS : SINK_FILE);
    sink->file = file;
    return sink;
}

lh_log_sink *lh_log_sink_of_memory(size_t line_max, size_t byte_max) {
    lh_log_sink *sink = make(SINK_MEMORY);
    lh_log_ring_init(&sink->ring, line_max, byte_max);
    return sink;
}

lh_log_file *lh_log_sink_file(lh_log_sink *sink) {
    return sink->kind == SINK_FILE || sink->kind == SINK_SYNCHRONOUS ? &sink->file : NULL;
}

void lh_log_sink_use_json(lh_log_sink *sink) { sink->is_json = true; }

void lh_log_sink_reopen_all(void) {
    for (size_t i = 0; i < sink_count; i++) {
        if (!lh_log_sink_file(sinks[i])) continue;
        pthread_mutex_lock(&sinks[i]->mutex);
        sinks[i]->must_reopen = true;
        if (sinks[i]->kind == SINK_SYNCHRONOUS) reopen(sinks[i]);
        if (sinks[i]->kind == SINK_FILE && !sinks[i]->has_writer) start_writer(sinks[i]);
        pthread_cond_broadcast(&sinks[i]->queued);
        pthread_mutex_unlock(&sinks[i]->mutex);
    }
}

/* Without a writer nobody else says it. */
static void say_losses_here(lh_log_sink *sink) {
    begin_writing(sink);
    report_losses(sink);
    end_writing(sink);
}

/* What was lost and is not said yet is waited for as well: it comes before records that are put from now on. Who writes
 * to this sink, and ends the program because it cannot, is not waited for: it is the caller. */
static void flush(lh_log_sink *sink) {
    pthread_mutex_lock(&sink->mutex);
    const bool is_writer = is_writing_here(sink);
    if (!is_writer && !sink->has_writer && count_losses(sink)) say_losses_here(sink);
    const uint64_t goal = is_writer ? 0 : sink->put + count_losses(sink);
    uint64_t seen = sink->done;
    struct timespec limit;
    clock_gettime(CLOCK_MONOTONIC, &limit);
    limit.tv_sec += FLUSH_SECONDS;
    while (sink->done < goal && !sink->is_failing) {
        if (pthread_cond_timedwait(&sink->written, &sink->mutex, &limit) == ETIMEDOUT) {
            if (sink->done == seen) break; /* stuck */
            seen = sink->done;
            limit.tv_sec += FLUSH_SECONDS;
        }
    }
    pthread_mutex_unlock(&sink->mutex);
}

void lh_log_sink_flush_all(void) {
    for (size_t i = 0; i < sink_count; i++) {
        if (sinks[i]->kind == SINK_FD || sinks[i]->kind == SINK_FILE) flush(sinks[i]);
    }
}

static bool are_all_written(void) {
    for (size_t i = 0; i < sink_count; i++) {
        const lh_log_sink *sink = sinks[i];
        const bool is_queued = sink->kind == SINK_FD || sink->kind == SINK_FILE;
        if (is_queued && sink->has_writer && !sink->is_failing && sink->put != sink->done) return false;
    }
    return true;
}

void lh_log_sink_settle_all(void) {
    for (int i = 0; i < 100 && !are_all_written(); i++) lh_clock_sleep(10 * LH_MILLISECOND);
}

/* The writers that wait in the conditions are not here any more. */
void lh_log_sink_forked(void) {
    for (size_t i = 0; i < sink_count; i++) {
        init_locks(sinks[i]);
        sinks[i]->has_writer = sinks[i]->is_writing = false;
    }
}
