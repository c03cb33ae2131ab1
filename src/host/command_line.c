#include "host/command_line.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/exit.h"
#include "host/log.h"

enum { WANTED_LOGS_MAX = 64 };

static const char usage_text[] =
    "usage: lhotse [options] [FILE [ARGUMENT...]]  run a Lua program (none, or - = from standard input)\n"
    "       lhotse [options] -c CONFIG                run the programs that its <modules> name\n"
    "       lhotse test [--timeout SECONDS] PATH... [BUSTED OPTION...]    run busted specs\n"
    "\n"
    "  -e NAME         entry function, called when the file has run (default: main, if there is one)\n"
    "  -n N, --threads N  event loop threads, each running the program (default 1, at most 256; 0 = one per core)\n"
    "  -L PATH         package.path (+PATH appends)\n"
    "  -C PATH         package.cpath (+PATH appends)\n"
    "  -c FILE         the configuration, XML\n"
    "  -T              print the effective configuration and exit\n"
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

void lh_usage_error(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "lhotse: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n%s", usage_text);
    va_end(arguments);
    lh_exit(LH_EXIT_USAGE);
}

/* Options whose features come later; refused, not ignored. */
static const char *const unbuilt[] = {"-i"};

static bool is_any(const char *word, const char *a, const char *b) {
    return strcmp(word, a) == 0 || strcmp(word, b) == 0;
}

int lh_command_line_threads(const char *text) {
    char *end;
    const long count = strtol(text, &end, 10);
    if (*text == '\0' || *end || count < 0 || count > LH_THREADS_MAX) return -1;
    return count == 0 ? (int)sysconf(_SC_NPROCESSORS_ONLN) : (int)count;
}

static int check_threads(const char *word, const char *text) {
    const int count = lh_command_line_threads(text);
    if (count < 0) lh_usage_error("%s: a number from 0 to %d expected, got '%s'", word, LH_THREADS_MAX, text);
    return count;
}

static double parse_seconds(const char *word, const char *text) {
    char *end;
    const double seconds = strtod(text, &end);
    if (*text == '\0' || *end || !(seconds > 0)) lh_usage_error("%s: seconds expected, got '%s'", word, text);
    return seconds;
}

/* The streams of -l and -d, enabled once the configuration has made what it makes of them. */
static const char *wanted_logs[WANTED_LOGS_MAX];
static int wanted_log_count;

static void want_log(const char *name) {
    if (wanted_log_count == WANTED_LOGS_MAX) lh_usage_error("more than %d logs to enable", WANTED_LOGS_MAX);
    wanted_logs[wanted_log_count++] = name;
}

void lh_command_line_enable_logs(void) {
    for (int i = 0; i < wanted_log_count; i++) {
        lh_log_enable(lh_log_get(wanted_logs[i], strlen(wanted_logs[i])), true);
    }
}

static void __attribute__((noreturn)) print_and_exit(const char *text) {
    fputs(text, stdout);
    lh_exit(EXIT_SUCCESS);
}

static void refuse_unbuilt(const char *word) {
    for (size_t i = 0; i < sizeof(unbuilt) / sizeof(unbuilt[0]); i++) {
        if (strcmp(word, unbuilt[i]) == 0) lh_usage_error("option %s is not built yet", word);
    }
}

/* The value of the option argv[*i]; advances *i. */
static const char *value_of(char **argv, int *i) {
    const char *word = argv[*i];
    if (!argv[*i + 1]) lh_usage_error("option %s needs a value", word);
    return argv[++*i];
}

/* Handles the option at argv[*i], which begins with '-'. */
static void parse_option(lh_options *options, char **argv, int *i) {
    const char *word = argv[*i];
    if (is_any(word, "-h", "--help")) print_and_exit(usage_text);
    if (is_any(word, "-v", "--version")) print_and_exit("lhotse " LHOTSE_VERSION "\n");
    if (is_any(word, "-n", "--threads")) {
        options->thread_count = check_threads(word, value_of(argv, i));
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
        lh_usage_error("unknown option %s", word);
    }
}

static void parse_test_command(lh_options *options, char **argv, int i) {
    options->mode = LH_MODE_TEST;
    options->script = "test";
    if (argv[i] && strcmp(argv[i], "--timeout") == 0) {
        options->test_timeout = parse_seconds(argv[i], value_of(argv, &i));
        i++;
    }
    if (!argv[i]) lh_usage_error("test: no path given");
    options->arguments = argv + i;
}

lh_options lh_command_line_parse(char **argv) {
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
    if (isatty(STDIN_FILENO)) lh_usage_error("no file given; the interactive console is not built yet");
    if (options.is_luamtev) lh_usage_error("no file given");
    options.script = "-";
    return options;
}
