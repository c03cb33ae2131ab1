#include "base/owner.h"

_Thread_local const char lh__owner_mark;
