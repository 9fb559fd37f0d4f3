/* The native backend: sums over the rows of a relation for float32 and float64.

   Plain C without torch's or Python's headers, so that it builds in isolation; called through ctypes. Threads come from
   the OpenMP runtime that torch has loaded already, found at run time: a second runtime would bring a second pool of
   workers that spin against the first. The instruction set is chosen at run time. */

#if defined(__linux__)
#define _GNU_SOURCE
#include <dlfcn.h>
#endif
#include <math.h>
#include <string.h>

#include "native.h"

#define BLOCK 32 /* slots of a row whose scores are handled in one piece */
#define CHAIN 8  /* terms added in plain arithmetic: within 4 units in the last place of the sum of magnitudes */

#define ROWS 64     /* rows in a batch of scores */
#define SCORES 1024 /* scores in a batch */
#define AHEAD 24 /* slots to look ahead where the values of neighbours lie far apart */
#define LINE 64  /* bytes of a cache line */

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

/* one instruction set: ISA (a suffix), BYTES of a vector register, TARGET, terms before a carried rounding error: a chain
   of n fused products is off by n half units, of n rounded ones by n + 1, and carrying adds one; 8 make 4 units */
#define KERNELS(isa)                                                                                          \
    {#isa,                                                                                                    \
     {spmm_##isa##_f, sddmm_##isa##_f, extreme_##isa##_f, softmax_##isa##_f, logsumexp_##isa##_f,            \
      attend_##isa##_f, attend_back_##isa##_f, spmm_sddmm_##isa##_f},                                                               \
     {spmm_##isa##_d, sddmm_##isa##_d, extreme_##isa##_d, softmax_##isa##_d, logsumexp_##isa##_d,            \
      attend_##isa##_d, attend_back_##isa##_d, spmm_sddmm_##isa##_d},                                                               \
     {blend_##isa##_f, blend_##isa##_d},                                                                      \
     {deviation_##isa##_f, deviation_##isa##_d}}

#define TARGET
#define TERMS 6
#define BYTES 16
#define ISA baseline
#include "types.h"

#if defined(__x86_64__)
#define TARGET __attribute__((target("avx2,fma")))
#define TERMS 7
#define BYTES 32
#define ISA avx2
#include "types.h"

#define TARGET __attribute__((target("avx512f,avx512vl,avx512dq,avx2,fma")))
#define TERMS 7
#define BYTES 64
#define ISA avx512
#include "types.h"
#endif

static const Table TABLES[] = {
    KERNELS(baseline),
#if defined(__x86_64__)
    KERNELS(avx2),
    KERNELS(avx512),
#endif
};
static const int TABLE_COUNT = sizeof(TABLES) / sizeof(TABLES[0]);
static const Table *chosen = TABLES;

static int runs_here(const char *name) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (!strcmp(name, "avx2")) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (!strcmp(name, "avx512"))
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
#endif
    return !strcmp(name, "baseline");
}

/* Choose an instruction set by name, or the best one; 0 asks only. The name in force, or 0 where it is not here. */
PUBLIC const char *graphpde_instructions(const char *name) {
    if (!name) return chosen->name;
    const int any = !strcmp(name, "best");
    for (int i = TABLE_COUNT - 1; i >= 0; i--)
        if ((any || !strcmp(name, TABLES[i].name)) && runs_here(TABLES[i].name)) {
            chosen = &TABLES[i];
            return chosen->name;
        }
    return 0;
}

/* The operations there are and the bytes of their descriptions, by which the caller knows that it speaks of the same. */
PUBLIC int graphpde_interface(void) { return OPERATIONS * 10000 + (int)(sizeof(Job) + sizeof(Blend) + sizeof(Deviation)); }

typedef void (*Parallel)(void (*work)(void *), void *data, unsigned threads, unsigned flags);
static Parallel parallel;

/* Whether a running OpenMP was found. */
PUBLIC int graphpde_threads(void) {
#if defined(__linux__)
    *(void **)&parallel = dlsym(RTLD_DEFAULT, "GOMP_parallel");
#endif
    return parallel != 0;
}

typedef struct {
    const Job *job;
    Rows rows;
    int64_t shares, next;
} Team;

/* each worker takes the next share until none is left; which worker takes which does not change the result */
static void work(void *data) {
    Team *team = data;
    const Plan *plan = &team->job->plan;
    for (;;) {
        const int64_t i = __atomic_fetch_add(&team->next, 1, __ATOMIC_RELAXED);
        if (i >= team->shares) return;
        const int64_t group = i / plan->chunks, chunk = i % plan->chunks;
        team->rows(team->job, group, plan->starts[chunk], plan->starts[chunk + 1]);
    }
}

PUBLIC void graphpde_run(int operation, int twice, int threads, const Job *job) {
    const Rows rows = (twice ? chosen->twice : chosen->single)[operation];
    const int64_t groups = operation == SDDMM && job->shared ? 1 : job->groups;
    if (threads > 1 && parallel) {
        Team team = {job, rows, groups * job->plan.chunks, 0};
        parallel(work, &team, (unsigned)threads, 0);
        return;
    }
    for (int64_t group = 0; group < groups; group++) rows(job, group, 0, job->plan.n_out);
}

/* Whole arrays are shared out in pieces of fixed size, so that sums do not depend on the number of threads. */

#define PIECE (1 << 14)
#define PIECES 256 /* whose sums are kept at once */

typedef struct {
    const Blend *blend;
    const Deviation *deviation;
    double sums[PIECES];
    int64_t from, n, pieces, next;
    int twice;
} Crew;

static void piecewise(void *data) {
    Crew *crew = data;
    for (;;) {
        const int64_t i = __atomic_fetch_add(&crew->next, 1, __ATOMIC_RELAXED);
        if (i >= crew->pieces) return;
        const int64_t begin = crew->from + i * PIECE, end = begin + PIECE < crew->n ? begin + PIECE : crew->n;
        if (crew->blend) chosen->blend[crew->twice](crew->blend, begin, end);
        else crew->sums[i] = chosen->deviation[crew->twice](crew->deviation, begin, end);
    }
}

static void go(Crew *crew, int threads) {
    if (threads > 1 && crew->pieces > 1 && parallel) parallel(piecewise, crew, (unsigned)threads, 0);
    else piecewise(crew);
}

PUBLIC void graphpde_blend(int twice, int threads, const Blend *job) {
    Crew crew = {.blend = job, .n = job->n, .pieces = (job->n + PIECE - 1) / PIECE, .twice = twice};
    go(&crew, threads);
}

PUBLIC double graphpde_deviation(int twice, int threads, const Deviation *job) {
    double total = 0;
    for (int64_t from = 0; from < job->n; from += (int64_t)PIECES * PIECE) {
        const int64_t left = (job->n - from + PIECE - 1) / PIECE;
        Crew crew = {.deviation = job, .from = from, .n = job->n, .twice = twice};
        crew.pieces = left < PIECES ? left : PIECES;
        go(&crew, threads);
        for (int64_t i = 0; i < crew.pieces; i++) total += crew.sums[i];
    }
    return total;
}
