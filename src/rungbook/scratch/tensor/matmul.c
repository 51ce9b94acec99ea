/* The product of two matrices three times: as it is defined, in blocks that stay in the cache, and in blocks on several cores.
 *
 * a is (m, k), b is (k, n), both with any strides, counted in elements; c is (m, n), row after row, and holds zeros when it arrives.
 * Every function exists for float (_f32) and for double (_f64): the file includes itself once for each.
 */
#ifndef NUMBER

#include <stddef.h>
#ifdef _OPENMP
#include <omp.h>
#endif

/* Several versions of one function, of which the loader takes the best that the processor has. */
#if defined(__x86_64__) && defined(__linux__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define FOR_EACH_PROCESSOR __attribute__((target_clones("default", "arch=haswell", "arch=skylake-avx512")))
#else
#define FOR_EACH_PROCESSOR
#endif

/* A tile of b: 64 x 256 doubles are 128 KiB, which a second-level cache holds beside a few rows of a and c. */
#define TILE_K 64
#define TILE_N 256

int has_openmp(void) {
#ifdef _OPENMP
    return 1;
#else
    return 0;
#endif
}

#define NUMBER float
#define NAMED(name) name##_f32
#include __FILE__
#undef NUMBER
#undef NAMED
#define NUMBER double
#define NAMED(name) name##_f64
#include __FILE__

#else

typedef struct {
    const NUMBER *a, *b;
    NUMBER *c;
    ptrdiff_t m, k, n, a_row, a_column, b_row, b_column;
} NAMED(problem);

void NAMED(plain)(const NAMED(problem) *p) {
    for (ptrdiff_t i = 0; i < p->m; i++)
        for (ptrdiff_t j = 0; j < p->n; j++) {
            NUMBER sum = 0;
            for (ptrdiff_t l = 0; l < p->k; l++)
                sum += p->a[i * p->a_row + l * p->a_column] * p->b[l * p->b_row + j * p->b_column];
            p->c[i * p->n + j] = sum;
        }
}

/* Four rows of c += four rows of a @ tile: each number of the tile is read once for four products. */
FOR_EACH_PROCESSOR
static void NAMED(four_rows)(const NUMBER *a, ptrdiff_t a_row, ptrdiff_t a_column, const NUMBER *tile, NUMBER *c, ptrdiff_t c_row,
                             ptrdiff_t k, ptrdiff_t n) {
    NUMBER *restrict c0 = c, *restrict c1 = c + c_row, *restrict c2 = c + 2 * c_row, *restrict c3 = c + 3 * c_row;
    for (ptrdiff_t l = 0; l < k; l++) {
        const NUMBER *restrict row = tile + l * TILE_N;
        const NUMBER *x = a + l * a_column;
        NUMBER x0 = x[0], x1 = x[a_row], x2 = x[2 * a_row], x3 = x[3 * a_row];
        for (ptrdiff_t j = 0; j < n; j++) {
            NUMBER y = row[j];
            c0[j] += x0 * y;
            c1[j] += x1 * y;
            c2[j] += x2 * y;
            c3[j] += x3 * y;
        }
    }
}

FOR_EACH_PROCESSOR
static void NAMED(one_row)(const NUMBER *a, ptrdiff_t a_column, const NUMBER *tile, NUMBER *restrict c, ptrdiff_t k, ptrdiff_t n) {
    for (ptrdiff_t l = 0; l < k; l++) {
        const NUMBER *restrict row = tile + l * TILE_N;
        NUMBER x = a[l * a_column];
        for (ptrdiff_t j = 0; j < n; j++)
            c[j] += x * row[j];
    }
}

/* Rows first..last of c. The tile is a copy with neighbours side by side, so b may have any strides. */
static void NAMED(some_rows)(const NAMED(problem) *p, ptrdiff_t first, ptrdiff_t last) {
    NUMBER tile[TILE_K * TILE_N];
    for (ptrdiff_t j0 = 0; j0 < p->n; j0 += TILE_N)
        for (ptrdiff_t l0 = 0; l0 < p->k; l0 += TILE_K) {
            ptrdiff_t n = p->n - j0 < TILE_N ? p->n - j0 : TILE_N, k = p->k - l0 < TILE_K ? p->k - l0 : TILE_K;
            for (ptrdiff_t l = 0; l < k; l++)
                for (ptrdiff_t j = 0; j < n; j++)
                    tile[l * TILE_N + j] = p->b[(l0 + l) * p->b_row + (j0 + j) * p->b_column];
            ptrdiff_t i = first;
            for (; i + 4 <= last; i += 4)
                NAMED(four_rows)(p->a + i * p->a_row + l0 * p->a_column, p->a_row, p->a_column, tile, p->c + i * p->n + j0, p->n, k, n);
            for (; i < last; i++)
                NAMED(one_row)(p->a + i * p->a_row + l0 * p->a_column, p->a_column, tile, p->c + i * p->n + j0, k, n);
        }
}

void NAMED(blocked)(const NAMED(problem) *p) { NAMED(some_rows)(p, 0, p->m); }

/* Each core takes a run of whole rows, so that no two write to the same place. */
void NAMED(parallel)(const NAMED(problem) *p, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int part = 0; part < threads; part++)
        NAMED(some_rows)(p, p->m * part / threads, p->m * (part + 1) / threads);
}

#endif
