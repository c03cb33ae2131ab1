#include "net/names.h"

#include <netdb.h>
#include <string.h>

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

static void run(lh_job *job) {
    lh_names *names = LH_CONTAINER(job, lh_names, job);
    const struct addrinfo hints = {.ai_family = names->family, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    names->error = getaddrinfo(names->host, NULL, &hints, &found);
    if (names->error) return;
    keep(names, found);
    freeaddrinfo(found);
}

static void done(lh_job *job, bool is_closing) {
    lh_names *names = LH_CONTAINER(job, lh_names, job);
    names->on_done(names, is_closing);
}

lh_names *lh_names_ask(lh_loop *loop, const char *host, int family, void (*on_done)(lh_names *names, bool is_closing),
                       void *owner) {
    const size_t size = strlen(host) + 1;
    lh_names *names = lh_alloc(sizeof(*names) + size);
    memcpy(names->host, host, size);
    names->family = family;
    names->on_done = on_done;
    names->owner = owner;
    names->job.run = run;
    names->job.done = done;
    lh_pool_submit(loop, &names->job);
    return names;
}

const char *lh_names_error_text(const lh_names *names) { return gai_strerror(names->error); }

void lh_names_free(lh_names *names) {
    lh_free(names->addresses);
    lh_free(names);
}
