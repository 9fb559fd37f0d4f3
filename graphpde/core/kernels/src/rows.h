/* The kernels, written once and included for every instruction set and number type.

   Expects: REAL and its signed integer INT, LANES (of one vector register), SUM_LANES-independent code only, TARGET
   (a function attribute), NAME(x) (a suffix), DOUBLE (0 or 1).

   Each row is reduced by one worker in slot order, so results do not depend on the number of threads. Rows longer than
   BLOCK are summed block by block with a compensated outer sum (Knuth's two-sum), so that long rows stay accurate. */

#define V NAME(vec)
#define VI NAME(ivec)
#define FN static inline __attribute__((always_inline)) TARGET
#define LOOP static TARGET

typedef REAL V __attribute__((vector_size(LANES * sizeof(REAL)), aligned(sizeof(REAL)), may_alias));
typedef INT VI __attribute__((vector_size(LANES * sizeof(REAL)), aligned(sizeof(REAL)), may_alias));

enum { NAME(unit) = 0, NAME(own) = 1, NAME(permuted) = 2, NAME(lanewise) = 4 }; /* where a slot's weight lies */

FN V NAME(load)(const REAL *p) { return *(const V *)p; }
FN void NAME(store)(REAL *p, V x) { *(V *)p = x; }

FN REAL NAME(total)(V x) {
    REAL s[LANES];
    *(V *)s = x;
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) s[i] += s[i + half];
    return s[0];
}

/* s + t == a + b exactly, t the rounding error */
#define TWO_SUM(T, sum, rest, b)                 \
    do {                                         \
        T s_ = (sum) + (b), b_ = s_ - (sum);     \
        (rest) += ((sum) - (s_ - b_)) + ((b)-b_); \
        (sum) = s_;                              \
    } while (0)

FN int64_t NAME(first)(const Plan *p, int64_t row) { return p->ptr ? p->ptr[row] : row; }
FN int64_t NAME(last)(const Plan *p, int64_t row) { return p->ptr ? p->ptr[row + 1] : row + 1; }
FN int64_t NAME(row_at)(const Plan *p, int64_t i) { return p->order ? p->order[i] : i; }

#define VEC V
#define WIDTH LANES
#define WIDE(x) NAME(x)
#include "block.h"
#undef VEC
#undef WIDTH
#undef WIDE

#if LANES > 4
#define VEC NAME(quad)
#define WIDTH 4
#define WIDE(x) NAME(JOIN(x, _of_four))
typedef REAL VEC __attribute__((vector_size(4 * sizeof(REAL)), aligned(sizeof(REAL)), may_alias));
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
    REAL acc[4] = {0, 0, 0, 0};
    if (__builtin_expect(stop - s <= BLOCK, 1)) {
        NAME(add_few)(acc, job, w, x, s, stop, n, mode);
    } else {
        REAL sum[4] = {0, 0, 0, 0}, rest[4] = {0, 0, 0, 0};
        for (; s < stop; s += BLOCK) {
            for (int i = 0; i < n; i++) acc[i] = 0;
            NAME(add_few)(acc, job, w, x, s, s + BLOCK < stop ? s + BLOCK : stop, n, mode);
            for (int i = 0; i < n; i++) TWO_SUM(REAL, sum[i], rest[i], acc[i]);
        }
        for (int i = 0; i < n; i++) acc[i] = sum[i] + rest[i];
    }
#pragma GCC unroll 4
    for (int i = 0; i < n; i++) y[i] = acc[i];
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
    for (int64_t i = begin; i < end; i++) {                   \
        const int64_t row = NAME(row_at)(plan, i);            \
        const int64_t s = NAME(first)(plan, row), stop = NAME(last)(plan, row);

/* rows of the weighted sum; `nv` registers wide where that is known beforehand, else 0 */
FN void NAME(spmm_as)(const Job *job, int64_t group, int64_t begin, int64_t end, const int nv, const int mode) {
    const int64_t c = job->heads * job->k;
    const REAL *w = (const REAL *)job->w + group * job->w_step, *x = (const REAL *)job->x + group * job->plan.n_in * c;
    REAL *y = (REAL *)job->y + group * job->plan.n_out * c;
    EACH_ROW
        if (nv > 0) NAME(block)(y + row * c, job, w, x, s, stop, nv, mode);
#if LANES > 4
        else if (nv == -4) NAME(block_of_four)(y + row * c, job, w, x, s, stop, 1, mode);
#endif
        else if (nv < 0) NAME(few)(y + row * c, job, w, x, s, stop, -nv, mode);
        else NAME(sum_row)(y + row * c, job, w, x, s, stop, mode);
    }
}

FN void NAME(spmm_mode)(const Job *job, int64_t group, int64_t begin, int64_t end, const int mode) {
    switch (job->heads == 1 ? job->k : 0) {
    case 1: NAME(spmm_as)(job, group, begin, end, -1, mode); break;
#if LANES > 2
    case 2: NAME(spmm_as)(job, group, begin, end, -2, mode); break;
#endif
    case 3: NAME(spmm_as)(job, group, begin, end, -3, mode); break;
#if LANES > 4
    case 4: NAME(spmm_as)(job, group, begin, end, -4, mode); break;
#endif
    case LANES: NAME(spmm_as)(job, group, begin, end, 1, mode); break;
    case 2 * LANES: NAME(spmm_as)(job, group, begin, end, 2, mode); break;
    case 4 * LANES: NAME(spmm_as)(job, group, begin, end, 4, mode); break;
    case 8 * LANES: NAME(spmm_as)(job, group, begin, end, 8, mode); break;
    default: NAME(spmm_as)(job, group, begin, end, 0, mode);
    }
}

LOOP void NAME(spmm)(const Job *job, int64_t group, int64_t begin, int64_t end) {
    if (!job->w) NAME(spmm_mode)(job, group, begin, end, NAME(unit));
    else if (job->plan.perm) NAME(spmm_mode)(job, group, begin, end, NAME(permuted));
    else NAME(spmm_mode)(job, group, begin, end, NAME(own));
}

FN REAL NAME(dot)(const REAL *a, const REAL *b, int64_t n) {
    V sum = {0};
    int64_t i = 0;
    if (n >= 4 * LANES) {
        V s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
        for (; i + 4 * LANES <= n; i += 4 * LANES) {
            s0 += NAME(load)(a + i) * NAME(load)(b + i);
            s1 += NAME(load)(a + i + LANES) * NAME(load)(b + i + LANES);
            s2 += NAME(load)(a + i + 2 * LANES) * NAME(load)(b + i + 2 * LANES);
            s3 += NAME(load)(a + i + 3 * LANES) * NAME(load)(b + i + 3 * LANES);
        }
        sum = (s0 + s1) + (s2 + s3);
    }
    for (; i + LANES <= n; i += LANES) sum += NAME(load)(a + i) * NAME(load)(b + i);
    REAL s = n >= LANES ? NAME(total)(sum) : 0;
    for (; i < n; i++) s += a[i] * b[i];
    return s;
}

/* dot products of one row's values with those of its columns, per head, n channels each; s [slots, heads] */
FN void NAME(dots_row)(REAL *out, const Plan *plan, const REAL *a, const REAL *x, int64_t s, int64_t stop, int64_t h,
                       int64_t n, REAL scale, const int add) {
    for (int64_t t = s; t < stop; t++) {
        const REAL *from = x + plan->idx[t] * h * n;
        REAL *to = out + (plan->perm ? plan->perm[t] : t) * h;
        for (int64_t head = 0; head < h; head++) {
            const REAL d = scale * NAME(dot)(a + head * n, from + head * n, n);
            to[head] = add ? to[head] + d : d;
        }
    }
}

LOOP void NAME(sddmm)(const Job *job, int64_t group, int64_t begin, int64_t end) {
    const int64_t h = job->heads, k = job->k, c = h * k, last = job->shared ? job->groups : group + 1;
    const REAL *a = (const REAL *)job->a, *x = (const REAL *)job->x;
    REAL *out = (REAL *)job->s + (job->shared ? 0 : group * job->plan.e * h);
    EACH_ROW
        for (int64_t g = group; g < last; g++) {
            const REAL *mine = a + (g * plan->n_out + row) * c, *theirs = x + g * plan->n_in * c;
            if (g == group) NAME(dots_row)(out, plan, mine, theirs, s, stop, h, k, 1, 0);
            else NAME(dots_row)(out, plan, mine, theirs, s, stop, h, k, 1, 1);
        }
    }
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

FN void NAME(exp_all)(REAL *p, int64_t n) {
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) NAME(store)(p + i, NAME(exp)(NAME(load)(p + i)));
    if (i < n) {
        REAL tail[LANES] = {0};
        for (int64_t j = i; j < n; j++) tail[j - i] = p[j];
        const V y = NAME(exp)(*(V *)tail);
        for (int64_t j = i; j < n; j++) p[j] = y[j - i];
    }
}

/* maximum of one head over a row's slots; NaN where there is one */
FN REAL NAME(highest)(const REAL *s, int64_t slots, int64_t h) {
    REAL best = s[0];
    for (int64_t t = 1; t < slots; t++) {
        const REAL value = s[t * h];
        best = value > best || value != value ? value : best;
    }
    return best;
}

FN REAL NAME(sum_of)(const REAL *s, int64_t slots, int64_t h) {
    double sum = 0, rest = 0;
    if (!DOUBLE || slots <= BLOCK) {
        for (int64_t t = 0; t < slots; t++) sum += s[t * h];
        return (REAL)sum;
    }
    for (int64_t t = 0; t < slots; t++) TWO_SUM(double, sum, rest, (double)s[t * h]);
    return (REAL)(sum + rest);
}

FN void NAME(softmax_row)(REAL *p, int64_t slots, int64_t h) {
    for (int64_t head = 0; head < h; head++) {
        const REAL top = NAME(highest)(p + head, slots, h);
        for (int64_t t = 0; t < slots; t++) p[t * h + head] -= top;
    }
    NAME(exp_all)(p, slots * h);
    for (int64_t head = 0; head < h; head++) {
        const REAL share = 1 / NAME(sum_of)(p + head, slots, h);
        for (int64_t t = 0; t < slots; t++) p[t * h + head] *= share;
    }
}

LOOP void NAME(softmax)(const Job *job, int64_t group, int64_t begin, int64_t end) {
    const int64_t h = job->heads;
    const REAL *x = (const REAL *)job->x + group * job->plan.e * h;
    REAL *p = (REAL *)job->s + group * job->plan.e * h;
    EACH_ROW
        if (s == stop) continue;
        for (int64_t j = s * h; j < stop * h; j++) p[j] = x[j];
        NAME(softmax_row)(p + s * h, stop - s, h);
    }
}

LOOP void NAME(logsumexp)(const Job *job, int64_t group, int64_t begin, int64_t end) {
    const int64_t h = job->heads;
    const REAL *x = (const REAL *)job->x + group * job->plan.e * h;
    REAL *y = (REAL *)job->y + group * job->plan.n_out * h;
    EACH_ROW
        for (int64_t head = 0; head < h; head++) {
            if (s == stop) {
                y[row * h + head] = -(REAL)INFINITY;
                continue;
            }
            const REAL *mine = x + s * h + head, top = NAME(highest)(mine, stop - s, h);
            REAL part[LANES];
            double sum = 0, rest = 0;
            for (int64_t t = 0; t < stop - s; t += LANES) {
                const int64_t n = stop - s - t < LANES ? stop - s - t : LANES;
                for (int64_t l = 0; l < LANES; l++) part[l] = l < n ? mine[(t + l) * h] - top : -(REAL)INFINITY;
                NAME(exp_all)(part, LANES);
                const double block = NAME(sum_of)(part, n, 1);
                TWO_SUM(double, sum, rest, block);
            }
            /* where the largest is infinite, the difference to it is not a number but the answer is */
            y[row * h + head] = top - top == 0 ? top + (REAL)log(sum + rest) : top;
        }
    }
}

LOOP void NAME(attend)(const Job *job, int64_t group, int64_t begin, int64_t end) {
    const int64_t h = job->heads, k = job->k, n_in = job->plan.n_in, n_out = job->plan.n_out, edges = job->plan.e * h;
    const REAL *q = (const REAL *)job->a + group * n_out * h * k, *key = (const REAL *)job->x + group * n_in * h * k;
    const REAL *value = (const REAL *)job->v + group * n_in * h * job->f;
    REAL *p = (REAL *)job->s + group * edges, *y = (REAL *)job->y + group * n_out * h * job->f;
    Job sums = *job;
    sums.k = job->f;
    EACH_ROW
        NAME(dots_row)(p, plan, q + row * h * k, key, s, stop, h, k, (REAL)job->scale, 0);
        if (s < stop) NAME(softmax_row)(p + s * h, stop - s, h);
        NAME(sum_row)(y + row * h * job->f, &sums, p, value, s, stop, NAME(own));
    }
}

/* with p the probabilities and g the gradient at the rows: ds = p (<g, v> - sum p <g, v>), dq = scale sum ds k */
LOOP void NAME(attend_back)(const Job *job, int64_t group, int64_t begin, int64_t end) {
    const int64_t h = job->heads, k = job->k, f = job->f, n_in = job->plan.n_in, n_out = job->plan.n_out;
    const int64_t edges = job->plan.e * h;
    const REAL *g = (const REAL *)job->a + group * n_out * h * f, *key = (const REAL *)job->x + group * n_in * h * k;
    const REAL *value = (const REAL *)job->v + group * n_in * h * f, *p = (const REAL *)job->p + group * edges;
    REAL *ds = (REAL *)job->s + group * edges, *dq = (REAL *)job->y + group * n_out * h * k;
    const REAL scale = (REAL)job->scale;
    EACH_ROW
        NAME(dots_row)(ds, plan, g + row * h * f, value, s, stop, h, f, 1, 0);
        for (int64_t head = 0; head < h; head++) {
            REAL mean = 0, rest = 0;
            for (int64_t t = s; t < stop; t++) TWO_SUM(REAL, mean, rest, p[t * h + head] * ds[t * h + head]);
            mean += rest;
            for (int64_t t = s; t < stop; t++) ds[t * h + head] = p[t * h + head] * (ds[t * h + head] - mean);
        }
        NAME(sum_row)(dq + row * h * k, job, ds, key, s, stop, NAME(own));
        for (int64_t j = row * h * k; j < (row + 1) * h * k; j++) dq[j] *= scale;
    }
}

#undef V
#undef VI
#undef FN
#undef LOOP
#undef EACH_ROW
#undef TWO_SUM
