/* One row of a weighted sum, nv registers wide: VEC (the register), WIDTH (its lanes), WIDE(x) (a suffix). */

#define LOAD(p) (*(const VEC *)(p))

/* acc[v] += weight * x over the slots [s, stop), nv vectors of one row of x; nv and mode are constants where inlined */
FN void WIDE(gather)(VEC *acc, const Job *job, const REAL *w, const REAL *x, int64_t s, int64_t stop, const int nv,
                     const int mode) {
    const int64_t c = job->heads * job->k, h = job->heads;
    const int32_t *idx = job->plan.idx, *perm = job->plan.perm;
    const int far = (int)job->far;
    for (; s < stop; s++) {
        if (far) { /* scattered in memory beyond the cache: ask now for what a later slot will need */
            const int64_t later = s + AHEAD < job->plan.e ? s + AHEAD : job->plan.e - 1;
            const char *soon = (const char *)(x + idx[later] * c);
#pragma GCC unroll 8
            for (int line = 0; line * LINE < nv * (int)sizeof(VEC); line++) __builtin_prefetch(soon + line * LINE);
            if (mode & NAME(permuted)) __builtin_prefetch(w + perm[later] * h);
        }
        const REAL *from = x + idx[s] * c;
        const int64_t edge = (mode & NAME(permuted)) ? perm[s] : s;
        if (mode & NAME(lanewise)) {
#pragma GCC unroll 8
            for (int v = 0; v < nv; v++) acc[v] += LOAD(w + edge * h + v * WIDTH) * LOAD(from + v * WIDTH);
        } else if (mode == NAME(unit)) {
#pragma GCC unroll 8
            for (int v = 0; v < nv; v++) acc[v] += LOAD(from + v * WIDTH);
        } else {
            const REAL factor = w[edge * h];
#pragma GCC unroll 8
            for (int v = 0; v < nv; v++) acc[v] += factor * LOAD(from + v * WIDTH);
        }
    }
}

FN void WIDE(block)(REAL *y, const Job *job, const REAL *w, const REAL *x, int64_t s, int64_t stop, const int nv,
                    const int mode) {
    VEC acc[8];
    REAL unsure = 0;
#pragma GCC unroll 8
    for (int v = 0; v < nv; v++) acc[v] = (VEC){0};
    if (__builtin_expect(stop - s <= CHAIN, 1)) {
        WIDE(gather)(acc, job, w, x, s, stop, nv, mode);
    } else {
        VEC sum[8], left = {0};
#pragma GCC unroll 8
        for (int v = 0; v < nv; v++) sum[v] = (VEC){0};
        for (int64_t t = s; t < stop; t += TERMS) {
            WIDE(gather)(acc, job, w, x, t, t + TERMS < stop ? t + TERMS : stop, nv, mode);
#pragma GCC unroll 8
            for (int v = 0; v < nv; v++) CARRY(VEC, sum[v], acc[v]);
        }
#pragma GCC unroll 8
        for (int v = 0; v < nv; v++) left += acc[v], acc[v] += sum[v];
        unsure = WIDE(total)(left);
    }
#pragma GCC unroll 8
    for (int v = 0; v < nv; v++) *(VEC *)(y + v * WIDTH) = acc[v];
    if (__builtin_expect(unsure != unsure, 0)) NAME(plainly)(y, job, w, x, s, stop, nv * WIDTH, mode);
}

#undef LOAD
