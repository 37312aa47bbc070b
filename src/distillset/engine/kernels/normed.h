// Instance norm, ReLU and average pooling of a strip of 2 W channels of one image, with first and second derivatives.
//
// With x' = (x - mean) / sd over the N pixels of a channel, z = scale x' + shift and y = pool(max(z, 0)): let m be the
// gradient of z, that is the gradient of y spread over its window where z > 0. Then the gradient of x is
// scale / sd (m - mean(m) - x' mean(m x')). All second derivatives follow from five sums over the pixels.
#pragma once
#include <algorithm>
#include <cmath>

#include "vectors.h"

constexpr int64_t STRIP = 2 * W;

// Numbers of a strip of an image: `at` is its first pixel, pixels are `apart` numbers apart.
template <class T>
struct Plane {
  T* at;
  int64_t apart;
  Plane(T* at, int64_t apart) : at(at), apart(apart) {}
};

struct Size {
  int64_t height, width;
  int64_t pixels() const { return height * width; }
};

// What a channel's numbers were normalised with: means, and the inverses of the deviations.
struct Stats {
  float *means, *inverses;
};

struct Norm {
  vec mean[2], inverse[2], steep[2], shift[2];  // z = (x - mean) * steep + shift

  Norm(const Stats& stats, const float* scale, const float* shifts) {
    for (int v = 0; v < 2; ++v) {
      mean[v] = load(stats.means + v * W);
      inverse[v] = load(stats.inverses + v * W);
      steep[v] = inverse[v] * load(scale + v * W);
      shift[v] = load(shifts + v * W);
    }
  }
};

// Visits each window: `visit(pixel of y, first pixel of x)`.
template <int POOL, class Visit>
static inline void windows(const Size& s, const Visit& visit) {
  for (int64_t y = 0; y < s.height / POOL; ++y)
    for (int64_t x = 0; x < s.width / POOL; ++x) visit(y * (s.width / POOL) + x, y * POOL * s.width + x * POOL);
}

template <class T>
static void measure(const Size& s, Plane<const T> x, float eps, const Stats& stats) {
  const float pixels = float(s.pixels());
  vec base[2], sum[2] = {}, squares[2] = {};  // of the distance to the first pixel, so that nothing cancels
  for (int v = 0; v < 2; ++v) base[v] = load(x.at + v * W);
  const T* at = x.at;
  for (int64_t row = 0; row < s.height; ++row) {  // row by row, so that few numbers are added to a large sum
    vec part[2] = {}, square[2] = {};
    for (int64_t p = 0; p < s.width; ++p, at += x.apart)
      for (int v = 0; v < 2; ++v) {
        const vec off = load(at + v * W) - base[v];
        part[v] += off;
        square[v] += off * off;
      }
    for (int v = 0; v < 2; ++v) {
      sum[v] += part[v];
      squares[v] += square[v];
    }
  }
  for (int v = 0; v < 2; ++v) {
    const vec mean = sum[v] / pixels, variance = squares[v] / pixels - mean * mean;
    vec inverse;
    for (int l = 0; l < W; ++l) inverse[l] = 1 / std::sqrt((variance[l] < 0 ? 0 : variance[l]) + eps);
    store(stats.means + v * W, base[v] + mean);
    store(stats.inverses + v * W, inverse);
  }
}

template <int POOL, class X, class Y>
static void pooled(const Size& s, Plane<const X> x, const Norm& norm, Plane<Y> y) {
  windows<POOL>(s, [&](int64_t out, int64_t in) {
    for (int v = 0; v < 2; ++v) {
      vec total{};
      for (int i = 0; i < POOL; ++i)
        for (int j = 0; j < POOL; ++j) {
          const vec z = (load(x.at + (in + i * s.width + j) * x.apart + v * W) - norm.mean[v]) * norm.steep[v] + norm.shift[v];
          total += where(!(z <= 0), z);
        }
      store(y.at + out * y.apart + v * W, total / float(POOL * POOL));
    }
  });
}

// Calls `visit(pixel, vector, x - mean, m)` for each pixel, window by window.
template <int POOL, class X, class G, class Visit>
static inline void slopes(const Size& s, Plane<const X> x, Plane<const G> g, const Norm& norm, const Visit& visit) {
  windows<POOL>(s, [&](int64_t out, int64_t in) {
    for (int v = 0; v < 2; ++v) {
      const vec slope = load(g.at + out * g.apart + v * W) / float(POOL * POOL);
      for (int i = 0; i < POOL; ++i)
        for (int j = 0; j < POOL; ++j) {
          const int64_t pixel = in + i * s.width + j;
          const vec off = load(x.at + pixel * x.apart + v * W) - norm.mean[v];
          visit(pixel, v, off, where(off * norm.steep[v] + norm.shift[v] > 0, slope));
        }
    }
  });
}

// The gradient of x, and those of scale and shift from this image.
template <int POOL, class X, class G, class D>
static void backward(const Size& s, Plane<const X> x, Plane<const G> g, const Norm& norm, Plane<D> by_x,
                     float* by_scale, float* by_shift) {
  const float pixels = float(s.pixels());
  vec sum[2] = {}, along[2] = {}, mean[2], turn[2];
  slopes<POOL>(s, x, g, norm, [&](int64_t, int v, vec off, vec m) {
    sum[v] += m;
    along[v] += m * off;
  });
  for (int v = 0; v < 2; ++v) {
    along[v] *= norm.inverse[v];
    store(by_scale + v * W, along[v]);
    store(by_shift + v * W, sum[v]);
    mean[v] = sum[v] / pixels;
    turn[v] = along[v] * norm.inverse[v] / pixels;
  }
  slopes<POOL>(s, x, g, norm, [&](int64_t pixel, int v, vec off, vec m) {
    store(by_x.at + pixel * by_x.apart + v * W, norm.steep[v] * (m - mean[v] - off * turn[v]));
  });
}

// The gradients of <u, by_x> + <u_scale, by_scale> + <u_shift, by_shift> in g, x and scale.
template <int POOL, class T>
static void second(const Size& s, Plane<const T> u, const float* u_scale, const float* u_shift, Plane<const T> g,
                   Plane<const T> x, const Norm& norm, Plane<T> by_g, Plane<T> by_x, float* by_scale) {
  const float pixels = float(s.pixels());
  vec sm[2] = {}, smx[2] = {}, su[2] = {}, sux[2] = {}, sum[2] = {};
  slopes<POOL>(s, x, g, norm, [&](int64_t pixel, int v, vec off, vec m) {
    const vec along = load(u.at + pixel * u.apart + v * W);
    sm[v] += m;
    smx[v] += m * off;
    su[v] += along;
    sux[v] += along * off;
    sum[v] += along * m;
  });
  // The gradient of x is a off + b m + c u + e, that of m is steep u + q off + r.
  vec a[2], b[2], c[2], e[2], q[2], r[2];
  for (int v = 0; v < 2; ++v) {
    const vec inverse = norm.inverse[v], steep = norm.steep[v];
    const vec mm = sm[v] / pixels, mx = smx[v] * inverse / pixels, um = su[v] / pixels, ux = sux[v] * inverse / pixels;
    const vec both = sum[v] / pixels - um * mm, by = load(u_scale + v * W), k = -inverse * steep;
    a[v] = (k * (both - 3 * mx * ux) - by * inverse * mx) * inverse;
    b[v] = k * ux + by * inverse;
    c[v] = k * mx;
    e[v] = -(k * (ux * mm + mx * um) + by * inverse * mm);
    q[v] = (by - steep * ux) * inverse;
    r[v] = load(u_shift + v * W) - steep * um;
    store(by_scale + v * W, inverse * pixels * (both - ux * mx));
  }
  windows<POOL>(s, [&](int64_t out, int64_t in) {
    for (int v = 0; v < 2; ++v) {
      const vec slope = load(g.at + out * g.apart + v * W) / float(POOL * POOL);
      vec total{};
      for (int i = 0; i < POOL; ++i)
        for (int j = 0; j < POOL; ++j) {
          const int64_t pixel = in + i * s.width + j;
          const vec off = load(x.at + pixel * x.apart + v * W) - norm.mean[v], along = load(u.at + pixel * u.apart + v * W);
          const ints open = off * norm.steep[v] + norm.shift[v] > 0;
          store(by_x.at + pixel * by_x.apart + v * W, a[v] * off + b[v] * where(open, slope) + c[v] * along + e[v]);
          total += where(open, norm.steep[v] * along + q[v] * off + r[v]);
        }
      store(by_g.at + out * by_g.apart + v * W, total / float(POOL * POOL));
    }
  });
}

// Sums [channels] of numbers [n, channels].
static inline void collect(int64_t n, int64_t channels, const float* each, float* sums) {
  std::fill_n(sums, channels, 0.f);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t c = 0; c < channels; ++c) sums[c] += each[i * channels + c];
}
