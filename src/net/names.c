#include "net/names.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"

static void keep(lh_names *names, const struct addrinfo *found) {
    size_t count = 0;
    for (const struct addrinfo *a = found; a; a = a->ai_next) count++;
    names->addresses = lh_alloc(count * sizeof(lh_address));
    for (const struct addrinfo *a = found; a; a = a->ai_next) {
        if (a->ai_family != AF_INET && a->ai_family != AF_INET6) continue;
        lh_address *address = &names->addresses[names->count++];
        memcpy(&address->storage, a->ai_addr, a->ai_addrlen);
        address->length = a->ai_addrlen;
    }
    if (names->count == 0) names->error = EAI_NONAME;
}

/* A name that cannot be looked up for want of descriptors is said to be unknown: is there one now? */
static int missing_resource(void) {
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return errno;
    close(fd);
    return 0;
}

static void find(lh_names *names, int flags) {
    const struct addrinfo hints = {.ai_family = names->family, .ai_socktype = SOCK_STREAM, .ai_flags = flags};
    struct addrinfo *found = NULL;
    names->error = getaddrinfo(names->host, NULL, &hints, &found);
    if (names->error && !(flags & AI_NUMERICHOST)) names->system_error = missing_resource();
    if (names->error) return;
    keep(names, found);
    freeaddrinfo(found);
}

/* Is the name one of a line of /etc/hosts, "ADDRESS NAME NAME ... # comment"? */
static bool has_name(char *line, const char *host) {
    line[strcspn(line, "#\n")] = '\0';
    char *rest, *word = strtok_r(line, " \t\r", &rest);
    while (word && (word = strtok_r(NULL, " \t\r", &rest))) {
        if (strcasecmp(word, host) == 0) return true;
    }
    return false;
}

static bool is_in_hosts(const char *host) {
    FILE *file = fopen("/etc/hosts", "re");
    if (!file) return false;
    char *line = NULL;
    size_t size = 0;
    bool is_there = false;
    while (!is_there && getline(&line, &size, file) >= 0) is_there = has_name(line, host);
    lh_free(line);
    fclose(file);
    return is_there;
}

static void run(lh_job *job) {
    lh_names *names = LH_CONTAINER(job, lh_names, job);
    if (!names->is_far) {
        find(names, AI_NUMERICHOST);
        if (!names->error) return;
        names->is_far = !is_in_hosts(names->host);
        if (names->is_far) return;
    }
    find(names, 0);
}

static void done(lh_job *job, bool is_closing) {
    lh_names *names = LH_CONTAINER(job, lh_names, job);
    if (names->is_far && job->kind == LH_POOL_HOSTS && names->owner && !is_closing) {
        job->kind = LH_POOL_NAMES;
        lh_pool_submit(job->loop, job);
    } else {
        names->on_done(names, is_closing);
    }
}

lh_names *lh_names_ask(lh_loop *loop, const char *host, int family, void (*on_done)(lh_names *names, bool is_closing),
                       void *owner) {
    const size_t size = strlen(host) + 1;
    lh_names *names = lh_alloc(sizeof(*names) + size);
    memcpy(names->host, host, size);
    names->family = family;
    names->on_done = on_done;
    names->owner = owner;
    names->job.kind = LH_POOL_HOSTS;
    names->job.run = run;
    names->job.done = done;
    lh_pool_submit(loop, &names->job);
    return names;
}

void lh_names_forget(lh_names *names) {
    names->owner = NULL;
    lh_pool_abandon(&names->job);
}

const char *lh_names_error_text(const lh_names *names) {
    return names->system_error ? strerrordesc_np(names->system_error) : gai_strerror(names->error);
}

void lh_names_free(lh_names *names) {
    lh_free(names->addresses);
    lh_free(names);
}
