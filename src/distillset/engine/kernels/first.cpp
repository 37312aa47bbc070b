// A network's first block as one operation: a 3x3 convolution of images with few channels (narrow.h), instance norm,
// ReLU and average pooling (normed.h). The convolution's results, by far the largest of a network's, are made a strip
// of an image at a time, stay in the cache, and are made again where gradients are taken. Images, weights and sums are
// in float, results and their gradients in float or bfloat16. Every number is summed in an order that does not depend
// on the number of threads.
#include "narrow.h"
#include "normed.h"

namespace {

thread_local std::vector<float> all_patches, strip, slope, spread, taps, turned, sums, scales, shifts;

struct Block {
  Narrow s;
  const float *images, *weights, *bias, *scale, *shift;
  float* stats;
  int threads;

  Size size() const { return {s.down(), s.across()}; }
  int64_t strips() const { return s.outputs / STRIP; }
  Stats stat(int64_t image, int64_t channel) const {
    return {stats + image * s.outputs + channel, stats + (s.n + image) * s.outputs + channel};
  }
  const float* prepared() const {
    float* u = room(taps, s.depth() * s.outputs);
    by_results(s, weights, bias, u);
    return u;
  }
  const float* seen(int64_t image) const {
    float* out = room(all_patches, s.pixels() * s.depth());
    for (int64_t y = 0; y < s.down(); ++y)
      patches(s, images + image * s.numbers(), y, out + y * s.across() * s.depth());
    return out;
  }
  // The convolution's results in a strip of channels.
  Plane<const float> convolved(const float* patches, const float* u, int64_t channel) const {
    float* out = room(strip, s.pixels() * STRIP);
    product<false>(s.pixels(), patches, s.depth(), 1, u + channel * s.depth(), 0, STRIP, out, STRIP, s.depth());
    return {out, STRIP};
  }
};

template <class T, int POOL>
void forward(const Block& b, float eps, T* results) {
  const float* u = b.prepared();
  const int64_t groups = b.s.n < b.threads ? b.strips() : 1, each = b.strips() / groups;
  const int64_t fewer = b.s.pixels() / (POOL * POOL);
#pragma omp parallel for schedule(static) num_threads(b.threads)
  for (int64_t task = 0; task < b.s.n * groups; ++task) {
    const int64_t image = task / groups;
    const float* seen = b.seen(image);
    for (int64_t c = task % groups * each * STRIP, end = c + each * STRIP; c < end; c += STRIP) {
      const Plane<const float> x = b.convolved(seen, u, c);
      const Stats found = b.stat(image, c);
      measure(b.size(), x, eps, found);
      const Plane<T> y(results + image * fewer * b.s.outputs + c, b.s.outputs);
      pooled<POOL>(b.size(), x, Norm(found, b.scale + c, b.shift + c), y);
    }
  }
}

// The gradient of the convolution's results in a strip, from that of the block's.
template <class T, int POOL>
float* slopes_of(const Block& b, const float* seen, const float* u, int64_t image, int64_t c, const T* slopes,
                 float* by_scale, float* by_shift) {
  const int64_t fewer = b.s.pixels() / (POOL * POOL);
  const Plane<const T> g(slopes + image * fewer * b.s.outputs + c, b.s.outputs);
  float* out = room(slope, b.s.pixels() * STRIP);
  backward<POOL>(b.size(), b.convolved(seen, u, c), g, Norm(b.stat(image, c), b.scale + c, b.shift + c),
                 Plane<float>(out, STRIP), by_scale, by_shift);
  return out;
}

template <class T, int POOL>
void by_weights(const Block& b, const T* slopes, float* weights, float* bias, float* scale, float* shift) {
  const float* u = b.prepared();
  const int64_t depth = b.s.depth(), outputs = b.s.outputs, parts = std::min(PARTS, b.s.n);
  const int64_t groups = parts < b.threads ? b.strips() : 1, each = b.strips() / groups;
  float *total = room(sums, parts * depth * outputs), *by_scale = room(scales, b.s.n * outputs);
  float* by_shift = room(shifts, b.s.n * outputs);
  std::fill_n(total, parts * depth * outputs, 0.f);
#pragma omp parallel for schedule(static) num_threads(b.threads)
  for (int64_t task = 0; task < parts * groups; ++task) {
    const int64_t part = task / groups;
    for (int64_t image = part * b.s.n / parts; image < (part + 1) * b.s.n / parts; ++image) {
      const float* seen = b.seen(image);
      for (int64_t c = task % groups * each * STRIP, end = c + each * STRIP; c < end; c += STRIP) {
        const int64_t place = image * outputs + c;
        const float* d = slopes_of<T, POOL>(b, seen, u, image, c, slopes, by_scale + place, by_shift + place);
        product<true>(depth, seen, 1, depth, d, 0, STRIP, total + (part * b.strips() + c / STRIP) * depth * STRIP,
                      STRIP, b.s.pixels());
      }
    }
  }
  // From strips to rows of all channels.
  std::vector<float> rows(parts * depth * outputs);
  for (int64_t part = 0; part < parts; ++part)
    for (int64_t o = 0; o < outputs; ++o)
      for (int64_t k = 0; k < depth; ++k)
        rows[(part * depth + k) * outputs + o] =
            total[((part * b.strips() + o / STRIP) * depth + k) * STRIP + o % STRIP];
  restored(b.s, parts, rows.data(), weights, bias);
  collect(b.s.n, outputs, by_scale, scale);
  collect(b.s.n, outputs, by_shift, shift);
}

template <class T, int POOL>
void by_images(const Block& b, const T* slopes, float* images) {
  const Narrow& s = b.s;
  const float* u = b.prepared();
  float* places = room(turned, s.outputs * s.wide());
  by_places(s, b.weights, places);
#pragma omp parallel for schedule(static) num_threads(b.threads)
  for (int64_t image = 0; image < s.n; ++image) {
    const float* seen = b.seen(image);
    float *out = room(spread, s.pixels() * s.wide()), *to = images + image * s.numbers(), unused[2][STRIP];
    std::fill_n(out, s.pixels() * s.wide(), 0.f);
    std::fill_n(to, s.numbers(), 0.f);
    for (int64_t c = 0; c < s.outputs; c += STRIP) {
      const float* d = slopes_of<T, POOL>(b, seen, u, image, c, slopes, unused[0], unused[1]);
      product<true>(s.pixels(), d, STRIP, 1, places + c * STRIP, s.outputs * STRIP, STRIP, out, s.wide(), STRIP);
    }
    for (int64_t y = 0; y < s.down(); ++y) gathered(s, out + y * s.across() * s.wide(), y, to);
  }
}

template <class T, int POOL>
void run(int what, const Block& b, float eps, void* both, void* const* out) {
  const auto to = [&](int i) { return static_cast<float*>(out[i]); };
  if (what == 0) forward<T, POOL>(b, eps, static_cast<T*>(both));
  if (what == 1) by_weights<T, POOL>(b, static_cast<const T*>(both), to(0), to(1), to(2), to(3));
  if (what == 2) by_images<T, POOL>(b, static_cast<const T*>(both), to(0));
}

}  // namespace

// `in`: images, weights, bias or null, scale, shift. `stats`, means and inverse deviations [2, n, outputs], and
// `results` are made by 0; 1 takes the results' gradient in their place and gives those of weights, bias, scale and
// shift, 2 that of the images.
extern "C" void distillset_first(int what, int is_bf16, int pool, int64_t n, int64_t height, int64_t width,
                                 int64_t outputs, int64_t inputs, int64_t border, const float* const* in, float* stats,
                                 void* results, void* const* out, float eps, int threads) {
  const Block b{{n, height, width, outputs, inputs, border}, in[0], in[1], in[2], in[3], in[4], stats, threads};
  if (is_bf16 && pool == 2) run<bf16, 2>(what, b, eps, results, out);
  else if (is_bf16) run<bf16, 1>(what, b, eps, results, out);
  else if (pool == 2) run<float, 2>(what, b, eps, results, out);
  else run<float, 1>(what, b, eps, results, out);
}
