/* Both number types for one instruction set. */

#define DOUBLE 0
#define REAL float
#define INT int32_t
#define LANES (BYTES / 4)
#define NAME(x) JOIN(x, JOIN(JOIN(_, ISA), _f))
#include "rows.h"
#undef DOUBLE
#undef REAL
#undef INT
#undef LANES
#undef NAME

#define DOUBLE 1
#define REAL double
#define INT int64_t
#define LANES (BYTES / 8)
#define NAME(x) JOIN(x, JOIN(JOIN(_, ISA), _d))
#include "rows.h"
#undef DOUBLE
#undef REAL
#undef INT
#undef LANES
#undef NAME

#undef TARGET
#undef TERMS
#undef BYTES
#undef ISA
