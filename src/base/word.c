#include "base/word.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

enum { LENGTH_MAX = 63 }; /* of words that are compared */

int lh_word_boolean(const char *text) {
    static const char *const words[] = {"false", "true", "off", "on", "no", "yes", "0", "1"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcasecmp(text, words[i]) == 0) return i % 2 == 1;
    }
    return -1;
}

static int least(int a, int b) { return a < b ? a : b; }

static int letter(char c) { return tolower((unsigned char)c); }

/* Every third letter may be wrong, but at least one and at most three. */
static int tolerance(size_t length) { return length < 6 ? 1 : length < 9 ? 2 : 3; }

/* The optimal string alignment: rows[i % 3][j] is the distance of the first i letters of `a` and the first j of `b`. */
static int align(const char *a, size_t a_length, const char *b, size_t b_length) {
    int rows[3][LENGTH_MAX + 1];
    for (size_t j = 0; j <= b_length; j++) rows[0][j] = (int)j;
    for (size_t i = 1; i <= a_length; i++) {
        int *row = rows[i % 3];
        const int *before = rows[(i + 2) % 3], *two_before = rows[(i + 1) % 3];
        row[0] = (int)i;
        for (size_t j = 1; j <= b_length; j++) {
            const int change = before[j - 1] + (letter(a[i - 1]) != letter(b[j - 1]));
            row[j] = least(change, least(before[j], row[j - 1]) + 1);
            const bool is_exchanged =
                i > 1 && j > 1 && letter(a[i - 1]) == letter(b[j - 2]) && letter(a[i - 2]) == letter(b[j - 1]);
            if (is_exchanged) row[j] = least(row[j], two_before[j - 2] + 1);
        }
    }
    return rows[a_length % 3][b_length];
}

int lh_word_distance(const char *word, const char *known) {
    const size_t length = strlen(word), known_length = strlen(known);
    if (length > LENGTH_MAX || known_length > LENGTH_MAX) return -1;
    const int distance = align(word, length, known, known_length);
    return distance <= tolerance(known_length) ? distance : -1;
}

const char *lh_word_nearest(const char *word, const char *const *names) {
    const char *nearest = NULL;
    int distance = LENGTH_MAX;
    for (; *names; names++) {
        const int d = lh_word_distance(word, *names);
        if (d < 0 || d >= distance) continue;
        nearest = *names;
        distance = d;
    }
    return nearest;
}
