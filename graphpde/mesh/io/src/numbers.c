/* The numbers of a white-space separated text, read exactly, what is not plain or not certain handed back; and its lines.
 *
 * A decimal number is an integer m of up to 19 digits times a power of ten. If m < 2^53 and the power is exact in double,
 * one operation rounds correctly (Clinger 1990). Otherwise the product is taken in extended precision, whose 64 bits leave
 * 11 to spare: it rounds to the right double unless those 11 bits lie so near to one half that the error of the product,
 * less than one unit of its last bit for small powers and three for large ones, could matter. Those few numbers, and all that looks unusual, are left to the caller.
 */
#include <float.h>
#include <stdint.h>
#include <string.h>

#if defined(_WIN32)
#define PUBLIC __declspec(dllexport)
#else
#define PUBLIC __attribute__((visibility("default")))
#endif

#define LEFT 3 /* numbers kept of each token left to the caller: its place among the values, its start, its end */

static const double EXACT[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                               1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
#if LDBL_MANT_DIG == 64
static const long double LOW[] = {1e0L,  1e1L,  1e2L,  1e3L,  1e4L,  1e5L,  1e6L,  1e7L,  1e8L,  1e9L,
                                  1e10L, 1e11L, 1e12L, 1e13L, 1e14L, 1e15L, 1e16L, 1e17L, 1e18L, 1e19L,
                                  1e20L, 1e21L, 1e22L, 1e23L, 1e24L, 1e25L, 1e26L, 1e27L};
static const long double HIGH[] = {1e0L, 1e28L, 1e56L, 1e84L, 1e112L, 1e140L, 1e168L, 1e196L, 1e224L, 1e252L, 1e280L};
#endif

static int is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
static int is_digit(char c) { return c >= '0' && c <= '9'; }

/* m 10^power, or 0 where it is not certain. */
static int scaled(uint64_t m, long power, double *value) {
  if (m == 0) {
    *value = 0.0;
    return 1;
  }
  if (m <= (UINT64_C(1) << 53) && power >= -22 && power <= 22) {
    *value = power < 0 ? (double)m / EXACT[-power] : (double)m * EXACT[power];
    return 1;
  }
#if LDBL_MANT_DIG == 64
  long size = power < 0 ? -power : power;
  if (size > 280)
    return 0;
  long double x = (long double)m;
  int far = size > 27;
  x = power < 0 ? x / LOW[size % 28] : x * LOW[size % 28];
  if (far)
    x = power < 0 ? x / HIGH[size / 28] : x * HIGH[size / 28];
  if (x < 1e-290L || x > 1e290L)
    return 0;
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits); /* the mantissa */
  int64_t beside = (int64_t)(bits & 0x7ff) - 0x400, margin = far ? 4 : 1;
  if (beside >= -margin && beside <= margin)
    return 0;
  *value = (double)x;
  return 1;
#else
  return 0;
#endif
}

/* One plain number at p, up to white space or the end; where it stops, or NULL. */
static const char *floating(const char *p, const char *end, double *value) {
  int negative = 0, digits = 0, any = 0;
  uint64_t m = 0;
  long power = 0;
  if (p < end && (*p == '-' || *p == '+'))
    negative = *p++ == '-';
  for (; p < end && is_digit(*p); p++, any = 1) {
    if (digits == 19)
      return NULL;
    m = 10 * m + (uint64_t)(*p - '0');
    digits += m != 0;
  }
  if (p < end && *p == '.')
    for (p++; p < end && is_digit(*p); p++, any = 1) {
      if (digits == 19)
        return NULL;
      m = 10 * m + (uint64_t)(*p - '0');
      digits += m != 0;
      power--;
    }
  if (!any)
    return NULL;
  if (p < end && (*p == 'e' || *p == 'E')) {
    int down = 0;
    long exponent = 0;
    if (++p < end && (*p == '-' || *p == '+'))
      down = *p++ == '-';
    if (p == end || !is_digit(*p))
      return NULL;
    for (; p < end && is_digit(*p); p++)
      if (exponent < 100000)
        exponent = 10 * exponent + (*p - '0');
    power += down ? -exponent : exponent;
  }
  if (p < end && !is_space(*p))
    return NULL;
  if (!scaled(m, power, value))
    return NULL;
  if (negative)
    *value = -*value;
  return p;
}

static const char *whole(const char *p, const char *end, int64_t *value) {
  int negative = 0, digits = 0;
  int64_t m = 0;
  if (p < end && (*p == '-' || *p == '+'))
    negative = *p++ == '-';
  for (; p < end && is_digit(*p); p++) {
    if (++digits > 18)
      return NULL;
    m = 10 * m + (*p - '0');
  }
  if (!digits || (p < end && !is_space(*p)))
    return NULL;
  *value = negative ? -m : m;
  return p;
}

/* Whether numbers of up to 19 digits are read here; elsewhere most of 17 digits would be left to the caller. */
PUBLIC int graphpde_wide(void) { return LDBL_MANT_DIG == 64; }

/* Values of text[0:length] into out (double, or int64_t where whole_ones); tokens left to the caller into left.
 * Returns how many values there are; -1 where more than `room` tokens are left. out has room for (length + 1) / 2. */
PUBLIC int64_t graphpde_numbers(const char *text, int64_t length, void *out, int whole_ones, int64_t *left, int64_t room,
                                int64_t *left_count) {
  const char *p = text, *end = text + length;
  int64_t count = 0, kept = 0;
  for (;;) {
    while (p < end && is_space(*p))
      p++;
    if (p == end)
      break;
    const char *stop = whole_ones ? whole(p, end, (int64_t *)out + count) : floating(p, end, (double *)out + count);
    if (!stop) {
      if (kept == room)
        return -1;
      for (stop = p; stop < end && !is_space(*stop); stop++)
        ;
      left[LEFT * kept] = count;
      left[LEFT * kept + 1] = p - text;
      left[LEFT * kept + 2] = stop - text;
      kept++;
    }
    p = stop;
    count++;
  }
  *left_count = kept;
  return count;
}

#define LINE 4 /* numbers kept of each line: where it begins, where its first word begins, its last one ends; its words */

/* The lines of text[0:length] that have words, into lines, which has room for all. What the byte `comment` (0: none does)
 * begins is overwritten with blanks up to the end of its line. Returns how many they are; into longest the bytes of the
 * longest line. */
PUBLIC int64_t graphpde_lines(char *text, int64_t length, int comment, int64_t *lines, int64_t *longest) {
  char *p = text, *end = text + length;
  int64_t count = 0;
  *longest = 0;
  while (p < end) {
    char *start = p, *first = NULL, *last = p;
    int64_t words = 0;
    int inside = 0;
    for (; p < end && *p != '\n'; p++) {
      if (comment && *p == (char)comment) {
        for (; p < end && *p != '\n'; p++)
          *p = ' ';
        break;
      }
      if (is_space(*p)) {
        inside = 0;
        continue;
      }
      if (!inside) {
        words++;
        first = first ? first : p;
      }
      inside = 1;
      last = p + 1;
    }
    if (p - start > *longest)
      *longest = p - start;
    if (words) {
      int64_t *own = lines + LINE * count++;
      own[0] = start - text;
      own[1] = first - text;
      own[2] = last - text;
      own[3] = words;
    }
    p++; /* the end of the line */
  }
  return count;
}
