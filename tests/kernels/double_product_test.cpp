// double_product at every instruction set, against sums in long double.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "each_isa.h"
#include "kernels/gemm/plain_product.h"
#include "noise.h"

namespace linnet {
namespace {

using Doubles = std::vector<double>;

struct Form {
  bool a_transposed, b_transposed;
};

TEST(DoubleProduct, EveryFormAndSize) {
  for_each_isa([] {
    for (const Form form : {Form{false, false}, Form{false, true}, Form{true, false}, Form{true, true}})
      for (const size_t m : {1u, 3u, 4u, 9u})
        for (const size_t n : {1u, 2u, 3u, 5u, 8u, 17u, 33u})
          for (const size_t k : {0u, 1u, 3u, 4u, 31u}) {
            SCOPED_TRACE(testing::Message()
                         << form.a_transposed << form.b_transposed << " " << m << "x" << n << "x" << k);
            const Doubles a = noise<double>(m * k, 1), b = noise<double>(k * n, 2);
            PlainProduct<double> p;
            p.n = n, p.k = k;
            p.a = a.data(), p.a_row = form.a_transposed ? 1 : k, p.a_column = form.a_transposed ? m : 1;
            p.b = b.data(), p.b_row = form.b_transposed ? 1 : n, p.b_column = form.b_transposed ? k : 1;
            p.ldc = n + 2;
            Doubles whole(m * p.ldc, 77.0), split = whole;
            p.c = whole.data();
            double_product(p, 0, m);
            p.c = split.data();
            for (size_t i = 0; i < m; ++i) double_product(p, i, i + 1);
            ASSERT_EQ(whole, split);
            for (size_t i = 0; i < m; ++i) {
              for (size_t j = 0; j < n; ++j) {
                long double sum = 0;
                for (size_t x = 0; x < k; ++x)
                  sum += static_cast<long double>(a[i * p.a_row + x * p.a_column]) * b[x * p.b_row + j * p.b_column];
                ASSERT_NEAR(whole[i * p.ldc + j], static_cast<double>(sum), 1e-14);
              }
              ASSERT_EQ(whole[i * p.ldc + n], 77.0);
              ASSERT_EQ(whole[i * p.ldc + n + 1], 77.0);
            }
          }
  });
}

}  // namespace
}  // namespace linnet
