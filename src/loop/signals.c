#include "loop/signals.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "loop/loop.h"

static const int handled[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP};
enum { HANDLED_COUNT = sizeof(handled) / sizeof(handled[0]) };

/* One static mail per signal: posting is a lock-free push, so a handler may do it. `is_posted` keeps a signal that
 * comes again before its delivery from linking the same mail twice. */
static struct signal_mail {
    lh_mail mail;
    int signal;
    atomic_bool is_posted;
} mails[HANDLED_COUNT];

static lh_loop *signal_loop;
static lh_signals_fn signal_callback;
static void (*stop_callback)(int signal);
static atomic_int stop_count;

static void deliver(lh_mail *mail, lh_loop *loop, bool is_closing) {
    struct signal_mail *posted = LH_CONTAINER(mail, struct signal_mail, mail);
    atomic_store(&posted->is_posted, false);
    if (!is_closing) signal_callback(loop, posted->signal);
}

static void handle(int signal) {
    const int error = errno;
    if (signal != SIGHUP && atomic_fetch_add(&stop_count, 1) > 0) _exit(128 + signal);
    for (int i = 0; i < HANDLED_COUNT; i++) {
        if (mails[i].signal != signal || atomic_exchange(&mails[i].is_posted, true)) continue;
        lh_mailbox_post(&signal_loop->mailbox, &mails[i].mail);
    }
    if (signal != SIGHUP) stop_callback(signal);
    errno = error;
}

void lh_signals_install(lh_loop *loop, lh_signals_fn on_signal, void (*in_handler)(int signal)) {
    signal_loop = loop;
    signal_callback = on_signal;
    stop_callback = in_handler;
    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < HANDLED_COUNT; i++) {
        mails[i].mail.deliver = deliver;
        mails[i].signal = handled[i];
        struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART};
        sigfillset(&action.sa_mask);
        sigaction(handled[i], &action, NULL);
    }
}
