// What the kernels share: vectors as wide as the processor's, numbers of two types, and products of small matrices.
#pragma once
#include <cstdint>
#include <vector>

#if defined(__AVX512F__)
constexpr int W = 16, R = 12;  // numbers in a vector; rows of a product at a time, so that their sums stay in registers
#elif defined(__AVX__)
constexpr int W = 8, R = 6;
#else
constexpr int W = 4, R = 6;
#endif
typedef float vec __attribute__((vector_size(W * 4), aligned(4), may_alias));
typedef int32_t ints __attribute__((vector_size(W * 4), aligned(4), may_alias));
typedef uint32_t bits __attribute__((vector_size(W * 4), aligned(4), may_alias));
typedef uint16_t halves __attribute__((vector_size(W * 2), aligned(2), may_alias));

struct bf16 {
  uint16_t raw;
};

static inline vec load(const float* at) { return *reinterpret_cast<const vec*>(at); }
static inline void store(float* at, vec value) { *reinterpret_cast<vec*>(at) = value; }

static inline vec load(const bf16* at) {
  return (vec)(__builtin_convertvector(*reinterpret_cast<const halves*>(at), bits) << 16);
}

static inline void store(bf16* at, vec value) {  // to the nearest, ties to even; NaN stays NaN
  const bits raw = (bits)value, number = (bits)(value == value);
  const bits rounded = (raw + 0x7fff + ((raw >> 16) & 1)) >> 16;
  *reinterpret_cast<halves*>(at) = __builtin_convertvector((rounded & number) | (0x7fc0 & ~number), halves);
}

static inline vec where(ints yes, vec value) { return (vec)(yes & (ints)value); }

// out[r][j] (+)= sum over k of a[r * row + k * step] * b[k * next + j], for ROWS rows and a strip of 2 W columns.
template <int ROWS, bool ADD>
static inline void block(const float* a, int64_t row, int64_t step, const float* b, int64_t next, float* out,
                         int64_t width, int64_t depth) {
  vec left[ROWS], right[ROWS];
  for (int r = 0; r < ROWS; ++r) {
    left[r] = ADD ? load(out + r * width) : vec{};
    right[r] = ADD ? load(out + r * width + W) : vec{};
  }
  for (int64_t k = 0; k < depth; ++k, a += step, b += next) {
    const vec first = load(b), second = load(b + W);
#pragma GCC unroll 12
    for (int r = 0; r < ROWS; ++r) {
      const float scale = a[r * row];
      left[r] += scale * first;
      right[r] += scale * second;
    }
  }
  for (int r = 0; r < ROWS; ++r) {
    store(out + r * width, left[r]);
    store(out + r * width + W, right[r]);
  }
}

// out [rows, width] (+)= a b. The element (r, k) of a is at r * row + k * step. b [depth, width] lies in strips of 2 W
// columns, `strip` apart, with its rows `next` apart.
template <bool ADD>
static void product(int64_t rows, const float* a, int64_t row, int64_t step, const float* b, int64_t strip,
                    int64_t next, float* out, int64_t width, int64_t depth) {
  for (int64_t j = 0; j < width; j += 2 * W, b += strip) {
    const float* from = a;
    float* to = out + j;
    int64_t left = rows;
    for (; left >= R; left -= R, from += R * row, to += R * width)
      block<R, ADD>(from, row, step, b, next, to, width, depth);
    for (; left >= 2; left -= 2, from += 2 * row, to += 2 * width)
      block<2, ADD>(from, row, step, b, next, to, width, depth);
    if (left) block<1, ADD>(from, row, step, b, next, to, width, depth);
  }
}

// Memory of a thread that is kept from call to call, with room for `count` numbers.
static inline float* room(std::vector<float>& kept, int64_t count) {
  if (int64_t(kept.size()) < count) kept.resize(count);
  return kept.data();
}
