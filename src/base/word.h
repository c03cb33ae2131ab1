/* Words that people write into options and configurations: truth values, and which known word a misspelt one was meant
 * to be.
 *
 * Owner: nothing; results point into what was given.
 * Thread: any.
 * Errors: -1 or NULL, as said. */
#pragma once
#include <stddef.h>

/* 1 for true, on, yes, 1; 0 for false, off, no, 0; in any case. -1 for anything else. */
int lh_word_boolean(const char *text);

/* How many letters must be added, left out, changed, or exchanged with their neighbour to make `known` of `word`; case
 * does not count. -1 when they are too different to be the same word misspelt. */
int lh_word_distance(const char *word, const char *known);

/* The one of `names`, an array that NULL ends, that `word` was probably meant to be. NULL = none is like it. */
const char *lh_word_nearest(const char *word, const char *const *names);
