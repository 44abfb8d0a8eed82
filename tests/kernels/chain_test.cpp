// Chains against plain loops: operands that broadcast in all ways, strips that are not full, and any number of threads.
#include "kernels/elementwise/chain.h"

#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/each_isa.h"
#include "kernels/split_parallel.h"

namespace linnet {
namespace {

constexpr size_t kInputs = 5;

// x a + b where that is above c, else c; and whether it was. x has the shape [p, q, r], the others what `sizes` leaves.
void check(size_t p, size_t q, size_t r, const bool (&sizes)[3][3]) {
  const int64_t shape[] = {static_cast<int64_t>(p), static_cast<int64_t>(q), static_cast<int64_t>(r)};
  const size_t count = p * q * r;
  std::vector<float> memory[kInputs];
  std::vector<ChainBuffer> buffers(kInputs + 2);
  std::vector<BroadcastPlan> plans;
  memory[0].resize(count);
  for (size_t k = 0; k < 3; ++k) {
    int64_t own[3];
    for (size_t i = 0; i < 3; ++i) own[i] = sizes[k][i] ? shape[i] : 1;
    const auto elements = static_cast<size_t>(own[0] * own[1] * own[2]);
    memory[k + 1].resize(elements);
    if (elements == count) continue;
    const std::span<const int64_t> spans[] = {own};
    buffers[k + 1].layout = elements == 1 ? ChainBuffer::Layout::single : ChainBuffer::Layout::spread;
    buffers[k + 1].plan = static_cast<uint16_t>(plans.size());
    if (elements != 1) plans.push_back(plan_broadcast(shape, spans).value());
  }
  for (std::vector<float>& numbers : memory)
    for (size_t i = 0; i < numbers.size(); ++i)
      numbers[i] = i % 97 == 13 ? NAN : std::sin(static_cast<float>(i % 1009) + static_cast<float>(numbers.size()));
  buffers[4] = {ChainBuffer::Layout::dense, NumberType::f32, 4, 0};      // the result
  buffers[5] = {ChainBuffer::Layout::dense, NumberType::boolean, 1, 0};  // whether above
  buffers[6] = {ChainBuffer::Layout::strip, NumberType::f32, 4, 0};
  const auto fn = [](auto f) { return static_cast<uint8_t>(f); };
  const ChainStep steps[] = {
      {ChainKind::binary, fn(BinaryFn::mul), {0, 1}, 6, {}},
      {ChainKind::binary, fn(BinaryFn::add), {6, 2}, 6, {}},
      {ChainKind::compare, fn(CompareFn::greater), {6, 3}, 5, {}},
      {ChainKind::select, 0, {5, 6, 3}, 4, {}},
  };
  Chain chain{steps, buffers, plans, {}};
  chain.strips = plan_chain_strips(chain, count);

  std::vector<float> wanted(count);
  std::vector<uint8_t> wanted_above(count);
  for (size_t i = 0; i < count; ++i) {
    const size_t at[] = {i / (q * r), i / r % q, i % r};
    float operands[3];
    for (size_t k = 0; k < 3; ++k) {
      size_t from = 0;
      for (size_t axis = 0; axis < 3; ++axis)
        if (sizes[k][axis]) from = from * static_cast<size_t>(shape[axis]) + at[axis];
      operands[k] = memory[k + 1][from];
    }
    const float y = memory[0][i] * operands[0] + operands[1];
    wanted_above[i] = y > operands[2];
    wanted[i] = wanted_above[i] ? y : operands[2];
  }
  for_each_isa([&] {
    for (const size_t threads : {1u, 2u, 5u}) {
      memory[4].assign(count, -1.0f);
      std::vector<std::byte> above(count);
      std::vector<std::byte> scratch(threads * chain.strips.worker_scratch);
      const auto where = [&](size_t k) {
        return k == 5 ? above.data() : reinterpret_cast<std::byte*>(memory[k].data());
      };
      run_chain(chain, where, scratch.data(), SplitParallel(threads));
      if (count == 0) continue;
      EXPECT_EQ(std::memcmp(above.data(), wanted_above.data(), count), 0) << threads << " threads";
      for (size_t i = 0; i < count; ++i)
        ASSERT_TRUE(memory[4][i] == wanted[i] || (std::isnan(memory[4][i]) && std::isnan(wanted[i])))
            << "at " << i << ": " << memory[4][i] << " instead of " << wanted[i];
    }
  });
}

TEST(Chain, BroadcastsAsTheOperandsDo) {
  const size_t sizes[][3] = {{2, 3, 5}, {0, 3, 5}, {1, 1, 1}, {3, 70, 129}, {2, 3, 5000}, {7, 1, 4096}, {900, 7, 3}};
  for (const auto& s : sizes) {
    SCOPED_TRACE(testing::Message() << s[0] << " x " << s[1] << " x " << s[2]);
    check(s[0], s[1], s[2], {{true, true, true}, {true, true, true}, {true, true, true}});
    check(s[0], s[1], s[2], {{false, false, false}, {false, false, true}, {true, true, true}});
    check(s[0], s[1], s[2], {{true, true, false}, {false, false, true}, {false, false, false}});
    check(s[0], s[1], s[2], {{false, true, false}, {true, false, true}, {false, true, true}});
    check(s[0], s[1], s[2], {{true, false, false}, {true, true, false}, {false, true, false}});
  }
}

}  // namespace
}  // namespace linnet
