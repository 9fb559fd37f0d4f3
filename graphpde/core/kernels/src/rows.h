/* The kernels, written once and included for every instruction set and number type.

   Expects: REAL and its signed integer INT, LANES (of one vector register), TARGET (a function attribute), TERMS, NAME(x)
   (a suffix), DOUBLE (0 or 1).

   Each row is reduced by one worker in slot order, so results do not depend on the number of threads. Rows longer than
   CHAIN are summed TERMS at a time, each chain beginning with the rounding error of the sum so far (Kahan's compensated
   sum), so that long rows stay accurate; long sums of exponentials are compensated in double (Knuth's two-sum). */

#define V NAME(vec)
#define VI NAME(ivec)
#define FN static inline __attribute__((always_inline)) TARGET
#define LOOP static TARGET

typedef REAL V __attribute__((vector_size(LANES * sizeof(REAL)), aligned(sizeof(REAL)), may_alias));
typedef INT VI __attribute__((vector_size(LANES * sizeof(REAL)), aligned(sizeof(REAL)), may_alias));

enum { NAME(unit) = 0, NAME(own) = 1, NAME(permuted) = 2, NAME(lanewise) = 4 }; /* where a slot's weight lies */

FN V NAME(load)(const REAL *p) { return *(const V *)p; }
FN void NAME(store)(REAL *p, V x) { *(V *)p = x; }

FN V NAME(larger)(V x, V y) { /* a NaN wins */
    const VI wins = (y > x) | (y != y);
    return (V)(((VI)y & wins) | ((VI)x & ~wins));
}

#if LANES == 16
typedef REAL NAME(eight) __attribute__((vector_size(8 * sizeof(REAL))));
#endif
#if LANES >= 4
typedef REAL NAME(four) __attribute__((vector_size(4 * sizeof(REAL)), aligned(sizeof(REAL)), may_alias));
#define FOUR NAME(four)
#define SHUFFLE __builtin_shufflevector

#if LANES == 16
#define SWAP_FOURS(x) SHUFFLE(x, x, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11)
#define SWAP_PAIRS(x) SHUFFLE(x, x, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13)
#define SWAP_ONES(x) SHUFFLE(x, x, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14)
#elif LANES == 8
#define SWAP_FOURS(x) SHUFFLE(x, x, 4, 5, 6, 7, 0, 1, 2, 3)
#define SWAP_PAIRS(x) SHUFFLE(x, x, 2, 3, 0, 1, 6, 7, 4, 5)
#define SWAP_ONES(x) SHUFFLE(x, x, 1, 0, 3, 2, 5, 4, 7, 6)
#else
#define SWAP_PAIRS(x) SHUFFLE(x, x, 2, 3, 0, 1)
#define SWAP_ONES(x) SHUFFLE(x, x, 1, 0, 3, 2)
#endif

/* a register's lanes added down to four */
FN FOUR NAME(fold)(V x) {
#if LANES == 16
    const NAME(eight) y = SHUFFLE(x, x, 0, 1, 2, 3, 4, 5, 6, 7) + SHUFFLE(x, x, 8, 9, 10, 11, 12, 13, 14, 15);
    return SHUFFLE(y, y, 0, 1, 2, 3) + SHUFFLE(y, y, 4, 5, 6, 7);
#elif LANES == 8
    return SHUFFLE(x, x, 0, 1, 2, 3) + SHUFFLE(x, x, 4, 5, 6, 7);
#else
    return x;
#endif
}

/* the sum of a register's lanes, in a fixed order */
FN REAL NAME(total_of_four)(FOUR x) {
    x += SHUFFLE(x, x, 2, 3, 0, 1);
    return x[0] + x[1];
}
FN REAL NAME(total)(V x) { return NAME(total_of_four)(NAME(fold)(x)); }

/* the largest of a register's lanes */
FN REAL NAME(largest)(V x) {
#if LANES == 16
    x = NAME(larger)(x, SHUFFLE(x, x, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
#endif
#if LANES >= 8
    x = NAME(larger)(x, SWAP_FOURS(x));
#endif
    x = NAME(larger)(x, SWAP_PAIRS(x));
    return NAME(larger)(x, SWAP_ONES(x))[0];
}
#else
FN REAL NAME(total)(V x) { return x[0] + x[1]; }
FN REAL NAME(largest)(V x) { return NAME(larger)(x, __builtin_shufflevector(x, x, 1, 0))[0]; }
#endif

/* s + t == a + b exactly, t the rounding error */
#define TWO_SUM(T, sum, rest, b)                 \
    do {                                         \
        T s_ = (sum) + (b), b_ = s_ - (sum);     \
        (rest) += ((sum) - (s_ - b_)) + ((b)-b_); \
        (sum) = s_;                              \
    } while (0)

/* add acc to sum and leave in acc what rounding lost; where the sum is infinite that is not a number */
#define CARRY(T, sum, acc)          \
    do {                            \
        const T s_ = (sum) + (acc); \
        (acc) -= s_ - (sum);        \
        (sum) = s_;                 \
    } while (0)

FN int64_t NAME(first)(const Plan *p, int64_t row) { return p->ptr ? p->ptr[row] : row; }
FN int64_t NAME(last)(const Plan *p, int64_t row) { return p->ptr ? p->ptr[row + 1] : row + 1; }

/* those of n channels of one row that are not a number, with nothing carried: they may be infinite */
static __attribute__((noinline, cold)) TARGET void NAME(plainly)(REAL *y, const Job *job, const REAL *w, const REAL *x,
                                                                 int64_t s, int64_t stop, int64_t n, int mode) {
    const int64_t c = job->heads * job->k;
    for (int64_t i = 0; i < n; i++) {
        REAL sum = 0;
        if (y[i] == y[i]) continue;
        for (int64_t t = s; t < stop; t++) {
            const int64_t edge = (mode & NAME(permuted)) ? job->plan.perm[t] : t;
            const REAL value = x[job->plan.idx[t] * c + i];
            sum += mode == NAME(unit) ? value : w[edge * job->heads + ((mode & NAME(lanewise)) ? i : 0)] * value;
        }
        y[i] = sum;
    }
}

#define VEC V
#define WIDTH LANES
#define WIDE(x) NAME(x)
#include "block.h"
#undef VEC
#undef WIDTH
#undef WIDE

#if LANES > 4
#define VEC FOUR
#define WIDTH 4
#define WIDE(x) NAME(JOIN(x, _of_four))
#include "block.h"
#undef VEC
#undef WIDTH
#undef WIDE
#endif

FN void NAME(add_few)(REAL *acc, const Job *job, const REAL *w, const REAL *x, int64_t s, int64_t stop, const int n,
                      const int mode) {
    const int64_t c = job->heads * job->k, h = job->heads;
    const int32_t *idx = job->plan.idx, *perm = job->plan.perm;
    for (; s < stop; s++) {
        const REAL *from = x + idx[s] * c;
        const int64_t edge = (mode & NAME(permuted)) ? perm[s] : s;
#pragma GCC unroll 4
        for (int i = 0; i < n; i++) {
            if (mode == NAME(unit)) acc[i] += from[i];
            else acc[i] += w[edge * h + ((mode & NAME(lanewise)) ? i : 0)] * from[i];
        }
    }
}

/* the same for n <= 3 channels left over, n a constant where inlined */
FN void NAME(few)(REAL *y, const Job *job, const REAL *w, const REAL *x, int64_t s, int64_t stop, const int n,
                  const int mode) {
    REAL acc[4] = {0, 0, 0, 0}, unsure = 0;
    if (__builtin_expect(stop - s <= CHAIN, 1)) {
        NAME(add_few)(acc, job, w, x, s, stop, n, mode);
    } else {
        REAL sum[4] = {0, 0, 0, 0};
        for (int64_t t = s; t < stop; t += TERMS) {
            NAME(add_few)(acc, job, w, x, t, t + TERMS < stop ? t + TERMS : stop, n, mode);
            for (int i = 0; i < n; i++) CARRY(REAL, sum[i], acc[i]);
        }
        for (int i = 0; i < n; i++) unsure += acc[i], acc[i] += sum[i];
    }
#pragma GCC unroll 4
    for (int i = 0; i < n; i++) y[i] = acc[i];
    if (__builtin_expect(unsure != unsure, 0)) NAME(plainly)(y, job, w, x, s, stop, n, mode);
}

/* n channels of one row, in blocks of as many registers as there are */
FN void NAME(channels)(REAL *y, const Job *job, const REAL *w, const REAL *x, int64_t s, int64_t stop, int64_t n,
                       const int mode) {
    const int step = (mode & NAME(lanewise)) ? 1 : 0;
    int64_t i = 0;
    for (; i + 8 * LANES <= n; i += 8 * LANES) NAME(block)(y + i, job, w + step * i, x + i, s, stop, 8, mode);
    if (i + 4 * LANES <= n) { NAME(block)(y + i, job, w + step * i, x + i, s, stop, 4, mode); i += 4 * LANES; }
    if (i + 2 * LANES <= n) { NAME(block)(y + i, job, w + step * i, x + i, s, stop, 2, mode); i += 2 * LANES; }
    if (i + LANES <= n) { NAME(block)(y + i, job, w + step * i, x + i, s, stop, 1, mode); i += LANES; }
#if LANES > 8
    if (i + 8 <= n) { NAME(block_of_four)(y + i, job, w + step * i, x + i, s, stop, 2, mode); i += 8; }
#endif
#if LANES > 4
    if (i + 4 <= n) { NAME(block_of_four)(y + i, job, w + step * i, x + i, s, stop, 1, mode); i += 4; }
#endif
    switch (n - i) {
    case 3: NAME(few)(y + i, job, w + step * i, x + i, s, stop, 3, mode); break;
    case 2: NAME(few)(y + i, job, w + step * i, x + i, s, stop, 2, mode); break;
    case 1: NAME(few)(y + i, job, w + step * i, x + i, s, stop, 1, mode); break;
    default: break;
    }
}

/* one row of the weighted sum: heads of k channels, each head with its own weights */
FN void NAME(sum_row)(REAL *y, const Job *job, const REAL *w, const REAL *x, int64_t s, int64_t stop, const int mode) {
    const int64_t h = job->heads, k = job->k;
    if (mode == NAME(unit)) NAME(channels)(y, job, w, x, s, stop, h * k, mode);
    else if (k == 1 && h > 1) NAME(channels)(y, job, w, x, s, stop, h, mode | NAME(lanewise));
    else
        for (int64_t t = 0; t < h; t++) NAME(channels)(y + t * k, job, w + t, x + t * k, s, stop, k, mode);
}

#define EACH_ROW                                              \
    const Plan *plan = &job->plan;                            \
    for (int64_t row = begin; row < end; row++) {             \
        const int64_t s = NAME(first)(plan, row), stop = NAME(last)(plan, row);

FN void NAME(add_diagonal)(REAL *y, const Job *job, const REAL *x, int64_t row, int64_t c) {
    const REAL *d = (const REAL *)job->d + row * (job->d_each ? c : 1);
    if (job->d_each)
        for (int64_t j = 0; j < c; j++) y[j] += d[j] * x[j];
    else
        for (int64_t j = 0; j < c; j++) y[j] += *d * x[j];
}

/* rows of the weighted sum; `nv` registers wide where that is known beforehand, else 0 */
FN void NAME(sum_rows_as)(REAL *y, const Job *job, const REAL *w, const REAL *x, int64_t begin, int64_t end,
                          const int nv, const int mode) {
    const int64_t c = job->heads * job->k;
    EACH_ROW
        if (nv > 0) NAME(block)(y + row * c, job, w, x, s, stop, nv, mode);
#if LANES > 4
        else if (nv == -4) NAME(block_of_four)(y + row * c, job, w, x, s, stop, 1, mode);
#endif
        else if (nv < 0) NAME(few)(y + row * c, job, w, x, s, stop, -nv, mode);
        else NAME(sum_row)(y + row * c, job, w, x, s, stop, mode);
        if (job->d) NAME(add_diagonal)(y + row * c, job, x + row * c, row, c);
    }
}

/* the same for n <= 3 channels of one head: all that a short row needs stays in registers */
FN void NAME(sum_narrow)(REAL *y, const Job *job, const REAL *w, const REAL *x, int64_t begin, int64_t end, const int n,
                         const int mode, const int diagonal) {
    const int32_t *ptr = job->plan.ptr, *idx = job->plan.idx, *perm = job->plan.perm;
    const REAL *d = (const REAL *)job->d;
    int32_t s = ptr[begin];
    for (int64_t row = begin; row < end; row++) {
        const int32_t stop = ptr[row + 1];
        REAL *to = y + row * n;
        if (__builtin_expect(stop - s > CHAIN, 0)) {
            NAME(few)(to, job, w, x, s, stop, n, mode);
            if (diagonal) NAME(add_diagonal)(to, job, x + row * n, row, n);
            s = stop;
            continue;
        }
        REAL acc[4];
#pragma GCC unroll 4
        for (int i = 0; i < n; i++) acc[i] = diagonal ? d[diagonal == 2 ? row * n + i : row] * x[row * n + i] : 0;
        for (; s < stop; s++) {
            const REAL *from = x + (int64_t)idx[s] * n;
            const REAL factor = mode == NAME(unit) ? 1 : w[(mode & NAME(permuted)) ? perm[s] : s];
#pragma GCC unroll 4
            for (int i = 0; i < n; i++) acc[i] += mode == NAME(unit) ? from[i] : factor * from[i];
        }
#pragma GCC unroll 4
        for (int i = 0; i < n; i++) to[i] = acc[i];
    }
}

/* each in a function of its own: inlined into one large function they would run out of registers */
#define NARROW(n, diagonal)                                                                                         \
    LOOP __attribute__((noinline)) void NAME(JOIN(sum_##n##_, diagonal))(REAL *y, const Job *job, const REAL *w,    \
                                                            const REAL *x, int64_t begin, int64_t end) {            \
        if (!job->w) NAME(sum_narrow)(y, job, w, x, begin, end, n, NAME(unit), diagonal);                           \
        else if (job->plan.perm) NAME(sum_narrow)(y, job, w, x, begin, end, n, NAME(permuted), diagonal);           \
        else NAME(sum_narrow)(y, job, w, x, begin, end, n, NAME(own), diagonal);                                    \
    }
#define NARROW_ROWS(n)                                                                                              \
    NARROW(n, 0)                                                                                                    \
    NARROW(n, 1)                                                                                                    \
    NARROW(n, 2)                                                                                                    \
    FN void NAME(sum_##n)(REAL *y, const Job *job, const REAL *w, const REAL *x, int64_t begin, int64_t end) {      \
        if (!job->d) NAME(sum_##n##_0)(y, job, w, x, begin, end);                                                   \
        else if (!job->d_each) NAME(sum_##n##_1)(y, job, w, x, begin, end);                                         \
        else NAME(sum_##n##_2)(y, job, w, x, begin, end);                                                           \
    }
NARROW_ROWS(1)
NARROW_ROWS(2)
NARROW_ROWS(3)
#undef NARROW
#undef NARROW_ROWS

FN void NAME(sum_rows_in)(REAL *y, const Job *job, const REAL *w, const REAL *x, int64_t begin, int64_t end,
                          const int mode) {
    switch (job->heads == 1 ? job->k : 0) {
    case 1: NAME(sum_rows_as)(y, job, w, x, begin, end, -1, mode); break;
#if LANES > 2
    case 2: NAME(sum_rows_as)(y, job, w, x, begin, end, -2, mode); break;
#endif
    case 3: NAME(sum_rows_as)(y, job, w, x, begin, end, -3, mode); break;
#if LANES > 4
    case 4: NAME(sum_rows_as)(y, job, w, x, begin, end, -4, mode); break;
#endif
    case LANES: NAME(sum_rows_as)(y, job, w, x, begin, end, 1, mode); break;
    case 2 * LANES: NAME(sum_rows_as)(y, job, w, x, begin, end, 2, mode); break;
    case 4 * LANES: NAME(sum_rows_as)(y, job, w, x, begin, end, 4, mode); break;
    case 8 * LANES: NAME(sum_rows_as)(y, job, w, x, begin, end, 8, mode); break;
    default: NAME(sum_rows_as)(y, job, w, x, begin, end, 0, mode);
    }
}

/* the same with weights; one copy for the three kernels that end in it */
LOOP __attribute__((noinline)) void NAME(sum_rows)(REAL *y, const Job *job, const REAL *w, const REAL *x, int64_t begin,
                                                   int64_t end) {
    if (job->plan.perm) NAME(sum_rows_in)(y, job, w, x, begin, end, NAME(permuted));
    else NAME(sum_rows_in)(y, job, w, x, begin, end, NAME(own));
}

LOOP void NAME(spmm)(const Job *job, int64_t group, int64_t begin, int64_t end) {
    const int64_t c = job->heads * job->k;
    const REAL *w = (const REAL *)job->w + group * job->w_step, *x = (const REAL *)job->x + group * job->plan.n_in * c;
    REAL *y = (REAL *)job->y + group * job->plan.n_out * c;
    if (job->heads == 1 && job->plan.ptr && !job->far) {
        switch (job->k) {
        case 1: NAME(sum_1)(y, job, w, x, begin, end); return;
        case 2: NAME(sum_2)(y, job, w, x, begin, end); return;
        case 3: NAME(sum_3)(y, job, w, x, begin, end); return;
        default: break;
        }
    }
    if (!job->w) NAME(sum_rows_in)(y, job, w, x, begin, end, NAME(unit));
    else NAME(sum_rows)(y, job, w, x, begin, end);
}

#if LANES >= 4
/* products of n channels, added up to four partial sums; what n leaves over of four goes to `rest` */
FN FOUR NAME(partial)(const REAL *a, const REAL *b, const int64_t n, REAL *rest) {
    V sum = {0};
    int64_t i = 0;
    if (n >= 4 * LANES) {
        V s1 = {0}, s2 = {0}, s3 = {0};
        for (; i + 4 * LANES <= n; i += 4 * LANES) {
            sum += NAME(load)(a + i) * NAME(load)(b + i);
            s1 += NAME(load)(a + i + LANES) * NAME(load)(b + i + LANES);
            s2 += NAME(load)(a + i + 2 * LANES) * NAME(load)(b + i + 2 * LANES);
            s3 += NAME(load)(a + i + 3 * LANES) * NAME(load)(b + i + 3 * LANES);
        }
        sum = (sum + s1) + (s2 + s3);
    }
    for (; i + LANES <= n; i += LANES) sum += NAME(load)(a + i) * NAME(load)(b + i);
    FOUR four = NAME(fold)(sum);
    for (; i + 4 <= n; i += 4) four += *(const FOUR *)(a + i) * *(const FOUR *)(b + i);
    *rest = 0;
    for (; i < n; i++) *rest += a[i] * b[i];
    return four;
}

/* dot products of one head with four columns at a time: their partial sums are added in one transposition */
FN void NAME(dots)(REAL *out, const Plan *plan, const REAL *a, const REAL *x, int64_t s, int64_t stop, int64_t o,
                   int64_t h, const int64_t n, REAL scale) {
    const int64_t step = h * n;
    for (int64_t t = s; t < stop; t += 4) {
        const int64_t left = stop - t < 4 ? stop - t : 4;
        FOUR part[4];
        REAL rest[4];
#pragma GCC unroll 4
        for (int64_t j = 0; j < 4; j++)
            part[j] = NAME(partial)(a, x + plan->idx[t + (j < left ? j : 0)] * step, n, rest + j);
        const FOUR low = SHUFFLE(part[0], part[1], 0, 4, 1, 5) + SHUFFLE(part[0], part[1], 2, 6, 3, 7);
        const FOUR high = SHUFFLE(part[2], part[3], 0, 4, 1, 5) + SHUFFLE(part[2], part[3], 2, 6, 3, 7);
        FOUR dot = SHUFFLE(low, high, 0, 1, 4, 5) + SHUFFLE(low, high, 2, 3, 6, 7);
        if (n % 4) dot += *(const FOUR *)rest;
        dot *= scale;
        REAL *to = out + (t - s) * o;
        if (left == 4 && o == 1) *(FOUR *)to = dot;
        else
            for (int64_t j = 0; j < left; j++) to[j * o] = dot[j];
    }
}
#else
FN void NAME(dots)(REAL *out, const Plan *plan, const REAL *a, const REAL *x, int64_t s, int64_t stop, int64_t o,
                   int64_t h, const int64_t n, REAL scale) {
    for (int64_t t = s; t < stop; t++) {
        const REAL *b = x + plan->idx[t] * h * n;
        V sum = {0};
        int64_t i = 0;
        for (; i + LANES <= n; i += LANES) sum += NAME(load)(a + i) * NAME(load)(b + i);
        REAL dot = NAME(total)(sum);
        for (; i < n; i++) dot += a[i] * b[i];
        out[(t - s) * o] = scale * dot;
    }
}
#endif

/* one head, with the usual numbers of channels known to the compiler; out every o, columns every h n */
FN void NAME(dots_by)(REAL *out, const Plan *plan, const REAL *a, const REAL *x, int64_t s, int64_t stop, int64_t o,
                      int64_t h, int64_t n, REAL scale) {
    switch (n) {
    case 4: NAME(dots)(out, plan, a, x, s, stop, o, h, 4, scale); break;
    case 8: NAME(dots)(out, plan, a, x, s, stop, o, h, 8, scale); break;
    case 16: NAME(dots)(out, plan, a, x, s, stop, o, h, 16, scale); break;
    case 32: NAME(dots)(out, plan, a, x, s, stop, o, h, 32, scale); break;
    case 64: NAME(dots)(out, plan, a, x, s, stop, o, h, 64, scale); break;
    default: NAME(dots)(out, plan, a, x, s, stop, o, h, n, scale);
    }
}

/* dot products of one row's values with those of its columns, for `count` of h heads, n channels each;
   out [slots of the row, count] */
FN void NAME(dots_row)(REAL *out, const Plan *plan, const REAL *a, const REAL *x, int64_t s, int64_t stop,
                       int64_t count, int64_t h, int64_t n, REAL scale) {
    if (n == 1) {
        for (int64_t t = s; t < stop; t++) {
            const REAL *from = x + plan->idx[t] * h;
            for (int64_t head = 0; head < count; head++) out[(t - s) * count + head] = scale * a[head] * from[head];
        }
        return;
    }
    for (int64_t head = 0; head < count; head++, a += n, x += n, out++)
        NAME(dots_by)(out, plan, a, x, s, stop, count, h, n, scale);
}

/* the same for a few slots, added over the groups with the rounding error carried; out [slots, h] */
static __attribute__((noinline)) TARGET void NAME(dots_added)(REAL *out, const Job *job, const REAL *a, const REAL *x,
                                                              int64_t s, int64_t stop, int64_t count) {
    const Plan *plan = &job->plan;
    const int64_t h = job->heads, k = job->k, n = (stop - s) * count;
    REAL sum[SCORES], left[SCORES], term[SCORES];
    for (int64_t j = 0; j < n; j++) sum[j] = left[j] = 0;
    for (int64_t g = 0; g < job->groups; g++) {
        NAME(dots_row)(term, plan, a + g * plan->n_out * h * k, x + g * plan->n_in * h * k, s, stop, count, h, k, 1);
        for (int64_t j = 0; j < n; j++) {
            const REAL more = term[j] + left[j], next = sum[j] + more, lost = more - (next - sum[j]);
            left[j] = lost == lost ? lost : 0; /* not a number where the sum is infinite */
            sum[j] = next;
        }
    }
    for (int64_t t = 0; t < stop - s; t++)
        for (int64_t head = 0; head < count; head++)
            out[t * h + head] = sum[t * count + head] + left[t * count + head];
}

/* s [e, h], the slots in their order; with `shared` one sum over all groups */
LOOP void NAME(sddmm)(const Job *job, int64_t group, int64_t begin, int64_t end) {
    const int64_t h = job->heads, k = job->k, c = h * k;
    const REAL *a = (const REAL *)job->a + group * job->plan.n_out * c;
    const REAL *x = (const REAL *)job->x + group * job->plan.n_in * c;
    REAL *out = (REAL *)job->s + group * job->plan.e * h;
    EACH_ROW
        if (!job->shared || job->groups == 1) {
            NAME(dots_row)(out + s * h, plan, a + row * c, x, s, stop, h, h, k, 1);
            continue;
        }
        for (int64_t head = 0; head < h; head += SCORES) {
            const int64_t count = h - head < SCORES ? h - head : SCORES, step = SCORES / count;
            for (int64_t t = s; t < stop; t += step)
                NAME(dots_added)(out + t * h + head, job, a + row * c + head * k, x + head * k, t,
                                 t + step < stop ? t + step : stop, count);
        }
    }
}

/* a weighted sum and, while its columns are at hand, their products with the row's values `a`; one head, one group;
   s [e] in own order */
FN void NAME(sums_and_dots)(const Job *job, int64_t begin, int64_t end, const int mode) {
    const int64_t c = job->k;
    const REAL *w = job->w, *x = job->x, *a = job->a;
    REAL *y = job->y, *out = job->s;
    const int32_t *perm = job->plan.perm;
    EACH_ROW
        NAME(channels)(y + row * c, job, w, x, s, stop, c, mode);
        if (job->d) NAME(add_diagonal)(y + row * c, job, x + row * c, row, c);
        if (!perm) {
            NAME(dots_row)(out + s, plan, a + row * c, x, s, stop, 1, 1, c, 1);
            continue;
        }
        REAL found[BLOCK];
        for (int64_t t = s; t < stop; t += BLOCK) {
            const int64_t until = t + BLOCK < stop ? t + BLOCK : stop;
            NAME(dots_row)(found, plan, a + row * c, x, t, until, 1, 1, c, 1);
            for (int64_t u = t; u < until; u++) out[perm[u]] = found[u - t];
        }
    }
}

LOOP void NAME(spmm_sddmm)(const Job *job, int64_t group, int64_t begin, int64_t end) {
    (void)group;
    if (job->plan.perm) NAME(sums_and_dots)(job, begin, end, NAME(permuted));
    else NAME(sums_and_dots)(job, begin, end, NAME(own));
}

/* a NaN wins, and the first of equal values */
LOOP void NAME(extreme)(const Job *job, int64_t group, int64_t begin, int64_t end) {
    const int64_t c = job->heads * job->k;
    const REAL *x = (const REAL *)job->x + group * job->plan.n_in * c, sign = (REAL)job->scale;
    REAL *y = (REAL *)job->y + group * job->plan.n_out * c;
    int64_t *slots = job->slot ? job->slot + group * job->plan.n_out * c : 0;
    EACH_ROW
        REAL *to = y + row * c;
        int64_t *at = slots ? slots + row * c : 0;
        if (s == stop) {
            for (int64_t j = 0; j < c; j++) to[j] = 0;
            if (at)
                for (int64_t j = 0; j < c; j++) at[j] = -1;
            continue;
        }
        int64_t j = 0;
        for (; j + LANES <= c; j += LANES) {
            V best = NAME(load)(x + plan->idx[s] * c + j);
            VI won = (VI){0} + (INT)s;
            for (int64_t t = s + 1; t < stop; t++) {
                const V value = NAME(load)(x + plan->idx[t] * c + j);
                const VI wins = (sign * value > sign * best) | ((value != value) & (best == best));
                best = (V)(((VI)value & wins) | ((VI)best & ~wins));
                if (at) won = (((VI){0} + (INT)t) & wins) | (won & ~wins);
            }
            NAME(store)(to + j, best);
            if (at)
                for (int l = 0; l < LANES; l++) at[j + l] = won[l];
        }
        for (; j < c; j++) {
            REAL best = x[plan->idx[s] * c + j];
            int64_t won = s;
            for (int64_t t = s + 1; t < stop; t++) {
                const REAL value = x[plan->idx[t] * c + j];
                if (sign * value > sign * best || (value != value && best == best)) best = value, won = t;
            }
            to[j] = best;
            if (at) at[j] = won;
        }
    }
}

/* exp of values <= 0: 2^n times the Taylor polynomial on |r| <= ln(2)/2, whose error is below the rounding */
FN V NAME(exp)(V x) {
#if DOUBLE
    const REAL magic = 0x1.8p52, log2e = 1.4426950408889634, high = 0x1.62e42fee00000p-1, low = 0x1.a39ef35793c76p-33;
    const REAL least = -708.0;
    const INT bias = 1023, shift = 52;
#else
    const REAL magic = 0x1.8p23f, log2e = 1.44269504f, high = 0x1.62e4p-1f, low = 0x1.7f7d1cp-20f;
    const REAL least = -87.0f;
    const INT bias = 127, shift = 23;
#endif
    const V n_plus = x * log2e + magic, n = n_plus - magic;
    const V r = (x - n * high) - n * low;
    V p = {0};
#if DOUBLE
    p += (REAL)(1.0 / 6227020800.0);
    p = p * r + (REAL)(1.0 / 479001600.0);
    p = p * r + (REAL)(1.0 / 39916800.0);
    p = p * r + (REAL)(1.0 / 3628800.0);
    p = p * r + (REAL)(1.0 / 362880.0);
    p = p * r + (REAL)(1.0 / 40320.0);
#endif
    p = p * r + (REAL)(1.0 / 5040.0);
    p = p * r + (REAL)(1.0 / 720.0);
    p = p * r + (REAL)(1.0 / 120.0);
    p = p * r + (REAL)(1.0 / 24.0);
    p = p * r + (REAL)(1.0 / 6.0);
    p = p * r + (REAL)0.5;
    p = p * r + (REAL)1.0;
    p = p * r + (REAL)1.0;
    const V magics = (V){0} + magic;
    const VI power = ((VI)n_plus - (VI)magics + bias) << shift;
    const V y = p * (V)power;
    const VI vanishes = x < least;
    return (V)((VI)y & ~vanishes);
}

/* the first n values of a register, `fill` in the rest */
FN V NAME(first_of)(V x, int64_t n, REAL fill) {
    VI lane;
    for (int i = 0; i < LANES; i++) lane[i] = i;
    const VI counts = lane < (INT)(n < LANES ? n : LANES);
    const V rest = (V){0} + fill;
    return (V)(((VI)x & counts) | ((VI)rest & ~counts));
}

/* exponentials of one head of a long row, block by block; their sum and largest; `apply` keeps them in p */
FN double NAME(long_exponentials)(REAL *p, const REAL *x, int64_t slots, int64_t h, REAL *top, const int apply) {
    REAL part[BLOCK], high = x[0];
    double sum = 0, rest = 0;
    for (int64_t t = 1; t < slots; t++) high = x[t * h] > high || x[t * h] != x[t * h] ? x[t * h] : high;
    for (int64_t t = 0; t < slots; t += BLOCK) {
        const int64_t n = slots - t < BLOCK ? slots - t : BLOCK;
        double block = 0;
        for (int64_t j = 0; j < n; j++) part[j] = x[(t + j) * h] - high;
        for (int64_t j = n; j % LANES; j++) part[j] = 0;
        for (int64_t j = 0; j < n; j += LANES) NAME(store)(part + j, NAME(exp)(NAME(load)(part + j)));
        for (int64_t j = 0; j < n; j++) block += part[j];
        if (apply)
            for (int64_t j = 0; j < n; j++) p[(t + j) * h] = part[j];
        TWO_SUM(double, sum, rest, block);
    }
    *top = high;
    return sum + rest;
}

/* scores x of one head of a long row to probabilities; x may be p */
FN void NAME(softmax_long)(REAL *p, const REAL *x, int64_t slots, int64_t h) {
    REAL top;
    const REAL share = (REAL)(1 / NAME(long_exponentials)(p, x, slots, h, &top, 1));
    for (int64_t t = 0; t < slots; t++) p[t * h] *= share;
}

/* Rows are taken in batches whose scores fit into a small array, and step by step: rows are independent of each other,
   so that one row's chain of operations does not wait for another's. */

/* end of the batch that starts at row `begin`; a long row is alone */
FN int64_t NAME(batch)(const Plan *plan, int64_t begin, int64_t end, int64_t h) {
    int64_t row = begin;
    for (; row < end && row - begin < ROWS; row++) {
        const int64_t s = plan->ptr[row], stop = plan->ptr[row + 1];
        if (stop - s > BLOCK || (stop - plan->ptr[begin]) * h > SCORES) break;
    }
    return row > begin ? row : begin + 1;
}

/* whether whole registers of a row of n values may be read or written: one head, and not beyond this worker's slots */
FN int NAME(whole)(int64_t s, int64_t n, int64_t h, int64_t end) {
    return h == 1 && s + (n + LANES - 1) / LANES * LANES <= end;
}

/* z <- x - max x, row by row and head by head; the largest go to tops [rows, h] where it is given */
FN void NAME(shift)(REAL *z, const REAL *x, const Plan *plan, int64_t begin, int64_t last, int64_t end, int64_t h,
                    REAL *tops) {
    const int64_t from = plan->ptr[begin];
    for (int64_t row = begin; row < last; row++) {
        const int64_t s = plan->ptr[row], n = plan->ptr[row + 1] - s;
        if (n == 0) continue;
        if (NAME(whole)(s, n, h, plan->ptr[end])) {
            V high = NAME(first_of)(NAME(load)(x + s), n, -(REAL)INFINITY);
            for (int64_t i = LANES; i < n; i += LANES)
                high = NAME(larger)(high, NAME(first_of)(NAME(load)(x + s + i), n - i, -(REAL)INFINITY));
            const REAL top = NAME(largest)(high);
            for (int64_t i = 0; i < n; i += LANES) NAME(store)(z + s - from + i, NAME(load)(x + s + i) - top);
            if (tops) tops[row] = top;
            continue;
        }
        for (int64_t head = 0; head < h; head++) {
            const REAL *mine = x + s * h + head;
            REAL top = mine[0];
            for (int64_t t = 1; t < n; t++) top = mine[t * h] > top || mine[t * h] != mine[t * h] ? mine[t * h] : top;
            for (int64_t t = 0; t < n; t++) z[(s - from + t) * h + head] = mine[t * h] - top;
            if (tops) tops[row * h + head] = top;
        }
    }
}

FN void NAME(exp_all)(REAL *z, int64_t n) {
    for (int64_t i = 0; i < n; i += LANES) NAME(store)(z + i, NAME(exp)(NAME(load)(z + i)));
}

/* the sum of a short row of one head */
FN REAL NAME(short_sum)(const REAL *z, int64_t n, int64_t h) {
    REAL total = 0;
    if (h == 1) {
        V sum = NAME(first_of)(NAME(load)(z), n, 0);
        for (int64_t i = LANES; i < n; i += LANES) sum += NAME(first_of)(NAME(load)(z + i), n - i, 0);
        return NAME(total)(sum);
    }
    for (int64_t t = 0; t < n; t++) total += z[t * h];
    return total;
}

/* p <- z over its sum in the row; the rows from `end` on are another worker's */
FN void NAME(shares)(REAL *p, const REAL *z, const Plan *plan, int64_t begin, int64_t last, int64_t end, int64_t h) {
    const int64_t from = plan->ptr[begin];
    for (int64_t row = begin; row < last; row++) {
        const int64_t s = plan->ptr[row], n = plan->ptr[row + 1] - s;
        for (int64_t head = 0; n && head < h; head++) {
            const REAL *mine = z + (s - from) * h + head;
            const REAL share = 1 / NAME(short_sum)(mine, n, h);
            if (NAME(whole)(s, n, h, plan->ptr[end]))
                for (int64_t i = 0; i < n; i += LANES) NAME(store)(p + s + i, share * NAME(load)(mine + i));
            else
                for (int64_t t = 0; t < n; t++) p[(s + t) * h + head] = share * mine[t * h];
        }
    }
}

/* scores x to probabilities p for one batch; x may be p, for what a row writes beyond its end the next writes again */
FN void NAME(softmax_batch)(REAL *p, const REAL *x, const Plan *plan, int64_t begin, int64_t last, int64_t end,
                            int64_t h) {
    const int64_t s = plan->ptr[begin], n = plan->ptr[last] - s;
    if (last == begin + 1 && (n > BLOCK || n * h > SCORES)) {
        for (int64_t head = 0; head < h; head++) NAME(softmax_long)(p + s * h + head, x + s * h + head, n, h);
        return;
    }
    REAL z[SCORES + BLOCK];
    NAME(shift)(z, x, plan, begin, last, end, h, 0);
    NAME(exp_all)(z, n * h);
    NAME(shares)(p, z, plan, begin, last, end, h);
}

LOOP void NAME(softmax)(const Job *job, int64_t group, int64_t begin, int64_t end) {
    const Plan *plan = &job->plan;
    const REAL *x = (const REAL *)job->x + group * plan->e * job->heads;
    REAL *p = (REAL *)job->s + group * plan->e * job->heads;
    for (int64_t row = begin, last; row < end; row = last) {
        last = NAME(batch)(plan, row, end, job->heads);
        NAME(softmax_batch)(p, x, plan, row, last, end, job->heads);
    }
}

LOOP void NAME(logsumexp)(const Job *job, int64_t group, int64_t begin, int64_t end) {
    const Plan *plan = &job->plan;
    const int64_t h = job->heads;
    const REAL *x = (const REAL *)job->x + group * plan->e * h;
    REAL *y = (REAL *)job->y + group * plan->n_out * h, z[SCORES + BLOCK];
    for (int64_t first = begin, last; first < end; first = last) {
        last = NAME(batch)(plan, first, end, h);
        const int64_t from = plan->ptr[first], count = plan->ptr[last] - from;
        const int is_long = last == first + 1 && (count > BLOCK || count * h > SCORES);
        if (!is_long) {
            NAME(shift)(z, x, plan, first, last, end, h, y); /* the largest wait where the results go */
            NAME(exp_all)(z, count * h);
        }
        for (int64_t row = first; row < last; row++) {
            const int64_t s = plan->ptr[row], n = plan->ptr[row + 1] - s;
            for (int64_t head = 0; head < h; head++) {
                REAL *to = y + row * h + head;
                if (n == 0) {
                    *to = -(REAL)INFINITY;
                    continue;
                }
                const double sum = is_long ? NAME(long_exponentials)(0, x + s * h + head, n, h, to, 0)
                                           : NAME(short_sum)(z + (s - from) * h + head, n, h);
                /* where the largest is infinite, the difference to it is not a number but the answer is */
                if (*to - *to == 0) *to += (REAL)log(sum);
            }
        }
    }
}

LOOP void NAME(attend)(const Job *job, int64_t group, int64_t begin, int64_t end) {
    const Plan *plan = &job->plan;
    const int64_t h = job->heads, k = job->k, f = job->f, n_in = plan->n_in, n_out = plan->n_out;
    const REAL *q = (const REAL *)job->a + group * n_out * h * k, *key = (const REAL *)job->x + group * n_in * h * k;
    const REAL *value = (const REAL *)job->v + group * n_in * h * f, scale = (REAL)job->scale;
    REAL *p = (REAL *)job->s + group * plan->e * h, *y = (REAL *)job->y + group * n_out * h * f;
    Job sums = *job; /* with the probabilities for weights, one per slot */
    sums.k = f;
    sums.plan.perm = 0;
    for (int64_t first = begin, last; first < end; first = last) {
        last = NAME(batch)(plan, first, end, h);
        for (int64_t row = first; row < last; row++) {
            const int64_t s = plan->ptr[row], stop = plan->ptr[row + 1];
            NAME(dots_row)(p + s * h, plan, q + row * h * k, key, s, stop, h, h, k, scale);
        }
        NAME(softmax_batch)(p, p, plan, first, last, end, h);
        NAME(sum_rows)(y, &sums, p, value, first, last);
    }
}

/* d <- scale p (d - sum p d), row by row and head by head */
FN void NAME(centre)(REAL *d, const REAL *p, const Plan *plan, int64_t begin, int64_t last, int64_t end, int64_t h,
                     const REAL scale) {
    const int64_t from = plan->ptr[begin], total = (plan->ptr[last] - from) * h;
    if (total > SCORES || plan->ptr[last] - from > BLOCK * (last - begin)) { /* one long row */
        for (int64_t head = 0; head < h; head++) {
            double mean = 0, rest = 0;
            for (int64_t t = from; t < plan->ptr[last]; t++)
                TWO_SUM(double, mean, rest, (double)p[t * h + head] * d[t * h + head]);
            const REAL centre = (REAL)(mean + rest);
            for (int64_t t = from; t < plan->ptr[last]; t++)
                d[t * h + head] = scale * p[t * h + head] * (d[t * h + head] - centre);
        }
        return;
    }
    REAL z[SCORES + BLOCK];
    for (int64_t row = begin; row < last; row++) {
        const int64_t s = plan->ptr[row], n = plan->ptr[row + 1] - s;
        if (NAME(whole)(s, n, h, plan->ptr[end])) {
            V sum = {0};
            for (int64_t i = 0; i < n; i += LANES)
                sum += NAME(first_of)(NAME(load)(p + s + i) * NAME(load)(d + s + i), n - i, 0);
            const REAL mean = NAME(total)(sum);
            for (int64_t i = 0; i < n; i += LANES)
                NAME(store)(z + s - from + i, scale * NAME(load)(p + s + i) * (NAME(load)(d + s + i) - mean));
            continue;
        }
        for (int64_t head = 0; head < h; head++) {
            const REAL *mine = p + s * h + head, *theirs = d + s * h + head;
            REAL *t_p_d = z + (s - from) * h + head;
            for (int64_t t = 0; t < n; t++) t_p_d[t * h] = mine[t * h] * theirs[t * h];
            const REAL mean = n ? NAME(short_sum)(t_p_d, n, h) : 0; /* added as above, whoever does it */
            for (int64_t t = 0; t < n; t++) t_p_d[t * h] = scale * mine[t * h] * (theirs[t * h] - mean);
        }
    }
    memcpy(d + from * h, z, (size_t)total * sizeof(REAL));
}

/* with p the probabilities and g the gradient at the rows: ds = scale p (<g, v> - sum p <g, v>), dq = sum ds k */
LOOP void NAME(attend_back)(const Job *job, int64_t group, int64_t begin, int64_t end) {
    const Plan *plan = &job->plan;
    const int64_t h = job->heads, k = job->k, f = job->f, n_in = plan->n_in, n_out = plan->n_out, edges = plan->e * h;
    const REAL *g = (const REAL *)job->a + group * n_out * h * f, *key = (const REAL *)job->x + group * n_in * h * k;
    const REAL *value = (const REAL *)job->v + group * n_in * h * f, *p = (const REAL *)job->p + group * edges;
    REAL *ds = (REAL *)job->s + group * edges, *dq = (REAL *)job->y + group * n_out * h * k;
    Job sums = *job; /* with ds for weights, one per slot */
    sums.plan.perm = 0;
    for (int64_t first = begin, last; first < end; first = last) {
        last = NAME(batch)(plan, first, end, h);
        for (int64_t row = first; row < last; row++) {
            const int64_t s = plan->ptr[row], stop = plan->ptr[row + 1];
            NAME(dots_row)(ds + s * h, plan, g + row * h * f, value, s, stop, h, h, f, 1);
        }
        NAME(centre)(ds, p, plan, first, last, end, h, (REAL)job->scale);
        NAME(sum_rows)(dq, &sums, ds, key, first, last);
    }
}

#include "elements.h"

#undef V
#undef VI
#undef FN
#undef LOOP
#undef EACH_ROW
#undef FOUR
#undef SHUFFLE
#undef SWAP_FOURS
#undef SWAP_PAIRS
#undef SWAP_ONES
#undef TWO_SUM
