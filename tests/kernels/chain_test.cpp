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

// Where element i of [p, q, r] is in an operand of the axes that `has`.
size_t place_of(size_t i, const int64_t (&shape)[3], const bool (&has)[3]) {
  const auto q = static_cast<size_t>(shape[1]), r = static_cast<size_t>(shape[2]);
  const size_t at[] = {i / (q * r), i / r % q, i % r};
  size_t from = 0;
  for (size_t axis = 0; axis < 3; ++axis)
    if (has[axis]) from = from * static_cast<size_t>(shape[axis]) + at[axis];
  return from;
}

// The number of elements of an operand of [p, q, r] that has the axes that `has` tells; says how it broadcasts.
size_t add_operand(const int64_t (&shape)[3], const bool (&has)[3], ChainBuffer& buffer,
                   std::vector<BroadcastPlan>& plans) {
  int64_t own[3];
  for (size_t i = 0; i < 3; ++i) own[i] = has[i] ? shape[i] : 1;
  const int64_t elements = own[0] * own[1] * own[2];
  if (elements == shape[0] * shape[1] * shape[2]) return static_cast<size_t>(elements);
  const std::span<const int64_t> spans[] = {own};
  buffer.layout = elements == 1 ? ChainBuffer::Layout::single : ChainBuffer::Layout::spread;
  buffer.plan = static_cast<uint16_t>(plans.size());
  if (elements != 1) plans.push_back(plan_broadcast(shape, spans).value());
  return static_cast<size_t>(elements);
}

template <class F>
uint8_t function(F f) {
  return static_cast<uint8_t>(f);
}

// x a + b where that is above c, else c; and whether it was. x has the shape [p, q, r], the others what `sizes` leaves.
void check(size_t p, size_t q, size_t r, const bool (&sizes)[3][3]) {
  const int64_t shape[] = {static_cast<int64_t>(p), static_cast<int64_t>(q), static_cast<int64_t>(r)};
  const size_t count = p * q * r;
  std::vector<float> memory[kInputs];
  std::vector<ChainBuffer> buffers(kInputs + 2);
  std::vector<BroadcastPlan> plans;
  memory[0].resize(count);
  for (size_t k = 0; k < 3; ++k) memory[k + 1].resize(add_operand(shape, sizes[k], buffers[k + 1], plans));
  for (std::vector<float>& numbers : memory)
    for (size_t i = 0; i < numbers.size(); ++i)
      numbers[i] = i % 97 == 13 ? NAN : std::sin(static_cast<float>(i % 1009) + static_cast<float>(numbers.size()));
  buffers[4] = {ChainBuffer::Layout::dense, NumberType::f32, 4, 0};      // the result
  buffers[5] = {ChainBuffer::Layout::dense, NumberType::boolean, 1, 0};  // whether above
  buffers[6] = {ChainBuffer::Layout::strip, NumberType::f32, 4, 0};
  const ChainStep steps[] = {
      {ChainKind::binary, function(BinaryFn::mul), {0, 1}, 6, {}},
      {ChainKind::binary, function(BinaryFn::add), {6, 2}, 6, {}},
      {ChainKind::compare, function(CompareFn::greater), {6, 3}, 5, {}},
      {ChainKind::select, 0, {5, 6, 3}, 4, {}},
  };
  Chain chain{steps, buffers, plans, {}};
  chain.strips = plan_chain_strips(chain, count);

  std::vector<float> wanted(count);
  std::vector<uint8_t> wanted_above(count);
  for (size_t i = 0; i < count; ++i) {
    float operands[3];
    for (size_t k = 0; k < 3; ++k) operands[k] = memory[k + 1][place_of(i, shape, sizes[k])];
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

// The same of numbers of 16 bits: each result is rounded, what broadcasts is converted, and choices keep bits.
template <class Half>
void check_halves(NumberType type, size_t p, size_t q, size_t r, const bool (&sizes)[3][3]) {
  const int64_t shape[] = {static_cast<int64_t>(p), static_cast<int64_t>(q), static_cast<int64_t>(r)};
  const size_t count = p * q * r;
  std::vector<Half> memory[kInputs];
  constexpr auto kDense = ChainBuffer::Layout::dense, kStrip = ChainBuffer::Layout::strip;
  std::vector<ChainBuffer> buffers(kInputs, {kDense, type, 2, 0});
  std::vector<BroadcastPlan> plans;
  memory[0].resize(count);
  for (size_t k = 0; k < 3; ++k) memory[k + 1].resize(add_operand(shape, sizes[k], buffers[k + 1], plans));
  for (std::vector<Half>& numbers : memory)
    for (size_t i = 0; i < numbers.size(); ++i)
      numbers[i] =
          Half(i % 97 == 13 ? NAN : std::sin(static_cast<float>(i % 1009) + static_cast<float>(numbers.size())));
  for (int i = 0; i < 3; ++i) buffers.push_back({kStrip, NumberType::f32, 4, 0});
  buffers.push_back({kStrip, type, 2, 0});
  buffers.push_back({kStrip, NumberType::boolean, 1, 0});
  const ChainStep steps[] = {
      {ChainKind::cast, 0, {0}, 7, {}},
      {ChainKind::cast, 0, {1}, 5, {}},
      {ChainKind::binary, function(BinaryFn::mul), {7, 5}, 7, {}},
      {ChainKind::round, function(type), {7}, 7, {}},
      {ChainKind::cast, 0, {2}, 6, {}},
      {ChainKind::binary, function(BinaryFn::add), {7, 6}, 7, {}},
      {ChainKind::cast, 0, {7}, 8, {}},
      {ChainKind::cast, 0, {8}, 7, {}},
      {ChainKind::compare, function(CompareFn::greater), {7, 6}, 9, {}},
      {ChainKind::select, 0, {9, 8, 3}, 4, {}},
  };
  Chain chain{steps, buffers, plans, {}};
  chain.strips = plan_chain_strips(chain, count);
  std::vector<Half> wanted(count);
  for (size_t i = 0; i < count; ++i) {
    Half operands[3];
    for (size_t k = 0; k < 3; ++k) operands[k] = memory[k + 1][place_of(i, shape, sizes[k])];
    const Half product(float{memory[0][i]} * float{operands[0]}), y(float{product} + float{operands[1]});
    wanted[i] = float{y} > float{operands[1]} ? y : operands[2];
  }
  for_each_isa([&] {
    for (const size_t threads : {1u, 2u, 5u}) {
      memory[4].assign(count, Half(-1.0f));
      std::vector<std::byte> scratch(threads * chain.strips.worker_scratch);
      run_chain(
          chain, [&](size_t k) { return reinterpret_cast<std::byte*>(memory[k].data()); }, scratch.data(),
          SplitParallel(threads));
      for (size_t i = 0; i < count; ++i) ASSERT_EQ(memory[4][i].bits, wanted[i].bits) << "at " << i;
    }
  });
}

TEST(Chain, BroadcastsAsTheOperandsDo) {
  const size_t sizes[][3] = {{2, 3, 5}, {0, 3, 5}, {1, 1, 1}, {3, 70, 129}, {2, 3, 5000}, {7, 1, 4096}, {900, 7, 3}};
  const bool operands[][3][3] = {{{true, true, true}, {true, true, true}, {true, true, true}},
                                 {{false, false, false}, {false, false, true}, {true, true, true}},
                                 {{true, true, false}, {false, false, true}, {false, false, false}},
                                 {{false, true, false}, {true, false, true}, {false, true, true}},
                                 {{true, false, false}, {true, true, false}, {false, true, false}}};
  for (const auto& s : sizes) {
    SCOPED_TRACE(testing::Message() << s[0] << " x " << s[1] << " x " << s[2]);
    for (const auto& has : operands) {
      check(s[0], s[1], s[2], has);
      check_halves<f16>(NumberType::f16, s[0], s[1], s[2], has);
      check_halves<bf16>(NumberType::bf16, s[0], s[1], s[2], has);
    }
  }
}

}  // namespace
}  // namespace linnet
