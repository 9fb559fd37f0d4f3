/* Shared by the C sources of the native backend: what a kernel is told, and how its rows are shared out. */

#ifndef GRAPHPDE_NATIVE_H
#define GRAPHPDE_NATIVE_H

#include <stdint.h>

#if defined(__GNUC__) && defined(__linux__)
#define PUBLIC __attribute__((visibility("default")))
#else
#define PUBLIC
#endif

/* One orientation of a relation. ptr == 0: row i holds slot i alone. perm == 0: slots are in own order.
   starts [chunks + 1]: shares of about equal work. */
typedef struct {
    const int32_t *ptr, *idx, *perm, *starts;
    int64_t n_in, n_out, e, chunks;
} Plan;

/* One call. All arrays are dense: nodes [groups, n, heads * k], edges [groups, e, heads].
   k and f are channels per head: of queries and keys, and of values, where the two differ. */
typedef struct {
    Plan plan;
    int64_t groups, heads, k, f;
    int64_t w_step; /* from one group's weights to the next; 0: shared by all */
    int64_t shared; /* sddmm: sum over the groups */
    int64_t d_each; /* spmm: the diagonal has a number for each channel */
    int64_t far;    /* whether neighbours lie far apart in memory: fetch ahead */
    double scale;   /* attention: of the scores; extreme: +1 largest, -1 smallest */
    const void *w, *a, *x, *v; /* weights; values at rows (queries); values at columns (keys); attention's values */
    const void *p;        /* attend_back: probabilities */
    const void *d;        /* spmm: a diagonal to add, or 0 */
    void *y, *s;          /* values at rows; values at edges */
    int64_t *slot;        /* extreme: winning slots, or 0 */
} Job;

#define MOST 16 /* terms of one sum */

/* y = u + sum of factor * x, all [n] */
typedef struct {
    int64_t n, count;
    const void *u;
    void *y;
    const void *x[MOST];
    double factor[MOST];
} Blend;

/* e against what the tolerances allow at a and b, all [n]; or, where there are terms,
   e = sum of error * x and b = a + sum of factor * x */
typedef struct {
    int64_t n, count;
    const void *a, *b, *e;
    const void *x[MOST];
    double factor[MOST], error[MOST];
    double rtol, atol;
} Deviation;

/* rows [begin, end) of the visiting order, for one group */
typedef void (*Rows)(const Job *job, int64_t group, int64_t begin, int64_t end);

enum { SPMM, SDDMM, EXTREME, SOFTMAX, LOGSUMEXP, ATTEND, ATTEND_BACK, SPMM_SDDMM, OPERATIONS };

typedef struct {
    const char *name;
    Rows single[OPERATIONS], twice[OPERATIONS]; /* float32, float64 */
    void (*blend[2])(const Blend *job, int64_t begin, int64_t end);
    double (*deviation[2])(const Deviation *job, int64_t begin, int64_t end);
} Table;

#endif
