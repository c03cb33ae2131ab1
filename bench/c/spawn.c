/* spawn COUNT PARALLEL MEGABYTES: starts /bin/true COUNT times by posix_spawn, PARALLEL at a time, and waits for each,
 * with so many megabytes resident. Prints RESULT and how many a second. */
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void start(void) {
    char *const argv[] = {"true", NULL};
    pid_t pid;
    if (posix_spawn(&pid, "/bin/true", NULL, NULL, argv, environ) != 0) exit(1);
}

int main(int argc, char **argv) {
    if (argc < 4) return 2;
    const long count = strtol(argv[1], NULL, 10), parallel = strtol(argv[2], NULL, 10);
    const size_t bytes = (size_t)strtol(argv[3], NULL, 10) * 1024 * 1024;
    char *ballast = malloc(bytes + 1);
    memset(ballast, 1, bytes);
    const double began = now();
    long started = 0, ended = 0;
    while (ended < count) {
        while (started < count && started - ended < parallel) {
            start();
            started++;
        }
        int status;
        if (waitpid(-1, &status, 0) < 0 || status != 0) return 1;
        ended++;
    }
    printf("RESULT %.1f\n", (double)count / (now() - began));
    free(ballast);
    return 0;
}
