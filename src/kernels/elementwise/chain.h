// Functions of numbers one after the other over one range of elements, a strip at a time, so that what a step leaves
// for the next is still in the cache. Each step is the kernel of its function: the results are, bit for bit, those of
// the steps over whole tensors, however the range is split over threads.
#pragma once

#include <span>

#include "kernels/elementwise/binary.h"
#include "kernels/elementwise/cast.h"
#include "kernels/elementwise/unary.h"

namespace linnet {

enum class ChainKind : uint8_t {
  unary,    // of floats: UnaryFn
  binary,   // of floats: BinaryFn
  compare,  // of floats: CompareFn; gives bool
  logical,  // of bools: the logical forms of BinaryFn
  negate,   // of bool
  select,   // bool ? x : y, both of four bytes or of two
  round,    // of floats, to those that a smaller type has: `fn` is NumberType::f16 or bf16
  cast,     // between the types of its buffers
};

// One function. What it reads and writes are buffers, by their numbers; the only operand of a function of one is not
// `single`, and not `spread`, unless it is a cast to a strip that no other step writes, which then is as its operand
// is. The result may be an operand of the same type.
struct ChainStep {
  ChainKind kind = ChainKind::unary;
  uint8_t fn = 0;
  uint16_t operands[3] = {};
  uint16_t result = 0;
  UnaryParams params;
};

struct ChainBuffer {
  enum class Layout : uint8_t {
    dense,   // an element for each of the range
    single,  // one element for all
    spread,  // the elements of an operand that broadcasts
    strip,   // a strip in the worker's scratch memory
  };
  Layout layout = Layout::dense;
  NumberType type = NumberType::f32;
  uint8_t width = sizeof(float);  // of an element, in bytes
  uint16_t plan = 0;              // of `spread`: which plan, of one operand
};

// How a chain is cut: strips are whole rows, or equal parts of one, of rows as the operands have them that broadcast
// most often.
struct ChainStrips {
  size_t rows = 0;     // in all
  size_t columns = 0;  // of a whole row
  size_t strip_rows = 1, strip_columns = 0;
  size_t parts = 1;  // of a row
  size_t count = 0;
  size_t worker_scratch = 0;  // bytes; SIZE_MAX where they are beyond that
  double strip_ns = 0;
};

struct Chain {
  std::span<const ChainStep> steps;
  std::span<const ChainBuffer> buffers;
  std::span<const BroadcastPlan> plans;
  ChainStrips strips;
};

// Of `count` elements.
ChainStrips plan_chain_strips(const Chain& chain, size_t count) noexcept;

// `memory` tells where a buffer is that is no strip. An output may be the memory of a dense input of the same type that
// no later step than its own reads.
void run_chain(const Chain& chain, FunctionRef<std::byte*(size_t buffer)> memory, std::byte* scratch,
               const Parallel& parallel) noexcept;

}  // namespace linnet
