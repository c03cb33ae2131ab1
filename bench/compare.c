/* Runs one row of the table: a program of ours beside its peers.
 *
 *   compare [-r ROUNDS] [-n COUNT] [-c CONNECTIONS] KIND TITLE NAME COMMAND [NAME COMMAND ...]
 *
 * KIND  echo   servers of lines: CPU time per line, after the first as 1
 *       http   servers of a fixed response: CPU time per request, after the first as 1
 *       shake  TLS servers: CPU time per full handshake, CONNECTIONS at a time, after the first as 1
 *       tls    TLS servers of 64 KiB messages: CPU time per message, after the first as 1
 *       tlsidle  the same: resident bytes per idle connection
 *       idle   servers of lines: resident bytes per idle connection
 *       start  programs that print a line: time from fork to that line
 *       run    programs that print "RESULT <number>"
 * A server's COMMAND listens on 127.0.0.1, port $PORT. A name that ends in + says that its connections begin with a
 * request (see load.h). Commands run in /bin/sh; COUNT is messages per round, CONNECTIONS how many at once.
 *
 * The programs take turns, round by round, so that whatever else the machine does meets all of them; a ratio is taken
 * within a round. Shown are medians, with least and greatest. CPU time is user + system of all threads of the server's
 * process, in nanoseconds, from /proc/PID/task/TID/schedstat: the load generator's own is not in it. */
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "load.h"
#include "tls_load.h"

enum { SUBJECTS_MAX = 16, ROUNDS_MAX = 101 };

typedef enum kind { ECHO, HTTP, SHAKE, TLS, TLS_IDLE, IDLE, START, RUN, CALLS, HTTP_CALLS, KINDS } kind;
static const char *const kind_names[KINDS] = {"echo", "http",  "shake", "tls",   "tlsidle",
                                              "idle", "start", "run",   "calls", "httpcalls"};

typedef struct subject {
    const char *name, *command;
    bool is_upgraded;
    bool has_failed;
    pid_t pid;
    int port;
    load *load;
    tls_load *tls;
    double figures[ROUNDS_MAX]; /* per round, in the kind's unit */
    double ratios[ROUNDS_MAX];  /* to the first subject's of the same round */
    double rates[ROUNDS_MAX];   /* operations per second of wall time */
    char calls[256];            /* "reads 100000 writes 100000 ..." of the last round */
} subject;

static kind row;
static const char *title;
static int rounds = 9, connections = 64;
static long count = 100000;
static subject subjects[SUBJECTS_MAX];
static int subject_count;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* -- Processes ----------------------------------------------------------------------------------------------------- */

static int free_port(void) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(at);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bind(fd, (const struct sockaddr *)&at, sizeof(at));
    getsockname(fd, (struct sockaddr *)&at, &length);
    close(fd);
    return ntohs(at.sin_port);
}

/* Starts the subject's command; `out` becomes its stdout, unless it is -1. It dies with us. */
static void start(subject *s, int out) {
    char line[4096], port[16];
    const char *preload = getenv("SERVER_PRELOAD");
    snprintf(line, sizeof(line), "%s%s exec %s", preload ? "LD_PRELOAD=" : "", preload ? preload : "", s->command);
    snprintf(port, sizeof(port), "%d", s->port);
    s->pid = fork();
    if (s->pid != 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setenv("PORT", port, 1);
    if (out >= 0) dup2(out, 1);
    execl("/bin/sh", "sh", "-c", line, (char *)NULL);
    _exit(127);
}

static void stop(subject *s) {
    if (s->pid <= 0) return;
    kill(s->pid, SIGKILL);
    waitpid(s->pid, NULL, 0);
    s->pid = 0;
}

/* Nanoseconds of CPU that all threads of the process have used. */
static double cpu_ns(pid_t pid) {
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    DIR *tasks = opendir(path);
    double total = 0;
    for (struct dirent *entry; tasks && (entry = readdir(tasks));) {
        if (entry->d_name[0] == '.') continue; /* "..": /proc/PID/schedstat is its main thread's, once more */
        char file[400];
        snprintf(file, sizeof(file), "%s/%s/schedstat", path, entry->d_name);
        FILE *f = fopen(file, "r");
        double ns = 0;
        if (f && fscanf(f, "%lf", &ns) == 1) total += ns;
        if (f) fclose(f);
    }
    if (tasks) closedir(tasks);
    return total;
}

static double resident_bytes(pid_t pid) {
    char path[64];
    double pages = 0;
    snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
    FILE *f = fopen(path, "r");
    if (!f || fscanf(f, "%*s %lf", &pages) != 1) pages = 0;
    if (f) fclose(f);
    return pages * (double)sysconf(_SC_PAGESIZE);
}

/* -- Servers ------------------------------------------------------------------------------------------------------- */

static bool can_connect(int port) {
    const struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool ok = connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0;
    close(fd);
    return ok;
}

static void nap(void) { nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL); }

static bool start_server(subject *s) {
    s->port = free_port();
    start(s, -1);
    for (int tries = 0; tries < 500; tries++) {
        if (can_connect(s->port)) return true;
        if (waitpid(s->pid, NULL, WNOHANG) == s->pid) {
            s->pid = 0;
            break;
        }
        nap();
    }
    fprintf(stderr, "compare: %s does not listen: %s\n", s->name, s->command);
    return false;
}

static bool is_tls(void) { return row == SHAKE || row == TLS || row == TLS_IDLE; }

static bool open_load(subject *s, int how_many) {
    if (is_tls()) {
        s->tls = tls_load_open(s->port, row == SHAKE ? 0 : how_many, s->is_upgraded);
        return s->tls != NULL;
    }
    const load_plan plan = {.port = s->port,
                            .connections = how_many,
                            .is_http = row == HTTP || row == HTTP_CALLS,
                            .is_upgraded = s->is_upgraded};
    s->load = load_open(&plan);
    return s->load != NULL;
}

static bool run_load(subject *s, long how_many) {
    if (row == SHAKE) return tls_load_handshakes(s->tls, how_many, connections);
    if (row == TLS) return tls_load_echo(s->tls, how_many);
    return load_run(s->load, how_many);
}

static void close_load(subject *s) {
    if (s->load) load_close(s->load);
    if (s->tls) tls_load_close(s->tls);
    s->load = NULL;
    s->tls = NULL;
}

static bool measure_server(subject *s, int round) {
    const double cpu = cpu_ns(s->pid), time = now();
    if (!run_load(s, count)) return false;
    s->figures[round] = (cpu_ns(s->pid) - cpu) / 1e3 / (double)count;
    s->rates[round] = (double)count / (now() - time);
    return true;
}

/* -- Calls --------------------------------------------------------------------------------------------------------- */

static char counts_file[] = "/tmp/bench-calls-XXXXXX", counter[4096];

static void set_counter(const char *program) {
    const int fd = mkstemp(counts_file);
    if (fd < 0) exit(1);
    close(fd);
    const char *slash = strrchr(program, '/');
    snprintf(counter, sizeof(counter), "%.*scount_calls.so", slash ? (int)(slash - program + 1) : 0, program);
}

/* Has the server print its counts, which starts them anew, into `text`. */
static void take_counts(const subject *s, char *text, int size) {
    if (truncate(counts_file, 0) != 0) exit(1);
    kill(s->pid, SIGRTMIN + 5);
    text[0] = 0;
    for (int tries = 0; tries < 500 && !strchr(text, '\n'); tries++) {
        nap();
        FILE *f = fopen(counts_file, "r");
        if (!f || !fgets(text, size, f)) text[0] = 0;
        if (f) fclose(f);
    }
}

static bool measure_calls(subject *s) {
    take_counts(s, s->calls, sizeof(s->calls));
    if (!load_run(s->load, count)) return false;
    take_counts(s, s->calls, sizeof(s->calls));
    return true;
}

static void print_calls(void) {
    printf("\n### %s\n\n| program | reads | writes | epoll_wait | epoll_ctl | malloc |\n|---|---|---|---|---|---|\n",
           title);
    for (int i = 0; i < subject_count; i++) {
        const subject *s = &subjects[i];
        long n[5] = {0};
        sscanf(s->calls, "%*s %ld %*s %ld %*s %ld %*s %ld %*s %ld", &n[0], &n[1], &n[2], &n[3], &n[4]);
        printf("| %s |", s->name);
        for (int k = 0; k < 5; k++) printf(" %.4f |", (double)n[k] / (double)count);
        printf("\n");
    }
    fflush(stdout);
}

/* A server is fresh each round. The first connections make it load what it needs. */
static bool measure_idle(subject *s, int round) {
    if (!start_server(s) || !open_load(s, 64)) return false;
    close_load(s);
    for (int i = 0; i < 10; i++) nap();
    const double before = resident_bytes(s->pid);
    if (!open_load(s, connections)) return false;
    for (int i = 0; i < 10; i++) nap();
    s->figures[round] = (resident_bytes(s->pid) - before) / connections;
    close_load(s);
    stop(s);
    return true;
}

/* -- Programs ------------------------------------------------------------------------------------------------------ */

static bool measure_program(subject *s, int round) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return false;
    const double began = now();
    start(s, ends[1]);
    close(ends[1]);
    FILE *out = fdopen(ends[0], "r");
    char line[256];
    bool is_found = false;
    while (!is_found && fgets(line, sizeof(line), out)) {
        if (row == START) {
            s->figures[round] = (now() - began) * 1e3;
            is_found = true;
        } else {
            is_found = sscanf(line, "RESULT %lf", &s->figures[round]) == 1;
        }
    }
    if (is_found) { /* let it end by itself */
        while (fgets(line, sizeof(line), out)) continue;
    }
    fclose(out);
    stop(s);
    if (!is_found) fprintf(stderr, "compare: %s gives no result: %s\n", s->name, s->command);
    return is_found;
}

/* -- The row ------------------------------------------------------------------------------------------------------- */

static bool prepare(subject *s) {
    if (row == IDLE || row == TLS_IDLE || row == START || row == RUN) return true;
    if (row == CALLS || row == HTTP_CALLS) {
        setenv("COUNT_CALLS", counts_file, 1);
        setenv("SERVER_PRELOAD", counter, 1);
    }
    return start_server(s) && open_load(s, connections) && run_load(s, count / 4);
}

static bool measure(subject *s, int round) {
    switch (row) {
    case ECHO:
    case SHAKE:
    case TLS:
    case HTTP: return measure_server(s, round);
    case CALLS:
    case HTTP_CALLS: return measure_calls(s);
    case TLS_IDLE:
    case IDLE: return measure_idle(s, round);
    default: return measure_program(s, round);
    }
}

static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* "median [least..greatest]", with as many digits as tell something. */
static const char *spread(const double *values, char *text, size_t size) {
    double sorted[ROUNDS_MAX];
    memcpy(sorted, values, (size_t)rounds * sizeof(double));
    qsort(sorted, (size_t)rounds, sizeof(double), by_size);
    const double median = sorted[rounds / 2];
    const int digits = median >= 1000 ? 0 : median >= 10 ? 1 : 2;
    snprintf(text, size, "%.*f [%.*f..%.*f]", digits, median, digits, sorted[0], digits, sorted[rounds - 1]);
    return text;
}

static double median_of(const double *values) {
    double sorted[ROUNDS_MAX];
    memcpy(sorted, values, (size_t)rounds * sizeof(double));
    qsort(sorted, (size_t)rounds, sizeof(double), by_size);
    return sorted[rounds / 2];
}

static void print_row(void) {
    static const char *const units[KINDS] = {"CPU us per line",
                                             "CPU us per request",
                                             "CPU us per handshake",
                                             "CPU us per message",
                                             "resident bytes per connection",
                                             "resident bytes per connection",
                                             "ms to the first line",
                                             "result",
                                             "",
                                             ""};
    printf("\n### %s\n\n| program | %s | to %s |%s\n|---|---|---|%s\n", title, units[row], subjects[0].name,
           row <= TLS ? " per second of wall time |" : "", row <= TLS ? "---|" : "");
    for (int i = 0; i < subject_count; i++) {
        const subject *s = &subjects[i];
        char figure[96], ratio[96];
        if (s->has_failed) {
            printf("| %s | did not run | | %s\n", s->name, row <= TLS ? "|" : "");
            continue;
        }
        printf("| %s | %s | %s |", s->name, spread(s->figures, figure, sizeof(figure)),
               spread(s->ratios, ratio, sizeof(ratio)));
        if (row <= TLS) printf(" %.0f |", median_of(s->rates));
        printf("\n");
    }
    fflush(stdout);
}

static void stop_all(void) {
    for (int i = 0; i < subject_count; i++) {
        close_load(&subjects[i]);
        stop(&subjects[i]);
    }
}

static int usage(void) {
    fprintf(stderr, "usage: compare [-r ROUNDS] [-n COUNT] [-c CONNECTIONS] KIND TITLE NAME COMMAND ...\n");
    return 2;
}

static bool parse(int argc, char **argv) {
    for (int option; (option = getopt(argc, argv, "+r:n:c:")) != -1;) {
        switch (option) {
        case 'r': rounds = atoi(optarg); break;
        case 'n': count = atol(optarg); break;
        case 'c': connections = atoi(optarg); break;
        default: return false;
        }
    }
    argv += optind;
    argc -= optind;
    if (argc < 4 || argc % 2 != 0 || argc / 2 - 1 > SUBJECTS_MAX || rounds < 1 || rounds > ROUNDS_MAX) return false;
    for (row = 0; row < KINDS && strcmp(argv[0], kind_names[row]) != 0;) row++;
    title = argv[1];
    for (int i = 2; i < argc; i += 2) {
        subject *s = &subjects[subject_count++];
        s->name = argv[i];
        s->command = argv[i + 1];
        char *plus = strrchr(argv[i], '+');
        s->is_upgraded = plus && plus[1] == 0;
        if (s->is_upgraded) *plus = 0;
    }
    return row < KINDS;
}

static void raise_descriptor_limit(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv) {
    if (!parse(argc, argv)) return usage();
    if (row == CALLS || row == HTTP_CALLS) set_counter(argv[0]);
    signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit();
    for (int i = 0; i < subject_count; i++) subjects[i].has_failed = !prepare(&subjects[i]);
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < subject_count; i++) {
            subject *s = &subjects[i];
            if (s->has_failed) continue;
            s->has_failed = !measure(s, round);
            const double first = subjects[0].figures[round];
            s->ratios[round] = s->figures[round] / first;
        }
    }
    if (row == CALLS || row == HTTP_CALLS) {
        print_calls();
        unlink(counts_file);
    } else {
        print_row();
    }
    stop_all();
    return 0;
}
