#include "base/error.h"

#include <string.h>

const char *lh_error_text(int error) {
    static _Thread_local char text[128];
    return strerror_r(error, text, sizeof(text)); /* the GNU one returns its own constant or `text` */
}
