// 3x3 convolutions of stride 1 of images with few channels as products of matrices: each pixel's patch of 9 channels
// numbers, and a 1 for the bias, is a row.
#pragma once
#include <algorithm>

#include "vectors.h"

struct Narrow {
  int64_t n, height, width, outputs, inputs, border;
  int64_t down() const { return height + 2 * border - 2; }
  int64_t across() const { return width + 2 * border - 2; }
  int64_t pixels() const { return down() * across(); }
  int64_t numbers() const { return height * width * inputs; }
  int64_t depth() const { return 9 * inputs + 1; }
  int64_t wide() const { return (9 * inputs + 2 * W - 1) / (2 * W) * 2 * W; }  // places of a patch, in whole strips
};

// Calls `visit(place in the patch, place in the image, numbers)` for what of a pixel's patch lies in the image.
template <class Visit>
static inline void patch(const Narrow& s, int64_t y, int64_t x, const Visit& visit) {
  const int64_t left = x - s.border, skipped = std::max<int64_t>(0, -left), end = std::min<int64_t>(3, s.width - left);
  if (skipped >= end) return;
  for (int64_t k = 0; k < 3; ++k) {
    const int64_t row = y + k - s.border;
    if (row < 0 || row >= s.height) continue;
    visit((3 * k + skipped) * s.inputs, (row * s.width + left + skipped) * s.inputs, (end - skipped) * s.inputs);
  }
}

// The patches of a row of pixels, [across, depth].
static inline void patches(const Narrow& s, const float* image, int64_t y, float* out) {
  std::fill_n(out, s.across() * s.depth(), 0.f);
  for (int64_t x = 0; x < s.across(); ++x, out += s.depth()) {
    patch(s, y, x, [&](int64_t to, int64_t from, int64_t count) {
      for (int64_t i = 0; i < count; ++i) out[to + i] = image[from + i];
    });
    out[s.depth() - 1] = 1;
  }
}

// Weights [outputs, inputs, 3, 3] and bias, or none, by strip of 2 W results, place in a patch.
static inline void by_results(const Narrow& s, const float* weights, const float* bias, float* out) {
  for (int64_t o = 0; o < s.outputs; ++o) {
    float* at = out + o / (2 * W) * s.depth() * 2 * W + o % (2 * W);
    for (int64_t k = 0; k < 9; ++k)
      for (int64_t i = 0; i < s.inputs; ++i) at[(k * s.inputs + i) * 2 * W] = weights[(o * s.inputs + i) * 9 + k];
    at[(s.depth() - 1) * 2 * W] = bias ? bias[o] : 0;
  }
}

// Weights by strip of 2 W places in a patch, result.
static inline void by_places(const Narrow& s, const float* weights, float* out) {
  std::fill_n(out, s.outputs * s.wide(), 0.f);
  for (int64_t k = 0; k < 9; ++k)
    for (int64_t i = 0; i < s.inputs; ++i) {
      const int64_t place = k * s.inputs + i;
      float* at = out + place / (2 * W) * s.outputs * 2 * W + place % (2 * W);
      for (int64_t o = 0; o < s.outputs; ++o) at[o * 2 * W] = weights[(o * s.inputs + i) * 9 + k];
    }
}

// Adds the gradient of a row's patches [across, wide] to that of the image.
static inline void gathered(const Narrow& s, const float* spread, int64_t y, float* image) {
  for (int64_t x = 0; x < s.across(); ++x)
    patch(s, y, x, [&](int64_t from, int64_t place, int64_t count) {
      for (int64_t i = 0; i < count; ++i) image[place + i] += spread[x * s.wide() + from + i];
    });
}

// Sums [parts, depth, outputs], the parts added, as gradients of weights and bias.
static inline void restored(const Narrow& s, int64_t parts, float* sums, float* weights, float* bias) {
  const int64_t each = s.depth() * s.outputs;
  for (int64_t part = 1; part < parts; ++part)
    for (int64_t i = 0; i < each; ++i) sums[i] += sums[part * each + i];
  for (int64_t o = 0; o < s.outputs; ++o) {
    for (int64_t k = 0; k < 9; ++k)
      for (int64_t i = 0; i < s.inputs; ++i)
        weights[(o * s.inputs + i) * 9 + k] = sums[(k * s.inputs + i) * s.outputs + o];
    bias[o] = sums[(s.depth() - 1) * s.outputs + o];
  }
}

constexpr int64_t PARTS = 16;  // sums over images that are taken apart and then added, whatever the threads
