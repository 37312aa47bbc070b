// Uniform random numbers: Philox4x32-10 of Salmon, Moraes, Dror and Shaw (SC 2011), the words of distillset/keys.
#include <cstdint>

namespace {

constexpr uint32_t M0 = 0xD2511F53, M1 = 0xCD9E8D57, STEP0 = 0x9E3779B9, STEP1 = 0xBB67AE85;
constexpr int ROUNDS = 10;
constexpr int64_t LANES = 16;  // counters that go through the rounds side by side, as the processor's vectors do

// The output of counters (first .. first + LANES - 1, 0, 0, 0): four words of each, [4][LANES].
inline void philox(uint32_t k0, uint32_t k1, uint32_t first, uint32_t (*words)[LANES]) {
  uint32_t c0[LANES], c1[LANES] = {}, c2[LANES] = {}, c3[LANES] = {};
  for (int64_t i = 0; i < LANES; ++i) c0[i] = first + static_cast<uint32_t>(i);
  for (int round = 0; round < ROUNDS; ++round, k0 += STEP0, k1 += STEP1) {
#pragma omp simd
    for (int64_t i = 0; i < LANES; ++i) {
      const uint64_t even = static_cast<uint64_t>(c0[i]) * M0, odd = static_cast<uint64_t>(c2[i]) * M1;
      c0[i] = static_cast<uint32_t>(odd >> 32) ^ c1[i] ^ k0;
      c2[i] = static_cast<uint32_t>(even >> 32) ^ c3[i] ^ k1;
      c1[i] = static_cast<uint32_t>(odd);
      c3[i] = static_cast<uint32_t>(even);
    }
  }
  for (int64_t i = 0; i < LANES; ++i) words[0][i] = c0[i], words[1][i] = c1[i], words[2][i] = c2[i], words[3][i] = c3[i];
}

}  // namespace

// Of every stream, two words each, `count` numbers in [0, 1): the upper 24 bits of a word.
extern "C" void distillset_uniform(const int64_t* streams, float* results, int64_t n, int64_t count, int threads) {
  const int64_t groups = (count + 4 * LANES - 1) / (4 * LANES);
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t at = 0; at < n * groups; ++at) {
    const int64_t stream = at / groups, first = at % groups * LANES;
    uint32_t words[4][LANES];
    philox(static_cast<uint32_t>(streams[2 * stream]), static_cast<uint32_t>(streams[2 * stream + 1]),
           static_cast<uint32_t>(first), words);
    const int64_t most = count - 4 * first < 4 * LANES ? count - 4 * first : 4 * LANES;
    float* to = results + stream * count + 4 * first;
    for (int64_t i = 0; i < most; ++i) to[i] = static_cast<float>(words[i % 4][i / 4] >> 8) * 0x1p-24f;
  }
}
