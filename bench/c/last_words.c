/* Prints the monotonic clock in nanoseconds as the last thing before it ends. */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

int main(void) {
    char text[32];
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    const int length = snprintf(text, sizeof(text), "%lld\n", (long long)t.tv_sec * 1000000000 + t.tv_nsec);
    _exit(write(STDOUT_FILENO, text, (size_t)length) == length ? 0 : 1);
}
