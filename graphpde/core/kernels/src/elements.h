/* Arithmetic entry by entry on whole arrays, each read once. */

#define STRIDE (4 * LANES)

/* y = u + sum of factor * x, the sum begun with u and carried on in the order of the terms */
LOOP void NAME(blend)(const Blend *job, int64_t begin, int64_t end) {
    const REAL *u = job->u;
    REAL *y = job->y;
    REAL factor[MOST];
    const int64_t count = job->count;
    for (int64_t k = 0; k < count; k++) factor[k] = (REAL)job->factor[k];
    int64_t i = begin;
    for (; i + STRIDE <= end; i += STRIDE) {
        V sum[4];
#pragma GCC unroll 4
        for (int v = 0; v < 4; v++) sum[v] = NAME(load)(u + i + v * LANES);
        for (int64_t k = 0; k < count; k++) {
            const REAL *x = (const REAL *)job->x[k] + i;
#pragma GCC unroll 4
            for (int v = 0; v < 4; v++) sum[v] += factor[k] * NAME(load)(x + v * LANES);
        }
#pragma GCC unroll 4
        for (int v = 0; v < 4; v++) NAME(store)(y + i + v * LANES, sum[v]);
    }
    for (; i < end; i++) {
        REAL sum = u[i];
        for (int64_t k = 0; k < count; k++) sum += factor[k] * ((const REAL *)job->x[k])[i];
        y[i] = sum;
    }
}

FN V NAME(modulus)(V x) {
    const INT most = DOUBLE ? (INT)INT64_MAX : (INT)INT32_MAX; /* every bit but the sign's */
    return (V)((VI)x & most);
}

typedef struct {
    REAL factor[MOST], error[MOST], rtol, atol;
} NAME(Allowed);

FN V NAME(squared)(V e, V a, V b, const NAME(Allowed) * allowed) {
    const V ratio = e / (allowed->rtol * NAME(larger)(NAME(modulus)(a), NAME(modulus)(b)) + allowed->atol);
    return ratio * ratio;
}

/* up to LANES entries from i on; what is past the end counts nothing */
FN V NAME(deviation_of_few)(const Deviation *job, const NAME(Allowed) * allowed, int64_t i, int64_t n) {
    REAL e[LANES] = {0}, a[LANES] = {0}, b[LANES] = {0};
    for (int64_t j = 0; j < n; j++) {
        a[j] = ((const REAL *)job->a)[i + j];
        b[j] = job->count ? a[j] : ((const REAL *)job->b)[i + j];
        e[j] = job->count ? 0 : ((const REAL *)job->e)[i + j];
        for (int64_t k = 0; k < job->count; k++) {
            const REAL x = ((const REAL *)job->x[k])[i + j];
            b[j] += allowed->factor[k] * x, e[j] += allowed->error[k] * x;
        }
    }
    const V found = NAME(squared)(NAME(load)(e), NAME(load)(a), NAME(load)(b), allowed);
    REAL counted[LANES] = {0};
    for (int64_t j = 0; j < n; j++) counted[j] = found[j];
    return NAME(load)(counted);
}

/* sum of (e / (atol + rtol max(|a|, |b|)))^2; chains of 64 in plain arithmetic, those in double */
LOOP double NAME(deviation)(const Deviation *job, int64_t begin, int64_t end) {
    NAME(Allowed) allowed = {.rtol = (REAL)job->rtol, .atol = (REAL)job->atol};
    const int64_t count = job->count;
    for (int64_t k = 0; k < count; k++)
        allowed.factor[k] = (REAL)job->factor[k], allowed.error[k] = (REAL)job->error[k];
    double total = 0;
    for (int64_t i = begin; i < end;) {
        V sum = {0};
        const int64_t chain = i + 64 * LANES < end ? i + 64 * LANES : end;
        for (; i + LANES <= chain; i += LANES) {
            const V a = NAME(load)((const REAL *)job->a + i);
            V b = a, e = {0};
            if (count) {
                for (int64_t k = 0; k < count; k++) {
                    const V x = NAME(load)((const REAL *)job->x[k] + i);
                    b += allowed.factor[k] * x, e += allowed.error[k] * x;
                }
            } else {
                b = NAME(load)((const REAL *)job->b + i), e = NAME(load)((const REAL *)job->e + i);
            }
            sum += NAME(squared)(e, a, b, &allowed);
        }
        if (i < chain) sum += NAME(deviation_of_few)(job, &allowed, i, chain - i), i = chain;
        for (int lane = 0; lane < LANES; lane++) total += (double)sum[lane];
    }
    return total;
}
#undef STRIDE
