// Instance norm, ReLU and average pooling of 2x2 (or none) of images [n, height, width, channels] in float or bfloat16,
// channels a multiple of 32, both sides even where there is pooling; see normed.h. Sums are in float, in an order that
// does not depend on the number of threads.
#include "normed.h"

namespace {

// A batch of images, and the strips it falls into.
struct Batch {
  int64_t n, height, width, channels;
  Size size() const { return {height, width}; }
  template <class T>
  Plane<T> plane(T* images, int64_t image, int64_t channel, int64_t pixels) const {
    return {images + image * pixels * channels + channel, channels};
  }
  Stats stats(float* both, int64_t image, int64_t channel) const {
    return {both + image * channels + channel, both + (n + image) * channels + channel};
  }
  template <class Work>
  void each(int threads, const Work& work) const {
    const int64_t strips = channels / STRIP;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t task = 0; task < n * strips; ++task) work(task / strips, task % strips * STRIP);
  }
};

template <class T, int POOL>
void run(int what, const Batch& b, const void* const* in, void* const* out, float eps, int threads) {
  const int64_t pixels = b.size().pixels(), fewer = pixels / (POOL * POOL);
  const auto given = [&](int i, int64_t image, int64_t channel, int64_t count) {
    return b.plane(static_cast<const T*>(in[i]), image, channel, count);
  };
  const auto made = [&](int i, int64_t image, int64_t channel, int64_t count) {
    return b.plane(static_cast<T*>(out[i]), image, channel, count);
  };
  const auto row = [&](int i, int64_t channel) { return static_cast<const float*>(in[i]) + channel; };
  const auto stats = [&](const void* both, int64_t image, int64_t channel) {
    return b.stats(static_cast<float*>(const_cast<void*>(both)), image, channel);
  };
  std::vector<float> scales, shifts;
  if (what == 0)
    b.each(threads, [&](int64_t i, int64_t c) {
      const Stats found = stats(out[1], i, c);
      measure(b.size(), given(0, i, c, pixels), eps, found);
      pooled<POOL>(b.size(), given(0, i, c, pixels), Norm(found, row(1, c), row(2, c)), made(0, i, c, fewer));
    });
  if (what == 1) {
    scales.resize(b.n * b.channels), shifts.resize(b.n * b.channels);
    b.each(threads, [&](int64_t i, int64_t c) {
      const Norm norm(stats(in[2], i, c), row(3, c), row(4, c));
      const int64_t place = i * b.channels + c;
      backward<POOL>(b.size(), given(1, i, c, pixels), given(0, i, c, fewer), norm, made(0, i, c, pixels),
                     scales.data() + place, shifts.data() + place);
    });
    collect(b.n, b.channels, scales.data(), static_cast<float*>(out[1]));
    collect(b.n, b.channels, shifts.data(), static_cast<float*>(out[2]));
  }
  if (what == 2) {
    scales.resize(b.n * b.channels);
    b.each(threads, [&](int64_t i, int64_t c) {
      const Norm norm(stats(in[5], i, c), row(6, c), row(7, c));
      second<POOL>(b.size(), given(0, i, c, pixels), row(1, c), row(2, c), given(3, i, c, fewer),
                   given(4, i, c, pixels), norm, made(0, i, c, fewer), made(1, i, c, pixels),
                   scales.data() + i * b.channels + c);
    });
    collect(b.n, b.channels, scales.data(), static_cast<float*>(out[2]));
  }
}

}  // namespace

// What goes in and comes out, in order:
// 0: images, scale, shift; results, means and inverse deviations [2, n, channels]
// 1: results' gradient, images, means and inverses, scale, shift; the gradients of images, scale and shift
// 2: cotangents of the three gradients, then as 1; the gradients of the results' gradient, images and scale
extern "C" void distillset_normed(int what, int is_bf16, int pool, int64_t n, int64_t height, int64_t width,
                                  int64_t channels, const void* const* in, void* const* out, float eps, int threads) {
  const Batch batch{n, height, width, channels};
  if (is_bf16 && pool == 2) run<bf16, 2>(what, batch, in, out, eps, threads);
  else if (is_bf16) run<bf16, 1>(what, batch, in, out, eps, threads);
  else if (pool == 2) run<float, 2>(what, batch, in, out, eps, threads);
  else run<float, 1>(what, batch, in, out, eps, threads);
}
