/* The start: configuration, logs, user, and then the program, or the monitor that starts it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/descriptors.h"
#include "host/command_line.h"
#include "host/exit.h"
#include "mtev/init.h"
#include "host/conf.h"
#include "host/log.h"
#include "host/log_config.h"
#include "host/monitor.h"
#include "host/privileges.h"
#include "runtime/program.h"
#include "host/service.h"
#include "host/settings.h"
#include "runtime/trace.h"
#include "host/worker.h"

static void __attribute__((noreturn)) config_error(const lh_options *options, const char *message) {
    if (options->config) {
        fprintf(stderr, "%s: %s: %s\n", options->program, options->config, message);
    } else {
        fprintf(stderr, "%s: %s\n", options->program, message);
    }
    lh_exit(LH_EXIT_USAGE);
}

/* How many threads the configuration wants, 1 if it does not say. */
static int configured_threads(const lh_options *options) {
    char message[LH_CONFIG_MESSAGE_BYTES], *value = NULL;
    if (lh_conf_read("/*/eventer/config/concurrency", &value, message) != LH_CONFIG_DONE) return 1;
    const int count = lh_command_line_threads(value);
    if (count < 0) {
        snprintf(message, sizeof(message), "<concurrency>: a number from 0 to %d expected, got '%.40s'", LH_THREADS_MAX,
                 value);
        config_error(options, message);
    }
    lh_free(value);
    return count;
}

static void open_config(lh_options *options) {
    char message[LH_CONFIG_MESSAGE_BYTES];
    if (!lh_conf_open(options->config, options->thread_count ? options->thread_count : 1, message)) {
        config_error(options, message);
    }
    const int count = configured_threads(options);
    if (options->thread_count == 0) options->thread_count = count;
}

/* What the path says, freed with lh_free; NULL = nothing. */
static char *configured_name(const char *path) {
    char message[LH_CONFIG_MESSAGE_BYTES], *value = NULL;
    return lh_conf_read(path, &value, message) == LH_CONFIG_DONE ? value : NULL;
}

/* A pipe or a file is there to be read; a daemon's /dev/null is not. */
static bool is_input_given(void) {
    struct stat status;
    return fstat(STDIN_FILENO, &status) == 0 && !S_ISCHR(status.st_mode);
}

/* Without a file it is the configuration that says what runs, or standard input. */
static void choose_mode(lh_options *options) {
    if (options->script || options->mode == LH_MODE_TEST) return;
    char *first = configured_name("/*/modules/*[1]");
    if (!first && !is_input_given()) {
        lh_usage_error("no file given, and the configuration has no <modules> that say what to run");
    }
    options->mode = first ? LH_MODE_DAEMON : LH_MODE_RUN;
    options->script = first ? "modules" : "-";
    lh_free(first);
}

static void open_logs(const lh_options *options, bool is_monitor) {
    char message[LH_CONFIG_MESSAGE_BYTES];
    if (!lh_log_configure(is_monitor, message)) config_error(options, message);
    lh_command_line_enable_logs();
}

static void __attribute__((noreturn))
privileges_error(const lh_options *options, bool is_configured, const char *message) {
    char text[LH_PRIVILEGES_MESSAGE_BYTES + 32];
    snprintf(text, sizeof(text), "<security>: %s", message);
    if (is_configured) config_error(options, text);
    fprintf(stderr, "%s: %s\n", options->program, message);
    lh_exit(LH_EXIT_USAGE);
}

/* Becomes the user that the program is to run as; a program that cannot does not run. */
static void drop_privileges(const lh_options *options) {
    char message[LH_PRIVILEGES_MESSAGE_BYTES];
    lh_identity identity;
    char *user = configured_name("/*/security/@user"), *group = configured_name("/*/security/@group");
    const char *wanted_user = options->user ? options->user : user;
    const char *wanted_group = options->group ? options->group : group;
    if (wanted_user || wanted_group) {
        if (!lh_privileges_find(wanted_user, wanted_group, &identity, message)) {
            privileges_error(options, !options->user && !options->group, message);
        }
        lh_log_give_files(identity.user, identity.group);
        if (!lh_privileges_drop(&identity, message)) config_error(options, message);
        lh_worker_follow_monitor();
    }
    lh_free(user);
    lh_free(group);
}

static void free_monitor_settings(lh_monitor_settings *settings) {
    lh_free(settings->tracedir);
    lh_free(settings->glider);
}

/* The settings are read also where they do not count: a value that is wrong is wrong now, not when `-m` is there. */
static lh_monitor_settings read_monitor_settings(const lh_options *options, char **argv) {
    char message[LH_CONFIG_MESSAGE_BYTES];
    lh_monitor_settings settings = {
        .program = options->program, .argv = argv, .is_foreground = options->managed_count > 1};
    if (!lh_monitor_configure(&settings, message)) config_error(options, message);
    return settings;
}

static int run_monitor(const lh_options *options, char **argv) {
    if (strcmp(options->script, "-") == 0) lh_usage_error("-m: a program from standard input cannot be started again");
    lh_monitor_settings settings = read_monitor_settings(options, argv);
    const int status = lh_monitor_run(&settings);
    free_monitor_settings(&settings);
    lh_log_flush();
    return status;
}

/* Reports what is wrong with the settings that the program itself reads, before anything runs. */
static void check_settings(const lh_options *options, char **argv) {
    lh_monitor_settings settings = read_monitor_settings(options, argv);
    free_monitor_settings(&settings);
    if (!lh_settings_check(options->program)) lh_exit(LH_EXIT_USAGE);
}

static void __attribute__((noreturn)) show_config(void) {
    size_t length;
    char *text = lh_conf_shown_text(&length);
    if (text) fwrite(text, 1, length, stdout);
    lh_free(text);
    lh_exit(EXIT_SUCCESS);
}

int main(int argc, char **argv) {
    (void)argc;
    lh_descriptors_open_standard();
    const int trace = lh_worker_attach();
    const bool is_worker = trace >= 0;
    if (is_worker) lh_trace_open(trace);
    lh_alloc_reserve();
    lh_log_open();
    lh_options options = lh_command_line_parse(argv);
    open_config(&options);
    if (options.is_showing_config) show_config();
    choose_mode(&options);
    const bool is_monitor = options.managed_count > 0 && !is_worker;
    open_logs(&options, is_monitor);
    if (!is_worker) check_settings(&options, argv);
    int status;
    if (is_monitor) {
        status = run_monitor(&options, argv);
    } else {
        if (!is_worker) lh_trace_open(STDERR_FILENO);
        drop_privileges(&options);
        lh_service_start(options.thread_count);
        status = lh_program_run(&options, lh_open_api);
    }
    lh_conf_close();
    return lh_exit_status(status);
}
