#include "plan/memory_planner.h"

#include <gtest/gtest.h>

#include <random>

namespace linnet {
namespace {

TEST(MemoryPlanner, NeverOverlapsWhatLivesAtOnce) {
  std::minstd_rand random(1);
  MemoryPlanner planner;
  for (int round = 0; round < 200; ++round) {
    std::vector<PlannedBuffer> buffers;
    uint32_t step = 0;
    for (int i = 0; i < 60; ++i) {
      step += static_cast<uint32_t>(random() % 2);
      buffers.push_back({random() % 5 == 0 ? 0 : random() % 5000, step, step + static_cast<uint32_t>(random() % 9), 0});
    }
    const size_t total = planner.plan(buffers).value();
    for (size_t i = 0; i < buffers.size(); ++i) {
      const PlannedBuffer& a = buffers[i];
      EXPECT_LE(a.offset + a.bytes, total);
      EXPECT_EQ(a.offset % 64, 0u);
      for (size_t j = 0; j < i; ++j) {
        const PlannedBuffer& b = buffers[j];
        if (a.bytes == 0 || b.bytes == 0 || a.first > b.last || b.first > a.last) continue;
        EXPECT_TRUE(a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset) << i << " and " << j;
      }
    }
  }
}

TEST(MemoryPlanner, ReusesWhatHasEnded) {
  std::vector<PlannedBuffer> chain;
  for (uint32_t i = 0; i < 100; ++i) chain.push_back({1024, i, i + 1, 0});
  EXPECT_LE(MemoryPlanner().plan(chain).value(), 3 * 1024u);
}

TEST(MemoryPlanner, RefusesMoreThanMemoryCanHold) {
  for (const size_t bytes : {SIZE_MAX, SIZE_MAX / 2, SIZE_MAX / 2 - 128, SIZE_MAX / 3, SIZE_MAX / 4}) {
    std::vector<PlannedBuffer> together;
    for (uint32_t i = 0; i < 8; ++i) together.push_back({bytes, i, 8, 0});
    EXPECT_EQ(MemoryPlanner().plan(together), std::nullopt) << bytes;
  }
}

}  // namespace
}  // namespace linnet
