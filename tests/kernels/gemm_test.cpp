// gemm at every instruction set of this machine, against sums in double precision.
#include "kernels/gemm/gemm.h"

#include <cmath>
#include <limits>
#include <memory>
#include <new>
#include <vector>

#include <gtest/gtest.h>

#include "base/half.h"
#include "kernels/isa.h"
#include "noise.h"
#include "split_parallel.h"

namespace linnet {
namespace {

using Floats = std::vector<float>;

struct Aligned {
  explicit Aligned(size_t bytes) : data(static_cast<float*>(::operator new(bytes + 64, std::align_val_t{64}))) {
    std::fill_n(data, bytes / sizeof(float), std::numeric_limits<float>::quiet_NaN());
  }
  ~Aligned() { ::operator delete(data, std::align_val_t{64}); }
  Aligned(const Aligned&) = delete;
  Aligned& operator=(const Aligned&) = delete;
  float* data;
};

constexpr float kUntouched = 12345.0f;

// Owns the operands of one product.
struct Problem {
  size_t m, n, k;
  BForm form = BForm::packed;
  bool a_transposed = false;
  size_t padding = 3;  // of every row
  float alpha = 1.0f;
  bool with_bias = false;
  bool with_addend = false;
  bool in_place = false;
  float beta = 1.0f;
  ActivationSpec activation{};

  Floats a{}, b{}, bias{}, addend{};
  size_t lda = 0, ldb = 0, ld_addend = 0, ldc = 0;

  void fill() {
    lda = (a_transposed ? m : k) + padding;
    ldb = (form == BForm::columns ? k : n) + padding;
    ldc = n + padding;
    ld_addend = in_place ? ldc : n + 1;
    a = noise((a_transposed ? k : m) * lda + 1, 1);
    b = noise((form == BForm::columns ? n : k) * ldb + 1, 2);
    for (float& v : b) v = form == BForm::packed_f16 ? float(f16(v)) : form == BForm::packed_bf16 ? float(bf16(v)) : v;
    bias = noise(n, 3);
    addend = noise(m * ld_addend + 1, 4);
  }
  float a_at(size_t i, size_t x) const { return a_transposed ? a[x * lda + i] : a[i * lda + x]; }
  float b_at(size_t x, size_t j) const { return form == BForm::columns ? b[j * ldb + x] : b[x * ldb + j]; }

  // m x n with rows ldc apart.
  Floats product(const Parallel& parallel) const {
    GemmArgs g;
    g.m = m, g.n = n, g.k = k;
    g.a = a.data(), g.lda = lda, g.a_transposed = a_transposed;
    Aligned packed(packed_b_size(k, n));
    if (form == BForm::packed_f16 || form == BForm::packed_bf16) {
      std::vector<uint16_t> halves(b.size());
      for (size_t i = 0; i < b.size(); ++i) halves[i] = form == BForm::packed_f16 ? f16(b[i]).bits : bf16(b[i]).bits;
      pack_b_halves(halves.data(), k, n, ldb, false, reinterpret_cast<uint16_t*>(packed.data), parallel);
      g.b = packed.data;
    } else if (form == BForm::packed) {
      pack_b(b.data(), k, n, ldb, false, packed.data, parallel);
      g.b = packed.data;
    } else {
      g.b = b.data(), g.ldb = ldb;
    }
    g.b_form = form;
    g.alpha = alpha, g.beta = beta;
    g.bias = with_bias ? bias.data() : nullptr;
    Floats c(m * ldc + 1, kUntouched);
    if (in_place)
      for (size_t i = 0; i < m; ++i) std::copy_n(addend.data() + i * ld_addend, n, c.data() + i * ldc);
    g.addend = !with_addend ? nullptr : in_place ? c.data() : addend.data();
    g.ld_addend = ld_addend;
    g.activation = activation;
    g.c = c.data(), g.ldc = ldc;
    Aligned scratch(gemm_scratch_size(g, parallel.threads()));
    g.scratch = scratch.data;
    gemm(g, parallel);
    return c;
  }

  void expect_near(const Floats& c) const {
    const double epsilon = std::numeric_limits<float>::epsilon();
    for (size_t i = 0; i < m; ++i) {
      for (size_t j = 0; j < n; ++j) {
        double sum = 0, magnitude = 0;
        for (size_t x = 0; x < k; ++x) {
          const double term = static_cast<double>(a_at(i, x)) * b_at(x, j);
          sum += term;
          magnitude += std::abs(term);
        }
        double value = alpha * sum;
        if (with_bias) value += bias[j];
        if (with_addend) value += static_cast<double>(beta) * addend[i * ld_addend + j];
        const double tolerance =
            epsilon * (4.0 + std::sqrt(static_cast<double>(k))) * (1.0 + std::abs(alpha) * magnitude);
        const double expected = activate_reference(activation, static_cast<float>(value));
        ASSERT_NEAR(c[i * ldc + j], expected, tolerance * 1.2) << "row " << i << " column " << j << " of " << m << "x"
                                                               << n << "x" << k << " form " << static_cast<int>(form);
      }
      for (size_t j = n; j < ldc; ++j) ASSERT_EQ(c[i * ldc + j], kUntouched) << "written beyond row " << i;
    }
    ASSERT_EQ(c[m * ldc], kUntouched);
  }

  bool rows_alike(const Floats& x, const Floats& y, size_t rows) const {
    for (size_t i = 0; i < rows; ++i)
      for (size_t j = 0; j < n; ++j)
        if (x[i * ldc + j] != y[i * ldc + j]) return false;
    return true;
  }
};

class GemmTest : public ::testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    if (GetParam() > best_isa()) GTEST_SKIP() << "not on this machine";
    set_isa(GetParam());
  }
  void TearDown() override { set_isa(best_isa()); }
};

constexpr BForm kForms[] = {BForm::packed, BForm::packed_f16, BForm::packed_bf16, BForm::rows, BForm::columns};

TEST_P(GemmTest, EveryNumberOfRowsAndColumns) {
  for (BForm form : kForms)
    for (size_t m : {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 23, 25, 29, 37})
      for (size_t n : {0, 1, 2, 15, 16, 17, 31, 32, 33, 47, 48, 65, 80, 129, 150})
        for (size_t k : {0, 1, 5, 19}) {
          Problem p{m, n, k, form};
          p.with_bias = true;
          p.fill();
          p.expect_near(p.product(Parallel()));
          if (HasFatalFailure()) return;
        }
}

TEST_P(GemmTest, DeepAndTall) {
  for (BForm form : kForms)
    for (bool transposed : {false, true}) {
      const size_t shapes[][3] = {{1, 70, 1500},  {2, 40, 2049}, {8, 50, 2500}, {40, 33, 1100},
                                  {150, 40, 530}, {131, 1, 300}, {3, 1, 77},    {260, 20, 9}};
      for (const auto& s : shapes) {
        Problem p{s[0], s[1], s[2], form};
        p.a_transposed = transposed;
        p.fill();
        p.expect_near(p.product(SplitParallel(2)));
        if (HasFatalFailure()) return;
      }
    }
}

TEST_P(GemmTest, RowsOfAPowerOfTwo) {
  Problem p{70, 130, 1024};
  p.padding = 0;
  p.fill();
  p.ldc = p.n;
  p.expect_near(p.product(SplitParallel(3)));
}

TEST_P(GemmTest, EveryEpilogue) {
  const ActivationSpec activations[] = {{Activation::none},
                                        {Activation::relu},
                                        {Activation::clip, -0.5f, 0.75f},
                                        {Activation::leaky_relu, 0.1f},
                                        {Activation::hard_sigmoid, 0.2f, 0.5f},
                                        {Activation::hard_swish},
                                        {Activation::sigmoid},
                                        {Activation::silu, 1.0f},
                                        {Activation::gelu_erf},
                                        {Activation::gelu_tanh},
                                        {Activation::tanh}};
  const size_t shapes[][3] = {{1, 35, 20}, {7, 45, 600}, {20, 1, 33}, {2, 20, 12}};
  for (const ActivationSpec& activation : activations)
    for (const auto& s : shapes)
      for (BForm form : {BForm::packed, BForm::columns})
        for (int flags = 0; flags < 16; ++flags) {
          Problem p{s[0], s[1], s[2], form};
          p.activation = activation;
          p.alpha = flags & 1 ? 0.5f : 1.0f;
          p.with_bias = flags & 2;
          p.with_addend = flags & 4;
          p.in_place = (flags & 4) && (flags & 8);
          p.beta = flags & 8 ? -0.75f : 1.0f;
          p.fill();
          p.expect_near(p.product(Parallel()));
          if (HasFatalFailure()) return;
        }
}

TEST_P(GemmTest, AddsInPlaceAcrossRangesOfK) {
  Problem p{20, 40, 3000};
  p.with_addend = p.in_place = true;
  p.fill();
  p.expect_near(p.product(SplitParallel(2)));
}

// Equal terms, whose rounding errors have one sign once the sum is large beside them.
TEST_P(GemmTest, LongSumsLoseLittle) {
  for (BForm form : kForms)
    for (const size_t m : {1, 7, 40}) {
      Problem p{m, 20, 16384, form};
      p.fill();
      std::fill(p.a.begin(), p.a.end(), 0.1f);
      std::fill(p.b.begin(), p.b.end(), 1.0f);
      const Floats c = p.product(Parallel());
      const double want = 16384 * static_cast<double>(0.1f);
      for (size_t i = 0; i < m; ++i)
        for (size_t j = 0; j < p.n; ++j) ASSERT_NEAR(c[i * p.ldc + j], want, want * 2e-5) << static_cast<int>(form);
    }
}

TEST_P(GemmTest, BitsDependNeitherOnThreadsNorOnTheOtherRows) {
  for (BForm form : {BForm::packed, BForm::packed_f16, BForm::rows}) {
    const size_t shapes[][3] = {{1, 300, 700}, {5, 290, 300}, {13, 500, 1300}, {140, 100, 600}, {300, 17, 65}};
    for (const auto& s : shapes) {
      Problem p{s[0], s[1], s[2], form};
      p.with_bias = true;
      p.activation = {Activation::gelu_erf};
      p.fill();
      const Floats whole = p.product(Parallel());
      for (size_t threads : {2, 3, 8})
        EXPECT_TRUE(p.rows_alike(whole, p.product(SplitParallel(threads)), p.m)) << threads;
      for (size_t rows : {1, 2, 3, 4, 7, 12}) {
        if (rows > p.m) continue;
        Problem part = p;
        part.m = rows;
        EXPECT_TRUE(p.rows_alike(whole, part.product(Parallel()), rows)) << rows << " of " << p.m;
      }
    }
  }
}

// Products of one A alone and in a group; the last is multiplied by the one before when `gated`.
TEST_P(GemmTest, GroupsGiveWhatTheirProductsGive) {
  struct Case {
    size_t m, k;
    std::vector<size_t> columns;
    bool gated = false;
    BForm form = BForm::packed;
  };
  const Case cases[] = {
      {1, 40, {64, 16, 17}},    {8, 300, {100, 100, 100}},  {8, 30, {2, 500}, false, BForm::packed_bf16},
      {130, 600, {48, 200, 1}},  // a single column is no panel
      {70, 1024, {130, 150}},   {0, 5, {20, 30}},           {3, 9, {}},
      {1, 40, {70, 70}, true},  {9, 700, {150, 150}, true}, {140, 600, {300, 300}, true},
      {5, 33, {1, 1}, true}};
  for (const Case& c : cases)
    for (const size_t threads : {1, 2, 3}) {
      SCOPED_TRACE(testing::Message() << c.m << " x " << c.k << ", " << threads << " threads");
      const SplitParallel parallel(threads);
      const Floats a = noise(c.m * c.k + 1, 1);
      std::vector<std::unique_ptr<Aligned>> packed;
      std::vector<Floats> biases, alone, together;
      std::vector<GemmArgs> products;
      for (const size_t n : c.columns) {
        const size_t i = products.size();
        const Floats b = noise(c.k * n, static_cast<uint32_t>(i) + 2);
        packed.push_back(std::make_unique<Aligned>(packed_b_size(c.k, n)));
        if (c.form == BForm::packed) {
          pack_b(b.data(), c.k, n, n, false, packed.back()->data, Parallel());
        } else {
          std::vector<uint16_t> halves(b.size());
          for (size_t x = 0; x < b.size(); ++x) halves[x] = bf16(b[x]).bits;
          pack_b_halves(halves.data(), c.k, n, n, false, reinterpret_cast<uint16_t*>(packed.back()->data), Parallel());
        }
        biases.push_back(noise(n, static_cast<uint32_t>(i) + 20));
        GemmArgs g;
        g.m = c.m, g.n = n, g.k = c.k, g.a = a.data(), g.lda = c.k, g.ldc = n;
        g.b = packed.back()->data, g.b_form = c.form;
        if (c.gated && i == 0) g.activation = {Activation::silu, 1.0f};
        alone.emplace_back(c.m * n + 1, kUntouched);
        together.emplace_back(c.m * n + 1, kUntouched);
        products.push_back(g);
      }
      for (size_t i = 0; i < products.size(); ++i) {
        GemmArgs& g = products[i];
        g.bias = biases[i].data();
        g.c = alone[i].data();
        Aligned scratch(gemm_scratch_size(g, threads));
        g.scratch = scratch.data;
        gemm(g, parallel);
        g.c = together[i].data();
        if (c.gated && i == 1) {
          g.c = together[0].data();
          g.addend = g.c;
          g.ld_addend = g.ldc;
          g.multiplies = true;
        }
      }
      Aligned scratch(gemm_group_scratch_size(products, threads));
      gemm_group(products, scratch.data, parallel);
      if (c.gated) {
        for (size_t i = 0; i < c.m * c.columns[0]; ++i) {
          const float expected = alone[0][i] * alone[1][i];
          ASSERT_NEAR(together[0][i], expected, 1e-6f * (1.0f + std::fabs(expected))) << i;
        }
      } else {
        EXPECT_EQ(together, alone);
      }
      for (const Floats& c_of : together) EXPECT_EQ(c_of.back(), kUntouched);
    }
}

TEST_P(GemmTest, NanAndInfinityStayInTheirRowAndColumn) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (BForm form : kForms) {
    Problem p{9, 19, 21, form};
    p.fill();
    p.a[4 * p.lda + 20] = std::numeric_limits<float>::quiet_NaN();
    p.a[6 * p.lda] = infinity;
    for (size_t j = 0; j < p.n; ++j) (form == BForm::columns ? p.b[j * p.ldb] : p.b[j]) = j == 3 ? 0.0f : -1.0f;
    const Floats c = p.product(Parallel());
    for (size_t i = 0; i < p.m; ++i)
      for (size_t j = 0; j < p.n; ++j) {
        const float value = c[i * p.ldc + j];
        if (i == 4 || (i == 6 && j == 3)) {
          EXPECT_TRUE(std::isnan(value)) << i << " " << j;
        } else if (i == 6) {
          EXPECT_EQ(value, -infinity) << i << " " << j;
        } else {
          EXPECT_TRUE(std::isfinite(value)) << i << " " << j;
        }
      }
  }
}

TEST_P(GemmTest, BatchesWithStrides) {
  // Heads of attention: [batch][row][head][d], B transposed or not, and shared by the outer index.
  for (bool transposed : {false, true})
    for (size_t threads : {1, 2, 5}) {
      const size_t outer = 2, inner = 3, m = 7, n = 21, k = 10;
      const Floats a = noise(outer * m * inner * k, 1);
      const Floats b = noise(inner * n * k, 2);
      Floats c(outer * inner * m * n, kUntouched);
      GemmArgs g;
      g.m = m, g.n = n, g.k = k;
      g.a = a.data(), g.lda = inner * k;
      g.b = b.data(), g.ldb = transposed ? inner * k : inner * n;
      g.b_form = transposed ? BForm::columns : BForm::rows;
      g.c = c.data(), g.ldc = n;
      GemmBatch batch{outer, inner, {m * inner * k, k}, {0, transposed ? k : n}, {inner * m * n, m * n}, {}};
      SplitParallel parallel(threads);
      Aligned scratch(batched_gemm_scratch_size(g, threads));
      g.scratch = scratch.data;
      batched_gemm(g, batch, parallel);
      for (size_t o = 0; o < outer; ++o)
        for (size_t h = 0; h < inner; ++h)
          for (size_t i = 0; i < m; ++i)
            for (size_t j = 0; j < n; ++j) {
              double sum = 0;
              for (size_t x = 0; x < k; ++x)
                sum += static_cast<double>(a[((o * m + i) * inner + h) * k + x]) *
                       b[transposed ? (j * inner + h) * k + x : (x * inner + h) * n + j];
              ASSERT_NEAR(c[((o * inner + h) * m + i) * n + j], sum, 1e-5);
            }
    }
}

TEST_P(GemmTest, PackedPanelsAreAsDocumented) {
  for (bool transposed : {false, true}) {
    const size_t k = 70, n = 37, stride = transposed ? k + 2 : n + 2;
    const Floats src = noise((transposed ? n : k) * stride, 5);
    Aligned packed(packed_b_size(k, n));
    ASSERT_EQ(packed_b_size(k, n), 3 * k * 16 * sizeof(float));
    pack_b(src.data(), k, n, stride, transposed, packed.data, SplitParallel(2));
    for (size_t p = 0; p < 3; ++p)
      for (size_t x = 0; x < k; ++x)
        for (size_t j = 0; j < 16; ++j) {
          const size_t column = p * 16 + j;
          const float expected = column >= n ? 0.0f : transposed ? src[column * stride + x] : src[x * stride + column];
          ASSERT_EQ(packed.data[(p * k + x) * 16 + j], expected);
        }
  }
  EXPECT_EQ(packed_b_size(std::numeric_limits<size_t>::max() / 8, 3), std::numeric_limits<size_t>::max());
}

TEST_P(GemmTest, WidensEveryHalf) {
  // One product of 1 by every 16-bit number.
  for (const BForm form : {BForm::packed_f16, BForm::packed_bf16}) {
    std::vector<uint16_t> halves(65536);
    for (size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<uint16_t>(i);
    Aligned packed(packed_b_size(1, halves.size(), form));
    pack_b_halves(halves.data(), 1, halves.size(), halves.size(), false, reinterpret_cast<uint16_t*>(packed.data),
                  Parallel());
    const float one = 1.0f;
    Floats c(halves.size());
    GemmArgs g;
    g.m = g.k = 1, g.n = halves.size();
    g.a = &one, g.lda = 1;
    g.b = packed.data, g.b_form = form;
    g.c = c.data(), g.ldc = c.size();
    gemm(g, Parallel());
    for (uint32_t i = 0; i < halves.size(); ++i) {
      const uint16_t bits = static_cast<uint16_t>(i);
      f16 narrow;
      bf16 brain;
      narrow.bits = brain.bits = bits;
      const float wanted = form == BForm::packed_f16 ? float(narrow) : float(brain);
      if (std::isnan(wanted)) {
        ASSERT_TRUE(std::isnan(c[i])) << i;
      } else {
        ASSERT_EQ(c[i], wanted) << i;
      }
    }
  }
}

TEST_P(GemmTest, NarrowestFormLosesNothing) {
  for (uint32_t i = 0; i < 65536; ++i) {
    f16 narrow;
    narrow.bits = static_cast<uint16_t>(i);
    const float value = narrow;
    if (std::isnan(value)) continue;
    ASSERT_NE(narrowest_form(&value, 1), BForm::packed) << i;
    // One step beside it there is no such number.
    const float beside = std::nextafter(value, 1e30f);
    if (float(f16(beside)) != beside && float(bf16(beside)) != beside) {
      ASSERT_EQ(narrowest_form(&beside, 1), BForm::packed) << i;
    }
  }
  const float mixed[] = {1.0f, 1.0f + 1.0f / 1024.0f, 1e30f};  // bf16 cannot hold the second, f16 not the third
  EXPECT_EQ(narrowest_form(mixed, 3), BForm::packed);
  EXPECT_EQ(narrowest_form(mixed, 2), BForm::packed_f16);
}

TEST_P(GemmTest, StopsWhenAsked) {
  StopToken stop;
  stop.request_stop();
  Problem p{30, 40, 50};
  p.fill();
  const Floats c = p.product(SplitParallel(2, &stop));
  EXPECT_EQ(c[0], kUntouched);
}

INSTANTIATE_TEST_SUITE_P(AllIsas, GemmTest, ::testing::Values(Isa::reference, Isa::sse4, Isa::avx2, Isa::avx512),
                         [](const auto& level) { return std::string(isa_name(level.param)); });

}  // namespace
}  // namespace linnet
