// 3x3 convolutions of images with few channels, and their gradients. Images and results are [n, height, width,
// channels], the results' channels a multiple of 32. Every number is summed in an order that does not depend on the
// number of threads.
#include "narrow.h"

namespace {

thread_local std::vector<float> first, second, third;

}  // namespace

extern "C" {

void distillset_narrow(const float* images, const float* weights, const float* bias, float* results, int64_t n,
                       int64_t height, int64_t width, int64_t outputs, int64_t inputs, int64_t border, int threads) {
  const Narrow s{n, height, width, outputs, inputs, border};
  const int64_t depth = s.depth(), across = s.across();
  float* u = room(third, depth * outputs);
  by_results(s, weights, bias, u);
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t row = 0; row < n * s.down(); ++row) {
    float* seen = room(first, across * depth);
    patches(s, images + row / s.down() * s.numbers(), row % s.down(), seen);
    product<false>(across, seen, depth, 1, u, depth * 2 * W, 2 * W, results + row * across * outputs, outputs, depth);
  }
}

// The gradient of the images from that of the results.
void distillset_narrow_images(const float* results, const float* weights, float* images, int64_t n, int64_t height,
                              int64_t width, int64_t outputs, int64_t inputs, int64_t border, int threads) {
  const Narrow s{n, height, width, outputs, inputs, border};
  float* u = room(third, outputs * s.wide());
  by_places(s, weights, u);
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t image = 0; image < n; ++image) {
    float *to = images + image * s.numbers(), *spread = room(first, s.across() * s.wide());
    std::fill_n(to, s.numbers(), 0.f);
    for (int64_t y = 0; y < s.down(); ++y) {
      const float* row = results + (image * s.down() + y) * s.across() * outputs;
      product<false>(s.across(), row, outputs, 1, u, outputs * 2 * W, 2 * W, spread, s.wide(), outputs);
      gathered(s, spread, y, to);
    }
  }
}

// The gradients of weights [outputs, inputs, 3, 3] and bias [outputs] from the images and the results' gradient.
void distillset_narrow_weights(const float* images, const float* results, float* weights, float* bias, int64_t n,
                               int64_t height, int64_t width, int64_t outputs, int64_t inputs, int64_t border,
                               int threads) {
  const Narrow s{n, height, width, outputs, inputs, border};
  const int64_t depth = s.depth(), across = s.across(), parts = std::min(PARTS, n);
  float* sums = room(second, parts * depth * outputs);
  std::fill_n(sums, parts * depth * outputs, 0.f);
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t part = 0; part < parts; ++part) {
    float* seen = room(first, across * depth);
    for (int64_t image = part * n / parts; image < (part + 1) * n / parts; ++image)
      for (int64_t y = 0; y < s.down(); ++y) {
        patches(s, images + image * s.numbers(), y, seen);
        product<true>(depth, seen, 1, depth, results + (image * s.down() + y) * across * outputs, 2 * W, outputs,
                      sums + part * depth * outputs, outputs, across);
      }
  }
  restored(s, parts, sums, weights, bias);
}
}
