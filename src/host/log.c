/* One mutex guards the directory of streams and their graph; a stream's effective flag is recomputed under it whenever
 * the graph or a flag changes, so that writing needs to read one byte only. */
#include "host/log.h"

#include <assert.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/strmap.h"
#include "data/log_line.h"
#include "host/exit.h"

enum { OUTLETS_MAX = 16, MARKS_MAX = 1024 };

struct lh_log {
    char *name;
    bool is_enabled;                    /* the stream's own flag; guarded by `directory_mutex` */
    _Atomic unsigned char is_effective; /* LH_LOG_*; written under `directory_mutex`, read by anyone */
    lh_log_importance importance;       /* of its records: "debug" and those below it, "stdout", all others */
    int style;                          /* lh_log_style; it, the sink and the outlets are set before threads run, */
    lh_log_sink *sink;                  /* or before the stream is published; NULL = none */
    lh_log *outlets[OUTLETS_MAX];       /* never in a circle */
    int outlet_count;
    int mark, sink_mark;  /* where a record notes that it was here, and in the sink; 0 = it cannot come twice */
    lh_log *next;         /* of all, in the order in which they were made */
    unsigned long search; /* the last one that came here */
};

/* A record on its ways. They may be many more than there are streams: where they meet, only the first goes on. */
typedef struct journey {
    const lh_log_record *record;
    lh_log_importance importance;
    uint16_t seen[MARKS_MAX]; /* a bit for each style, as far as there are marks */
} journey;

static pthread_mutex_t directory_mutex = PTHREAD_MUTEX_INITIALIZER; /* guards `directory` and the graph */
static lh_strmap directory;
static lh_log *first_log, *last_log;
static int mark_count = 1; /* mark 0 is none; set before threads run */
static lh_log_sink *stdout_sink, *stderr_sink;

/* A terminal, or 2>&1: one queue for both, so that what a script prints and what it logs stay in order. */
static bool is_same_file(int a, int b) {
    struct stat first, second;
    return fstat(a, &first) == 0 && fstat(b, &second) == 0 && first.st_dev == second.st_dev &&
           first.st_ino == second.st_ino;
}

/* -- stdio --------------------------------------------------------------------------------------------------------- */

static ssize_t write_stdout(void *cookie, const char *bytes, size_t length) {
    lh_log_sink_put(cookie, "", 0, bytes, length, LH_LOG_PRINTED);
    return (ssize_t)length;
}

static ssize_t write_stderr(void *cookie, const char *bytes, size_t length) {
    lh_log_sink_put(cookie, "", 0, bytes, length, LH_LOG_LOGGED);
    return (ssize_t)length;
}

static void redirect_stdio(void) {
    FILE *out = fopencookie(stdout_sink, "w", (cookie_io_functions_t){.write = write_stdout});
    FILE *err = fopencookie(stderr_sink, "w", (cookie_io_functions_t){.write = write_stderr});
    if (!out || !err) return; /* the plain ones do, out of order */
    setvbuf(out, NULL, isatty(STDOUT_FILENO) ? _IOLBF : _IOFBF, 16 * 1024);
    setvbuf(err, NULL, _IONBF, 0);
    stdout = out;
    stderr = err;
}

/* Another thread that holds the lock writes, and may wait for room: what it wrote is its own to flush. */
void lh_log_flush_stdio(void) {
    if (__fpending(stdout) == 0 || ftrylockfile(stdout) != 0) return;
    fflush_unlocked(stdout);
    funlockfile(stdout);
}

void lh_log_flush(void) {
    fflush(stdout);
    lh_log_sink_flush_all();
}

/* -- Streams ------------------------------------------------------------------------------------------------------- */

/* What the stream's flag says when its outlets' flags are right. */
static unsigned char compute_effective(const lh_log *log) {
    assert(log->outlet_count >= 0 && log->outlet_count <= OUTLETS_MAX);
    if (!log->is_enabled) return 0;
    unsigned char flags = log->sink ? LH_LOG_REACHES : 0;
    for (int i = 0; i < log->outlet_count; i++) flags |= atomic_load(&log->outlets[i]->is_effective);
    if (flags && (log->style & (LH_LOG_CALLER | LH_LOG_JSON))) flags |= LH_LOG_WANTS_CALLER;
    return flags;
}

static bool refresh_one(lh_log *log) {
    const unsigned char flags = compute_effective(log);
    return atomic_exchange(&log->is_effective, flags) != flags;
}

/* Until nothing changes any more. Names lead to streams that were made before: it is one round for them, however deep,
 * and one more for each outlet on a way that leads to a stream made later. */
static void refresh_all(void) {
    for (bool is_changed = true; is_changed;) {
        is_changed = false;
        for (lh_log *log = first_log; log; log = log->next) is_changed |= refresh_one(log);
    }
}

/* Looks at each stream once. */
static bool search(lh_log *log, const lh_log *goal, unsigned long number) {
    if (log == goal) return true;
    if (log->search == number) return false;
    log->search = number;
    for (int i = 0; i < log->outlet_count; i++) {
        if (search(log->outlets[i], goal, number)) return true;
    }
    return false;
}

static bool leads_to(lh_log *log, const lh_log *goal) {
    static unsigned long number;
    return search(log, goal, ++number);
}

bool lh_log_add_outlet(lh_log *log, lh_log *outlet) {
    for (int i = 0; i < log->outlet_count; i++) {
        if (log->outlets[i] == outlet) return true; /* of an element around it, and its own: once */
    }
    if (log->outlet_count == OUTLETS_MAX || leads_to(outlet, log)) return false;
    log->outlets[log->outlet_count++] = outlet;
    refresh_all();
    return true;
}

static lh_log_importance importance_of(const char *name) {
    if (strncmp(name, "debug", 5) == 0 && (name[5] == '\0' || name[5] == '/')) return LH_LOG_DEBUGGING;
    return strcmp(name, "stdout") == 0 ? LH_LOG_PRINTED : LH_LOG_LOGGED;
}

static lh_log *make_one(const char *name, size_t length, lh_log *parent) {
    lh_log *log = lh_alloc(sizeof(*log));
    log->name = lh_alloc_copy(name, length);
    log->is_enabled = true;
    log->importance = importance_of(log->name);
    if (parent) log->outlets[log->outlet_count++] = parent;
    atomic_init(&log->is_effective, compute_effective(log));
    if (last_log) {
        last_log->next = log;
    } else {
        first_log = log;
    }
    last_log = log;
    *lh_strmap_slot(&directory, name, length) = log;
    return log;
}

/* Finds or makes a stream and those above it; `directory_mutex` is held. */
static lh_log *get_locked(const char *name, size_t length) {
    lh_log *log = lh_strmap_get(&directory, name, length), *parent = NULL;
    if (log) return log;
    for (size_t i = 0; i < length; i++) {
        if (name[i] != '/') continue;
        log = lh_strmap_get(&directory, name, i);
        parent = log ? log : make_one(name, i, parent);
    }
    return make_one(name, length, parent);
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

static void put_record(lh_log_sink *sink, const lh_log_record *record, int style, lh_log_importance importance) {
    if (style & LH_LOG_JSON) {
        size_t length;
        char *line = lh_log_line_json(record, &length);
        if (line) {
            lh_log_sink_put(sink, "", 0, line, length, importance);
        } else {
            lh_log_sink_lose(sink);
        }
        lh_free(line);
        return;
    }
    char prefix[LH_LOG_PREFIX_BYTES];
    const size_t prefix_length = style ? lh_log_line_prefix(prefix, style, record) : 0;
    lh_log_sink_put(sink, prefix, prefix_length, record->bytes, record->length, importance);
}

/* Styles that differ make records that differ, but for JSON, which has everything. */
static int with_style(int style, const lh_log *log) {
    style |= log->style;
    return style & LH_LOG_JSON ? LH_LOG_JSON : style;
}

static bool is_first_time(journey *j, int mark, int style) {
    assert(mark >= 0 && mark < mark_count && style >= 0 && style < 16);
    const uint16_t bit = (uint16_t)(1U << style);
    if (mark == 0) return true;
    if (j->seen[mark] & bit) return false;
    j->seen[mark] |= bit;
    return true;
}

/* Outlets are set before a stream is published and never change, so passing along needs no lock. The last is gone on to
 * without another frame: a name has a stream for each of its "/". */
static void pass_on(const lh_log *log, journey *j, int style) {
    while (atomic_load_explicit(&log->is_effective, memory_order_relaxed)) {
        style = with_style(style, log);
        if (!is_first_time(j, log->mark, style)) return;
        if (log->sink && is_first_time(j, log->sink_mark, style)) {
            put_record(log->sink, j->record, style, j->importance);
        }
        if (log->outlet_count == 0) return;
        for (int i = 0; i < log->outlet_count - 1; i++) pass_on(log->outlets[i], j, style);
        log = log->outlets[log->outlet_count - 1];
    }
}

void lh_log_write_from(lh_log *log, const char *bytes, size_t length, const char *file, int line) {
    /* In order with what was printed, unless that would wait. */
    if (__fpending(stdout) > 0 && (log->importance == LH_LOG_PRINTED || lh_log_sink_has_room(stdout_sink))) {
        lh_log_flush_stdio();
    }
    const lh_log_record record = {log->name, file, line, bytes, length};
    journey j;
    j.record = &record;
    j.importance = log->importance;
    memset(j.seen, 0, (size_t)mark_count * sizeof(j.seen[0]));
    pass_on(log, &j, 0);
}

void lh_log_write(lh_log *log, const char *bytes, size_t length) { lh_log_write_from(log, bytes, length, NULL, 0); }

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

/* -- Building the graph -------------------------------------------------------------------------------------------- */

void lh_log_define(lh_log *log, lh_log_sink *sink, int style, bool is_enabled) {
    log->sink = sink;
    log->style = style;
    log->is_enabled = is_enabled;
    log->outlet_count = 0;
    refresh_all();
}

void lh_log_restyle(lh_log *log, int style, bool is_enabled) {
    log->style = style;
    log->is_enabled = is_enabled;
    refresh_all();
}

static int count_ways_to(const lh_log *goal) {
    int count = 0;
    for (const lh_log *log = first_log; log; log = log->next) {
        for (int i = 0; i < log->outlet_count; i++) count += log->outlets[i] == goal;
    }
    return count;
}

/* Streams that have one sink have one mark for it; a sink of one stream needs none. */
static int mark_of_sink(const lh_log *log) {
    const lh_log *other = first_log;
    while (other != log && other->sink != log->sink) other = other->next;
    if (other != log) return other->sink_mark;
    for (other = log->next; other && other->sink != log->sink;) other = other->next;
    return other ? mark_count++ : 0;
}

bool lh_log_mark_meetings(void) {
    mark_count = 1;
    for (lh_log *log = first_log; log; log = log->next) log->mark = log->sink_mark = 0;
    for (lh_log *log = first_log; log; log = log->next) {
        if (mark_count > MARKS_MAX - 2) return false;
        if (count_ways_to(log) > 1) log->mark = mark_count++;
        if (log->sink) log->sink_mark = mark_of_sink(log);
    }
    return true;
}

lh_log_sink *lh_log_sink_of(const lh_log *log) { return log->sink; }
lh_log_sink *lh_log_stdout_sink(void) { return stdout_sink; }
lh_log_sink *lh_log_stderr_sink(void) { return stderr_sink; }

static lh_log *make(const char *name, lh_log_sink *sink, lh_log *outlet, bool is_enabled) {
    lh_log *log = get_locked(name, strlen(name));
    lh_log_define(log, sink, 0, is_enabled);
    if (outlet) lh_log_add_outlet(log, outlet);
    return log;
}

void lh_log_open(void) {
    assert(!stdout_sink && !stderr_sink);
    lh_exit_note_sigpipe();
    stdout_sink = lh_log_sink_of_fd(STDOUT_FILENO, true);
    const bool is_one = is_same_file(STDOUT_FILENO, STDERR_FILENO);
    stderr_sink = is_one ? stdout_sink : lh_log_sink_of_fd(STDERR_FILENO, false);
    lh_log_sink_complain_to(stderr_sink);
    make("stdout", stdout_sink, NULL, true);
    lh_log *to_stderr = make("stderr", stderr_sink, NULL, true);
    lh_log *error = make("error", NULL, to_stderr, true);
    make("notice", NULL, error, true);
    make("debug", NULL, to_stderr, false);
    redirect_stdio();
}
