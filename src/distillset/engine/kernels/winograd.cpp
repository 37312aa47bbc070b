// 3x3 convolutions of stride 1 and padding 1 by Winograd's minimal filtering F(4x4, 3x3) (Lavin and Gray, CVPR 2016): a
// quarter of the multiplications of the direct sum. Images and results are [n, height, width, channels], channels a
// multiple of 32. Every number is summed in an order that does not depend on the number of threads.
#include <algorithm>

#include "vectors.h"

namespace {

constexpr int P = 36;         // points of the transformed domain, 6x6
constexpr int TILES = 24;     // tiles at a time whose transforms stay in cache
constexpr int DEEP = 96;      // the same where a weight gradient is summed over tiles
constexpr int APART = 32;     // numbers between points, so that they do not fall on the same lines of the cache

inline void spread(const vec d[6], vec t[6]) {  // B^T d
  const vec p = d[4] - 4 * d[2], q = d[3] - 4 * d[1], r = d[4] - d[2], s = 2 * (d[3] - d[1]);
  t[0] = 4 * d[0] - 5 * d[2] + d[4];
  t[1] = p + q;
  t[2] = p - q;
  t[3] = r + s;
  t[4] = r - s;
  t[5] = 4 * d[1] - 5 * d[3] + d[5];
}

inline void gather(const vec m[6], vec y[4]) {  // A^T m
  const vec p = m[1] + m[2], q = m[1] - m[2], r = m[3] + m[4], s = m[3] - m[4];
  y[0] = m[0] + p + r;
  y[1] = q + 2 * s;
  y[2] = p + 4 * r;
  y[3] = q + 8 * s + m[5];
}

inline void back(const vec y[4], vec m[6]) {  // A y
  const vec p = y[0] + y[2], q = y[1] + y[3], r = y[0] + 4 * y[2], s = 2 * y[1] + 8 * y[3];
  m[0] = y[0];
  m[1] = p + q;
  m[2] = p - q;
  m[3] = r + s;
  m[4] = r - s;
  m[5] = y[3];
}

struct Shape {
  int64_t n, height, width, down, across, tiles;
  Shape(int64_t n, int64_t height, int64_t width)
      : n(n), height(height), width(width), down((height + 3) / 4), across((width + 3) / 4), tiles(n * down * across) {}
};

struct Tile {
  int64_t image, y, x;
  Tile(const Shape& s, int64_t t) : image(t / (s.down * s.across)), y(t / s.across % s.down * 4), x(t % s.across * 4) {}
};

// B^T d B of a tile and its border, into out[point * stride + channel].
void spread_tile(const Shape& s, const float* images, int64_t channels, int64_t t, float* out, int64_t stride) {
  const Tile tile(s, t);
  const float* image = images + tile.image * s.height * s.width * channels;
  for (int64_t c = 0; c < channels; c += W) {
    vec half[6][6];
    for (int j = 0; j < 6; ++j) {
      const int64_t x = tile.x - 1 + j;
      vec d[6];
      for (int i = 0; i < 6; ++i) {
        const int64_t y = tile.y - 1 + i;
        const bool inside = y >= 0 && y < s.height && x >= 0 && x < s.width;
        d[i] = inside ? load(image + (y * s.width + x) * channels + c) : vec{};
      }
      spread(d, half[j]);
    }
    for (int i = 0; i < 6; ++i) {
      vec d[6], found[6];
      for (int j = 0; j < 6; ++j) d[j] = half[j][i];
      spread(d, found);
      for (int j = 0; j < 6; ++j) store(out + (i * 6 + j) * stride + c, found[j]);
    }
  }
}

// A y A^T of a tile of a result's gradient, into out[point * stride + channel / 2 W * strip + channel % 2 W].
void back_tile(const Shape& s, const float* results, int64_t channels, int64_t t, float* out, int64_t stride,
               int64_t strip) {
  const Tile tile(s, t);
  const float* result = results + tile.image * s.height * s.width * channels;
  for (int64_t c = 0; c < channels; c += W) {
    float* to = out + c / (2 * W) * strip + c % (2 * W);
    vec half[4][6];
    for (int j = 0; j < 4; ++j) {
      const int64_t x = tile.x + j;
      vec y[4];
      for (int i = 0; i < 4; ++i) {
        const bool inside = tile.y + i < s.height && x < s.width;
        y[i] = inside ? load(result + ((tile.y + i) * s.width + x) * channels + c) : vec{};
      }
      back(y, half[j]);
    }
    for (int i = 0; i < 6; ++i) {
      vec y[4], found[6];
      for (int j = 0; j < 4; ++j) y[j] = half[j][i];
      back(y, found);
      for (int j = 0; j < 6; ++j) store(to + (i * 6 + j) * stride, found[j]);
    }
  }
}

// A^T m A, and a bias where there is one, into a tile of the result.
void gather_tile(const Shape& s, const float* m, int64_t stride, int64_t channels, int64_t t, const float* bias,
                 float* results) {
  const Tile tile(s, t);
  float* result = results + tile.image * s.height * s.width * channels;
  for (int64_t c = 0; c < channels; c += W) {
    const vec base = bias ? load(bias + c) : vec{};
    vec half[6][4];
    for (int j = 0; j < 6; ++j) {
      vec column[6];
      for (int i = 0; i < 6; ++i) column[i] = load(m + (i * 6 + j) * stride + c);
      gather(column, half[j]);
    }
    for (int i = 0; i < 4 && tile.y + i < s.height; ++i) {
      vec row[6], y[4];
      for (int j = 0; j < 6; ++j) row[j] = half[j][i];
      gather(row, y);
      for (int j = 0; j < 4 && tile.x + j < s.width; ++j)
        store(result + ((tile.y + i) * s.width + tile.x + j) * channels + c, y[j] + base);
    }
  }
}

inline void widen(const vec w[3], vec u[6]) {  // G w
  const vec sum = (w[0] + w[2]) / 6, wide = w[0] / 24 + w[2] / 6;
  u[0] = w[0] / 4;
  u[1] = -sum - w[1] / 6;
  u[2] = w[1] / 6 - sum;
  u[3] = wide + w[1] / 12;
  u[4] = wide - w[1] / 12;
  u[5] = w[2];
}

inline void narrow(const vec m[6], vec w[3]) {  // G^T m
  const vec sum = (m[1] + m[2]) / 6, wide = m[3] + m[4];
  w[0] = m[0] / 4 - sum + wide / 24;
  w[1] = (m[2] - m[1]) / 6 + (m[3] - m[4]) / 12;
  w[2] = wide / 6 - sum + m[5];
}

// G w G^T of weights [outputs, inputs, 3, 3] (contiguous) into u: point, strip of 2 W channels, channel it comes from.
// With `turned`, from outputs to inputs and upside down, as the gradient of images has them.
void transform_weights(const float* weights, int64_t outputs, int64_t inputs, bool turned, float* u, int threads) {
  const int64_t from = turned ? outputs : inputs, to = turned ? inputs : outputs;
  const int64_t row = (turned ? inputs : 1) * 9, lane = (turned ? 1 : inputs) * 9;
#pragma omp parallel for num_threads(threads)
  for (int64_t j = 0; j < to; j += W) {
    for (int64_t i = 0; i < from; ++i) {
      const float* w = weights + i * row + j * lane;
      float taps[9][W];
      for (int l = 0; l < W; ++l)
        for (int k = 0; k < 9; ++k) taps[turned ? 8 - k : k][l] = w[l * lane + k];
      vec half[3][6], found[6];
      for (int x = 0; x < 3; ++x) {
        const vec column[3] = {load(taps[x]), load(taps[3 + x]), load(taps[6 + x])};
        widen(column, half[x]);
      }
      float* at = u + j / (2 * W) * from * 2 * W + i * 2 * W + j % (2 * W);
      for (int y = 0; y < 6; ++y) {
        const vec across[3] = {half[0][y], half[1][y], half[2][y]};
        widen(across, found);
        for (int x = 0; x < 6; ++x) store(at + (y * 6 + x) * (from * to + APART), found[x]);
      }
    }
  }
}

// G^T u G of u [point, inputs, outputs] into weights [outputs, inputs, 3, 3].
void restore_weights(const float* u, int64_t outputs, int64_t inputs, float* weights, int threads) {
#pragma omp parallel for num_threads(threads)
  for (int64_t o = 0; o < outputs; o += W) {
    for (int64_t i = 0; i < inputs; ++i) {
      vec half[6][3], found[3];
      for (int x = 0; x < 6; ++x) {
        vec column[6];
        for (int y = 0; y < 6; ++y) column[y] = load(u + (y * 6 + x) * (inputs * outputs + APART) + i * outputs + o);
        narrow(column, half[x]);
      }
      for (int y = 0; y < 3; ++y) {
        vec across[6];
        for (int x = 0; x < 6; ++x) across[x] = half[x][y];
        narrow(across, found);
        for (int x = 0; x < 3; ++x)
          for (int l = 0; l < W; ++l) weights[((o + l) * inputs + i) * 9 + y * 3 + x] = found[x][l];
      }
    }
  }
}

thread_local std::vector<float> first, second, third;

}  // namespace

extern "C" {

// results [n, height, width, to] of images [n, height, width, from], with a bias [to] or none; with `turned` the
// gradient of the images.
void distillset_convolve(const float* images, const float* weights, const float* bias, float* results, int64_t n, int64_t height,
                         int64_t width, int64_t outputs, int64_t inputs, int turned, int threads) {
  const Shape s(n, height, width);
  const int64_t from = turned ? outputs : inputs, to = turned ? inputs : outputs;
  const int64_t before = TILES * from + APART, after = TILES * to + APART;
  const int64_t all = from * to + APART;
  float* u = room(third, P * all);
  transform_weights(weights, outputs, inputs, turned, u, threads);
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t start = 0; start < s.tiles; start += TILES) {
    float *v = room(first, P * before), *m = room(second, P * after);
    const int64_t count = std::min<int64_t>(TILES, s.tiles - start);
    for (int64_t t = 0; t < count; ++t) spread_tile(s, images, from, start + t, v + t * from, before);
    for (int64_t p = 0; p < P; ++p)
      product<false>(count, v + p * before, from, 1, u + p * all, from * 2 * W, 2 * W, m + p * after, to, from);
    for (int64_t t = 0; t < count; ++t) gather_tile(s, m + t * to, after, to, start + t, bias, results);
  }
}

// The gradient of weights [outputs, inputs, 3, 3] from images [n, height, width, inputs] and the results' gradient.
void distillset_convolve_weights(const float* images, const float* results, float* weights, int64_t n, int64_t height,
                                 int64_t width, int64_t outputs, int64_t inputs, int threads) {
  const Shape s(n, height, width);
  const int64_t left = DEEP * inputs + APART, right = DEEP * outputs + APART;
  const int64_t all = inputs * outputs + APART;
  float *v = room(first, P * left), *y = room(second, P * right), *u = room(third, P * all);
  std::fill_n(u, P * all, 0.f);
#pragma omp parallel num_threads(threads)
  for (int64_t start = 0; start < s.tiles; start += DEEP) {
    const int64_t count = std::min<int64_t>(DEEP, s.tiles - start);
#pragma omp for schedule(static)
    for (int64_t t = 0; t < count; ++t) {
      spread_tile(s, images, inputs, start + t, v + t * inputs, left);
      back_tile(s, results, outputs, start + t, y + t * 2 * W, right, DEEP * 2 * W);
    }
#pragma omp for schedule(static)
    for (int64_t p = 0; p < P; ++p)
      product<true>(inputs, v + p * left, 1, inputs, y + p * right, DEEP * 2 * W, 2 * W, u + p * all, outputs, count);
  }
  restore_weights(u, outputs, inputs, weights, threads);
}
}
