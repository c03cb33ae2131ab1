/* The yardstick for messages between threads: two threads, each in an epoll loop, wake each other through eventfds.
 *   threads ROUNDS    prints RESULT <round trips per second> */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

static int bells[2];
static long rounds;

static int open_loop(int bell) {
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    epoll_ctl(epoll, EPOLL_CTL_ADD, bell, &event);
    return epoll;
}

static void wait_for(int epoll, int bell) {
    uint64_t count;
    struct epoll_event event;
    if (epoll_wait(epoll, &event, 1, -1) != 1 || read(bell, &count, sizeof(count)) != sizeof(count)) exit(1);
}

static void ring(int bell) {
    const uint64_t one = 1;
    if (write(bell, &one, sizeof(one)) != sizeof(one)) exit(1);
}

static void *answer(void *unused) {
    const int epoll = open_loop(bells[1]);
    for (long i = 0; i < rounds; i++) {
        wait_for(epoll, bells[1]);
        ring(bells[0]);
    }
    return unused;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    rounds = argc > 1 ? atol(argv[1]) : 100000;
    for (int i = 0; i < 2; i++) bells[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    pthread_t other;
    pthread_create(&other, NULL, answer, NULL);
    const int epoll = open_loop(bells[0]);
    const double start = now();
    for (long i = 0; i < rounds; i++) {
        ring(bells[1]);
        wait_for(epoll, bells[0]);
    }
    printf("RESULT %.0f\n", (double)rounds / (now() - start));
    return 0;
}
