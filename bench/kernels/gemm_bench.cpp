// Speed of gemm beside what the machine's multiply-add units give in the same second.
//   bench_gemm [rounds]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <new>
#include <string>
#include <vector>

#include "kernels/gemm/gemm.h"
#include "kernels/gemm/gemm_kernels.h"
#include "kernels/isa.h"

namespace linnet {
namespace {

// Processor time of this process, so that a busy machine disturbs little.
double now() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }
double seconds_since(double start) { return std::max(now() - start, 1e-6); }

float* allocate(size_t bytes) {
  float* data = static_cast<float*>(::operator new(bytes + 64, std::align_val_t{64}));
  for (size_t i = 0; i < bytes / sizeof(float); ++i) data[i] = static_cast<float>(i % 17) * 0.01f;
  return data;
}

// GF/s of one tile whose operands stay in the first cache: the probe.
double probe() {
  static float* const a = allocate(12 * 128 * 4);
  static float* const b = allocate(4 * 128 * 64);
  static float* const c = allocate(12 * 64 * 4);
  const GemmKernels kernels = gemm_kernels();
  GemmBlock t;
  t.rows = kernels.row_tile, t.columns = 2 * kPanelWidth, t.k = 128;
  t.a = a, t.lda = 128, t.b = b, t.panel_stride = 128 * kPanelWidth, t.k_stride = kPanelWidth;
  t.c = c, t.ldc = 32;
  double best = 0;
  for (int round = 0; round < 5; ++round) {
    const auto start = now();
    for (int i = 0; i < 300; ++i) kernels.block(t);
    best = std::max(best, 300.0 * 2.0 * static_cast<double>(t.rows * t.columns * t.k) / seconds_since(start) * 1e-9);
  }
  return best;
}

void measure(size_t m, size_t n, size_t k, bool cold, BForm form, int rounds) {
  const size_t copies = cold ? std::max<size_t>(2, (size_t{160} << 20) / (n * k * 4)) : 1;
  const size_t bytes = packed_b_size(k, n, form);
  std::vector<float*> bs;
  for (size_t i = 0; i < copies; ++i) bs.push_back(allocate(bytes));
  GemmArgs g;
  g.m = m, g.n = n, g.k = k;
  g.a = allocate(m * k * 4), g.lda = k;
  g.b_form = form, g.ldb = form == BForm::columns ? k : n;
  g.c = allocate(m * n * 4), g.ldc = n;
  g.scratch = allocate(gemm_scratch_size(g, 1));
  const Parallel parallel;
  const double flops = 2.0 * static_cast<double>(m * n) * static_cast<double>(k);
  double best_share = 0, best_rate = 0;
  std::vector<double> shares;
  for (int round = 0; round < rounds; ++round) {
    const double peak = probe();
    const int repeats = std::max(cold ? static_cast<int>(copies) : 3, static_cast<int>(4e8 / flops));
    const auto start = now();
    for (int i = 0; i < repeats; ++i) {
      g.b = bs[static_cast<size_t>(i) % copies];
      gemm(g, parallel);
    }
    const double rate = flops * repeats / seconds_since(start) * 1e-9;
    shares.push_back(rate / peak);
    best_share = std::max(best_share, rate / peak);
    best_rate = std::max(best_rate, rate);
  }
  std::sort(shares.begin(), shares.end());
  static const char* const names[] = {"packed", "f16", "bf16", "rows", "columns"};
  std::printf("%5zu x %5zu x %5zu %-7s %-4s %7.1f GF/s  %5.1f %% of the probe (median %5.1f)  %6.1f GB/s of B\n", m, n,
              k, names[static_cast<int>(form)], cold ? "cold" : "hot", best_rate, 100 * best_share,
              100 * shares[shares.size() / 2], best_rate / flops * static_cast<double>(n * k * b_element(form)));
  for (float* b : bs) ::operator delete(b, std::align_val_t{64});
  ::operator delete(const_cast<float*>(g.a), std::align_val_t{64});
  ::operator delete(g.c, std::align_val_t{64});
  ::operator delete(g.scratch, std::align_val_t{64});
}

// Every tile on data in the first cache.
void measure_tiles(int rounds) {
  const GemmKernels kernels = gemm_kernels();
  const size_t k = 96;
  float* const a = allocate(16 * k * 4);
  float* const b = allocate(8 * k * 64);
  float* const c = allocate(16 * 128 * 4);
  for (size_t rows = 1; rows <= kernels.row_tile; ++rows) {
    GemmBlock t;
    t.rows = rows, t.columns = 4 * kPanelWidth, t.k = k;
    t.a = a, t.lda = k, t.b = b, t.panel_stride = k * kPanelWidth, t.k_stride = kPanelWidth;
    t.c = c, t.ldc = 128;
    double best = 0;
    for (int round = 0; round < rounds * 10; ++round) {
      const auto start = now();
      for (int i = 0; i < 200; ++i) kernels.block(t);
      best = std::max(best, 200.0 * 2.0 * static_cast<double>(rows * t.columns * k) / seconds_since(start) * 1e-9);
    }
    std::printf("%2zu rows in L1: %6.1f GF/s\n", rows, best);
  }
}

}  // namespace
}  // namespace linnet

int main(int argc, char** argv) {
  using namespace linnet;
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 5;
  std::printf("%s, one thread\n", std::string(isa_name(current_isa())).c_str());
  measure_tiles(rounds);
  for (size_t m : {1, 2, 3, 4, 7, 8, 13, 32, 128, 384}) measure(m, 1536, 384, false, BForm::packed, rounds);
  for (size_t m : {1, 2, 4, 8, 32, 128}) measure(m, 768, 3072, false, BForm::packed, rounds);
  for (size_t m : {1, 4, 8, 32}) measure(m, 3072, 768, true, BForm::packed, rounds);
  for (size_t m : {1, 4, 8, 32, 128}) measure(m, 3072, 768, m < 32, BForm::packed_f16, rounds);
  for (size_t m : {1, 8}) measure(m, 3072, 768, true, BForm::packed_bf16, rounds);
  measure(3136, 64, 64, false, BForm::packed, rounds);
  measure(3136, 24, 96, false, BForm::packed, rounds);
  measure(128, 1024, 1024, false, BForm::packed, rounds);
  for (BForm form : {BForm::rows, BForm::columns})
    for (size_t m : {1, 8, 128}) measure(m, 128, 64, false, form, rounds);
  measure(1, 1024, 1024, false, BForm::rows, rounds);
  measure(1, 1024, 1024, false, BForm::columns, rounds);
  measure(512, 1, 1024, false, BForm::packed, rounds);
}
