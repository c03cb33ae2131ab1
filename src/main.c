/* The command line. Everything it says ends up in lh_options; what the program then does is runtime/program.c. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "mtev/api.h"
#include "runtime/config.h"
#include "runtime/log.h"
#include "runtime/log_config.h"
#include "runtime/monitor.h"
#include "runtime/privileges.h"
#include "runtime/program.h"
#include "runtime/service.h"
#include "runtime/worker.h"

enum { THREADS_MAX = 256, WANTED_LOGS_MAX = 64, EXIT_USAGE = 2 };

static const char usage_text[] =
    "usage: lhotse [options] FILE [ARGUMENT...]    run a Lua program (- = from standard input)\n"
    "       lhotse [options] -c CONFIG                run the programs that its <modules> name\n"
    "       lhotse test [--timeout SECONDS] PATH... [BUSTED OPTION...]    run busted specs\n"
    "\n"
    "  -e NAME         entry function, called when the file has run (default: main, if there is one)\n"
    "  -n N, --threads N  event loop threads, each running the program (default 1; 0 = one per core)\n"
    "  -L PATH         package.path (+PATH appends)\n"
    "  -C PATH         package.cpath (+PATH appends)\n"
    "  -c FILE         the configuration, XML\n"
    "  -T              print the configuration as it counts, and end\n"
    "  -m              run managed, in the background: a monitor starts the program again when it dies or "
    "hangs\n"
    "  -m -m           the same in the foreground\n"
    "  -u USER         become that user, once the logs are open\n"
    "  -g GROUP        become that group\n"
    "  -l LOG          enable a log stream (may be repeated)\n"
    "  -d              enable the log stream debug and those below it\n"
    "  --keep-going    an uncaught error ends its coroutine, not the process\n"
    "  -h, --help      this text\n"
    "  -v, --version   the version\n";

static void __attribute__((noreturn, format(printf, 1, 2))) usage_error(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "lhotse: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n%s", usage_text);
    va_end(arguments);
    lh_program_exit(EXIT_USAGE);
}

/* Options whose features come later; refused, not ignored. */
static const char *const unbuilt[] = {"-i"};

static bool is_any(const char *word, const char *a, const char *b) {
    return strcmp(word, a) == 0 || strcmp(word, b) == 0;
}

static int parse_count(const char *word, const char *text) {
    char *end;
    const long count = strtol(text, &end, 10);
    if (*text == '\0' || *end || count < 0 || count > THREADS_MAX) {
        usage_error("%s: a number from 0 to %d expected, got '%s'", word, THREADS_MAX, text);
    }
    return count == 0 ? (int)sysconf(_SC_NPROCESSORS_ONLN) : (int)count;
}

static double parse_seconds(const char *word, const char *text) {
    char *end;
    const double seconds = strtod(text, &end);
    if (*text == '\0' || *end || !(seconds > 0)) usage_error("%s: seconds expected, got '%s'", word, text);
    return seconds;
}

/* The streams of -l and -d, enabled once the configuration has made what it makes of them. */
static const char *wanted_logs[WANTED_LOGS_MAX];
static int wanted_log_count;

static void want_log(const char *name) {
    if (wanted_log_count == WANTED_LOGS_MAX) usage_error("more than %d logs to enable", WANTED_LOGS_MAX);
    wanted_logs[wanted_log_count++] = name;
}

static void enable_wanted_logs(void) {
    for (int i = 0; i < wanted_log_count; i++) {
        lh_log_enable(lh_log_get(wanted_logs[i], strlen(wanted_logs[i])), true);
    }
}

static void __attribute__((noreturn)) print_and_exit(const char *text) {
    fputs(text, stdout);
    lh_program_exit(EXIT_SUCCESS);
}

static void refuse_unbuilt(const char *word) {
    for (size_t i = 0; i < sizeof(unbuilt) / sizeof(unbuilt[0]); i++) {
        if (strcmp(word, unbuilt[i]) == 0) usage_error("option %s is not built yet", word);
    }
}

/* The value of the option argv[*i]; advances *i. */
static const char *value_of(char **argv, int *i) {
    const char *word = argv[*i];
    if (!argv[*i + 1]) usage_error("option %s needs a value", word);
    return argv[++*i];
}

/* Handles the option at argv[*i], which begins with '-'. */
static void parse_option(lh_options *options, char **argv, int *i) {
    const char *word = argv[*i];
    if (is_any(word, "-h", "--help")) print_and_exit(usage_text);
    if (is_any(word, "-v", "--version")) print_and_exit("lhotse " LHOTSE_VERSION "\n");
    if (is_any(word, "-n", "--threads")) {
        options->thread_count = parse_count(word, value_of(argv, i));
    } else if (strcmp(word, "-e") == 0) {
        options->entry = value_of(argv, i);
    } else if (strcmp(word, "-L") == 0) {
        options->path = value_of(argv, i);
    } else if (strcmp(word, "-C") == 0) {
        options->cpath = value_of(argv, i);
    } else if (strcmp(word, "-c") == 0) {
        options->config = value_of(argv, i);
    } else if (strcmp(word, "-T") == 0) {
        options->is_showing_config = true;
    } else if (strcmp(word, "-m") == 0) {
        options->managed_count++;
    } else if (strcmp(word, "-u") == 0) {
        options->user = value_of(argv, i);
    } else if (strcmp(word, "-g") == 0) {
        options->group = value_of(argv, i);
    } else if (strcmp(word, "-l") == 0) {
        want_log(value_of(argv, i));
    } else if (strcmp(word, "-d") == 0) {
        want_log("debug");
    } else if (strcmp(word, "-M") == 0) {
        lh_log_print("notice", "lhotse: -M %s ignored: native libmtev modules cannot be loaded\n", value_of(argv, i));
    } else if (strcmp(word, "--keep-going") == 0) {
        options->is_keep_going = true;
    } else {
        refuse_unbuilt(word);
        usage_error("unknown option %s", word);
    }
}

static void parse_test_command(lh_options *options, char **argv, int i) {
    options->mode = LH_MODE_TEST;
    options->script = "test";
    if (argv[i] && strcmp(argv[i], "--timeout") == 0) {
        options->test_timeout = parse_seconds(argv[i], value_of(argv, &i));
        i++;
    }
    if (!argv[i]) usage_error("test: no path given");
    options->arguments = argv + i;
}

static lh_options parse(char **argv) {
    const char *slash = strrchr(argv[0], '/');
    const char *name = slash ? slash + 1 : argv[0];
    lh_options options = {.test_timeout = 30, .program = "lhotse"};
    options.is_luamtev = strcmp(name, "luamtev") == 0;
    if (options.is_luamtev) options.program = "luamtev";
    int i = 1;
    for (; argv[i] && argv[i][0] == '-' && argv[i][1] != '\0'; i++) parse_option(&options, argv, &i);
    if (argv[i] && strcmp(argv[i], "test") == 0 && !options.is_luamtev) {
        parse_test_command(&options, argv, i + 1);
        return options;
    }
    options.script = argv[i];
    if (options.script || options.is_showing_config || options.config) {
        options.arguments = argv + i + (options.script != NULL);
        return options;
    }
    if (isatty(STDIN_FILENO)) usage_error("no file given; the interactive console is not built yet");
    if (options.is_luamtev) usage_error("no file given");
    options.script = "-";
    return options;
}

/* How many threads the configuration wants, 1 if it does not say. */
static int configured_threads(void) {
    char message[LH_CONFIG_MESSAGE_BYTES], *value = NULL;
    if (lh_config_read("/*/eventer/config/concurrency", &value, message) != LH_CONFIG_DONE) return 1;
    const int count = parse_count("concurrency", value);
    lh_free(value);
    return count;
}

static void __attribute__((noreturn)) config_error(const lh_options *options, const char *message) {
    if (options->config) {
        fprintf(stderr, "%s: %s: %s\n", options->program, options->config, message);
    } else {
        fprintf(stderr, "%s: %s\n", options->program, message);
    }
    lh_program_exit(EXIT_USAGE);
}

static void open_config(lh_options *options) {
    char message[LH_CONFIG_MESSAGE_BYTES];
    if (!lh_config_open(options->config, options->thread_count ? options->thread_count : 1, message)) {
        config_error(options, message);
    }
    if (options->thread_count == 0) options->thread_count = configured_threads();
}

/* What the path says, freed with lh_free; NULL = nothing. */
static char *configured_name(const char *path) {
    char message[LH_CONFIG_MESSAGE_BYTES], *value = NULL;
    return lh_config_read(path, &value, message) == LH_CONFIG_DONE ? value : NULL;
}

/* Without a file it is the configuration that says what runs. */
static void choose_mode(lh_options *options) {
    if (options->script || options->mode == LH_MODE_TEST) return;
    char *first = configured_name("/*/modules/*[1]");
    if (!first) usage_error("no file given, and the configuration has no <modules> that say what to run");
    lh_free(first);
    options->mode = LH_MODE_DAEMON;
    options->script = "modules";
}

static void open_logs(const lh_options *options, bool is_monitor) {
    char message[LH_CONFIG_MESSAGE_BYTES];
    if (!lh_log_configure(is_monitor, message)) config_error(options, message);
    enable_wanted_logs();
}

/* Becomes the user that the program is to run as; a program that cannot does not run. */
static void drop_privileges(const lh_options *options) {
    char message[LH_PRIVILEGES_MESSAGE_BYTES];
    lh_identity identity;
    char *user = configured_name("/*/security/@user"), *group = configured_name("/*/security/@group");
    const char *wanted_user = options->user ? options->user : user;
    const char *wanted_group = options->group ? options->group : group;
    if (wanted_user || wanted_group) {
        if (!lh_privileges_find(wanted_user, wanted_group, &identity, message)) config_error(options, message);
        lh_log_give_files(identity.user, identity.group);
        if (!lh_privileges_drop(&identity, message)) config_error(options, message);
        lh_worker_follow_monitor();
    }
    lh_free(user);
    lh_free(group);
}

static int run_monitor(const lh_options *options, char **argv) {
    char message[LH_CONFIG_MESSAGE_BYTES];
    lh_monitor_settings settings = {
        .program = options->program, .argv = argv, .is_foreground = options->managed_count > 1};
    if (strcmp(options->script, "-") == 0) usage_error("-m: a program from standard input cannot be started again");
    if (!lh_monitor_configure(&settings, message)) config_error(options, message);
    const int status = lh_monitor_run(&settings);
    lh_free(settings.tracedir);
    lh_free(settings.glider);
    lh_log_flush();
    return status;
}

static void __attribute__((noreturn)) show_config(void) {
    size_t length;
    char *text = lh_config_shown_text(&length);
    if (text) fwrite(text, 1, length, stdout);
    lh_free(text);
    lh_program_exit(EXIT_SUCCESS);
}

int main(int argc, char **argv) {
    (void)argc;
    const bool is_worker = lh_worker_attach();
    lh_log_open();
    lh_options options = parse(argv);
    open_config(&options);
    if (options.is_showing_config) show_config();
    choose_mode(&options);
    const bool is_monitor = options.managed_count > 0 && !is_worker;
    open_logs(&options, is_monitor);
    int status;
    if (is_monitor) {
        status = run_monitor(&options, argv);
    } else {
        drop_privileges(&options);
        lh_service_start(options.thread_count);
        status = lh_program_run(&options, lh_open_api);
    }
    lh_config_close();
    return status;
}
