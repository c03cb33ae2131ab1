#include "host/privileges.h"

#include <assert.h>
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"

#define NO_ID ((uid_t)-1)
#define NO_GROUP ((gid_t)-1)

static bool fail(char *message, const char *what, const char *who) {
    snprintf(message, LH_PRIVILEGES_MESSAGE_BYTES, "%s %s: %s", what, who, lh_error_text(errno));
    return false;
}

static bool read_number(const char *text, unsigned *number) {
    char *end;
    errno = 0;
    const unsigned long value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || value >= NO_ID) return false;
    *number = (unsigned)value;
    return true;
}

static bool find_user(const char *user, lh_identity *identity, char *message) {
    const struct passwd *entry = getpwnam(user);
    unsigned number;
    if (!entry && read_number(user, &number)) {
        entry = getpwuid(number);
        identity->user = number;
    }
    if (entry) {
        identity->user = entry->pw_uid;
        identity->group = entry->pw_gid;
        snprintf(identity->name, sizeof(identity->name), "%s", entry->pw_name);
    }
    if (identity->user != NO_ID) return true;
    snprintf(message, LH_PRIVILEGES_MESSAGE_BYTES, "no such user: %s", user);
    return false;
}

static bool find_group(const char *group, lh_identity *identity, char *message) {
    const struct group *entry = getgrnam(group);
    unsigned number;
    if (entry) {
        identity->group = entry->gr_gid;
        return true;
    }
    if (read_number(group, &number)) {
        identity->group = number;
        return true;
    }
    snprintf(message, LH_PRIVILEGES_MESSAGE_BYTES, "no such group: %s", group);
    return false;
}

bool lh_privileges_find(const char *user, const char *group, lh_identity *identity,
                        char message[LH_PRIVILEGES_MESSAGE_BYTES]) {
    *identity = (lh_identity){.user = NO_ID, .group = NO_GROUP};
    if (user && !find_user(user, identity, message)) return false;
    if (group && !find_group(group, identity, message)) return false;
    if (!user || identity->group != NO_GROUP) return true;
    snprintf(message, LH_PRIVILEGES_MESSAGE_BYTES, "user %s has no account, and so needs a group", user);
    return false;
}

/* -- Dropping ------------------------------------------------------------------------------------------------------ */

/* Exactly these, or none if they are not ours to keep (a container may not have them). */
static bool keep_only(unsigned capabilities) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};
    data[0].permitted = data[0].effective = capabilities;
    if (syscall(SYS_capset, &header, data) == 0) return true;
    return capabilities != 0 && errno == EPERM && keep_only(0);
}

/* Of the bounding set, which limits what programs with capabilities of their own get. A container may not let us. */
static bool bound(unsigned capabilities) {
    for (unsigned capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; capability++) {
        if (capability < 32 && capabilities & 1u << capability) continue;
        if (prctl(PR_CAPBSET_DROP, capability) < 0) return errno == EPERM;
    }
    return true;
}

static bool set_groups(const lh_identity *identity) {
    assert(identity->group != NO_GROUP);
    if (identity->user == geteuid() && geteuid() != 0) return true; /* they are ours already */
    if (!identity->name[0]) return setgroups(1, &identity->group) == 0;
    return initgroups(identity->name, identity->group) == 0;
}

static bool set_user(uid_t user) {
    assert(user != NO_ID);
    const unsigned kept = 1u << CAP_NET_BIND_SERVICE;
    const bool was_root = geteuid() == 0;
    const bool keeps = was_root && user != 0;
    if (keeps && (!bound(kept) || prctl(PR_SET_KEEPCAPS, 1) < 0)) return false;
    if (setresuid(user, user, user) < 0) return false;
    if (user != 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return false;
    if (keeps && (!keep_only(kept) || prctl(PR_SET_KEEPCAPS, 0) < 0)) return false;
    if (!was_root || user == 0) return true;
    errno = EPERM;
    return setuid(0) < 0; /* there must be no way back */
}

bool lh_privileges_drop(const lh_identity *identity, char message[LH_PRIVILEGES_MESSAGE_BYTES]) {
    char who[32];
    if (identity->user != NO_ID && !set_groups(identity)) return fail(message, "cannot take the groups of", "the user");
    if (identity->group != NO_GROUP) {
        snprintf(who, sizeof(who), "%u", (unsigned)identity->group);
        const bool has_no_user = identity->user == NO_ID;
        if (has_no_user && geteuid() == 0 && setgroups(1, &identity->group) < 0) {
            return fail(message, "cannot leave the groups but", who);
        }
        if (setresgid(identity->group, identity->group, identity->group) < 0) {
            return fail(message, "cannot become group", who);
        }
    }
    if (identity->user == NO_ID) return true;
    snprintf(who, sizeof(who), "%u", (unsigned)identity->user);
    return set_user(identity->user) || fail(message, "cannot become user", who);
}
