#include "kernels/transpose/transpose.h"

#include <vector>

#include "kernels/each_isa.h"

namespace linnet {
namespace {

struct Case {
  std::vector<int64_t> shape;
  std::vector<size_t> order;
};

const Case kCases[] = {
    {{}, {}},
    {{5}, {0}},
    {{0, 3}, {1, 0}},
    {{33, 70}, {1, 0}},
    {{8, 8}, {1, 0}},
    {{3, 65, 19}, {0, 2, 1}},
    {{2, 5, 3, 7}, {0, 2, 1, 3}},
    {{2, 5, 3, 2}, {0, 2, 1, 3}},
    {{2, 3, 9, 11}, {0, 2, 3, 1}},
    {{2, 9, 11, 3}, {0, 3, 1, 2}},
    {{2, 3, 4, 5}, {3, 2, 1, 0}},
    {{2, 3, 4, 5}, {2, 0, 3, 1}},
    {{2, 1, 3, 1, 2, 4}, {5, 1, 0, 3, 4, 2}},
    {{4, 3, 2}, {1, 0, 2}},
    {{4, 3, 4, 2}, {2, 1, 0, 3}},
    {{300, 200}, {1, 0}},
    {{2, 90, 2}, {0, 2, 1}},
    {{2, 90, 3}, {0, 2, 1}},
    {{90, 4}, {1, 0}},
    {{2, 3, 90}, {0, 2, 1}},
    {{2, 90}, {1, 0}},
    {{4, 90}, {1, 0}},
};

TEST(Transpose, MatchesTheDefinition) {
  for_each_isa([] {
    for (const Case& c : kCases) {
      const size_t rank = c.shape.size();
      size_t count = 1;
      std::vector<size_t> strides(rank);
      for (size_t i = rank; i-- > 0;) {
        strides[i] = count;
        count *= static_cast<size_t>(c.shape[i]);
      }
      for (const size_t width : {1u, 2u, 4u, 8u, 16u}) {
        std::vector<uint8_t> src(count * width + 1), dst(count * width + 1, 0xee);
        for (size_t i = 0; i < src.size(); ++i) src[i] = static_cast<uint8_t>(i * 131 + i / 256);
        for (const size_t off : {size_t{0}, size_t{1}}) {  // elements need not be aligned
          std::vector<uint8_t> shifted(src.size() + 1);
          std::copy(src.begin(), src.end(), shifted.begin() + off);
          std::fill(dst.begin(), dst.end(), uint8_t{0xee});
          transpose(plan_transpose(c.shape, c.order, width).value(), shifted.data() + off, dst.data(), Parallel());
          EXPECT_EQ(dst.back(), 0xee);
          for (size_t o = 0; o < count; ++o) {
            size_t rest = o, from = 0;
            for (size_t i = rank; i-- > 0;) {
              const size_t size = static_cast<size_t>(c.shape[c.order[i]]);
              from += rest % size * strides[c.order[i]];
              rest /= size;
            }
            ASSERT_TRUE(std::equal(dst.begin() + o * width, dst.begin() + (o + 1) * width, src.begin() + from * width))
                << "case " << &c - kCases << " width " << width << " element " << o;
          }
        }
      }
    }
  });
}

TEST(Transpose, MergesAxes) {
  const Case attention{{2, 128, 12, 64}, {0, 2, 1, 3}};
  const TransposePlan plan = plan_transpose(attention.shape, attention.order, 4).value();
  EXPECT_TRUE(plan.runs);
  EXPECT_EQ(plan.row.size, 64u);
  const Case last{{2, 3, 4, 5}, {0, 2, 3, 1}};
  const TransposePlan nhwc = plan_transpose(last.shape, last.order, 4).value();
  EXPECT_EQ(nhwc.row.size, 20u);
  EXPECT_EQ(nhwc.column.size, 3u);
  EXPECT_EQ(nhwc.outer.size(), 1u);
}

}  // namespace
}  // namespace linnet
