/* The parts of json.c: json_decode.c makes Lua values of a text, json_encode.c makes a text of Lua values.
 *
 * Both need memory that is dear to set up: a workspace. Whoever works takes the state's, which leaves its place empty,
 * and gives it back; so a finalizer of a script that runs in between (any allocation of Lua's may start one) and uses
 * JSON itself finds none and makes its own, and after an error the lost one is collected.
 *
 * Owner: a workspace is a userdata. Thread: the state's own. Errors: raised. */
#pragma once
#include <lua.h>

#include "base/buffer.h"
#include "data/json.h"

typedef struct lh_json_workspace {
    lh_json_parser *parser; /* NULL = none yet */
    uint64_t generation;    /* of the parser's tape; no two parses of a thread have the same. 0 = no tape */
    lh_buffer out;          /* what is written: empty when the workspace is taken */
} lh_json_workspace;

/* -- json_workspace.c ---------------------------------------------------------------------------------------------- */

/* Once per state. */
void lh_json_open_workspace(lua_State *L);

/* Pushes a workspace and returns it. */
lh_json_workspace *lh_json_take(lua_State *L);

/* Gives back the workspace at `index`; empties `out` and keeps no large one. */
void lh_json_give(lua_State *L, int index);

/* -- json_decode.c ------------------------------------------------------------------------------------------------- */

/* What `document` was told; the values lie on the stack. */
typedef struct lh_json_options {
    int null_index;  /* stack index of what stands for null; 0 = nothing does */
    int int64_index; /* stack index of the function that makes 64-bit integers; 0 = they become strings of digits */
} lh_json_options;

/* The registry's key of the function (high, low, is_unsigned) that makes 64-bit integers. */
#define LH_JSON_INT64_MAKER "mtev.json.int64"

/* Of {null = value, int64 = true} or nothing at `index`; pushes what it finds. */
lh_json_options lh_json_get_options(lua_State *L, int index);

/* Pushes the value on the parser's tape. `text` is what it was made of, with or without white space. */
void lh_json_push_value(lua_State *L, const lh_json_parser *parser, const char *text, size_t length,
                        lh_json_options options);

/* -- json_encode.c ------------------------------------------------------------------------------------------------- */

/* Writes the value on top of the stack, which it leaves there, to the `out` of the workspace at `workspace_index`.
 * Tables deeper than `depth_max` are elided; negative = none. Raises with the path of what no JSON can say; the
 * workspace is given back then. */
void lh_json_encode(lua_State *L, int workspace_index, int depth_max);
