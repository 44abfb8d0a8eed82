#include "kernels/elementwise/chain.h"

#include <algorithm>

#include "base/checked.h"
#include "kernels/elementwise/binary_reference.h"
#include "kernels/elementwise/half_convert.h"

namespace linnet {
namespace {

// Strips of all buffers fit into the smallest first-level caches together, as long as they are not too short to be
// worth their calls.
constexpr size_t kCache = 32768, kShortest = 1024, kLongest = 4096;

using Layout = ChainBuffer::Layout;

// The elements of a buffer in the strip at hand.
struct Place {
  std::byte* memory = nullptr;  // all of the buffer
  std::byte* strip = nullptr;   // its own in scratch memory
  std::byte* data = nullptr;
  size_t row_stride = 0;
  size_t stride = 1;
  bool flat = true;                 // its rows follow each other, or it is one element
  const std::byte* from = nullptr;  // what it was converted from that the next strip may have, too
  size_t elements = 0;              // so many
};

double step_ns(const ChainStep& step) noexcept {
  if (step.kind == ChainKind::unary) return unary_ns(static_cast<UnaryFn>(step.fn));
  return step.kind == ChainKind::binary && static_cast<BinaryFn>(step.fn) == BinaryFn::pow ? 3.0 : 0.15;
}

void convert(NumberType from, const std::byte* src, NumberType to, std::byte* dst, size_t count) noexcept {
  float* floats = reinterpret_cast<float*>(dst);
  const float* src_floats = reinterpret_cast<const float*>(src);
  if (from == NumberType::f16 && to == NumberType::f32)
    return to_float(reinterpret_cast<const f16*>(src), floats, count);
  if (from == NumberType::bf16 && to == NumberType::f32)
    return to_float(reinterpret_cast<const bf16*>(src), floats, count);
  if (from == NumberType::f32 && to == NumberType::f16)
    return from_float(src_floats, reinterpret_cast<f16*>(dst), count);
  if (from == NumberType::f32 && to == NumberType::bf16)
    return from_float(src_floats, reinterpret_cast<bf16*>(dst), count);
  cast(from, src, to, dst, count, {}, Parallel());
}

// The elements of what broadcasts as they stand there; those that were converted for the strip before stay.
void run_cast(const Chain& chain, const ChainStep& step, Place* at, size_t rows, size_t columns) noexcept {
  const Place& src = at[step.operands[0]];
  Place& dst = at[step.result];
  dst.row_stride = src.row_stride;
  dst.stride = src.stride;
  dst.flat = src.flat;
  const size_t count = (rows - 1) * src.row_stride + (columns - 1) * src.stride + 1;
  if (dst.from == src.data && dst.elements == count) return;
  const ChainBuffer& from = chain.buffers[step.operands[0]];
  const bool lasts = from.layout == Layout::single || (from.layout == Layout::spread && src.data != src.strip);
  dst.from = lasts ? src.data : nullptr;
  dst.elements = count;
  convert(from.type, src.data, chain.buffers[step.result].type, dst.data, count);
}

// `block` begins at the places' first elements.
void run_step(const Chain& chain, const ChainStep& step, Place* at, size_t rows, size_t columns,
              BroadcastBlock& block) noexcept {
  const Place &a = at[step.operands[0]], &b = at[step.operands[1]], &c = at[step.operands[2]];
  std::byte* dst = at[step.result].data;
  const auto floats = [](const Place& place) { return reinterpret_cast<float*>(place.data); };
  const auto bytes = [](const Place& place) { return reinterpret_cast<uint8_t*>(place.data); };
  if (step.kind == ChainKind::unary)
    return unary_range(static_cast<UnaryFn>(step.fn), step.params, floats(a), reinterpret_cast<float*>(dst),
                       rows * columns);
  if (step.kind == ChainKind::cast) return run_cast(chain, step, at, rows, columns);
  const bool flat = a.flat && b.flat && c.flat;
  block.rows = flat ? 1 : rows;
  block.columns = flat ? rows * columns : columns;
  const Place* const operands[] = {&a, &b, &c};
  for (size_t k = 0; k < kMaxBroadcastOperands; ++k) {
    block.row_stride[k] = operands[k]->row_stride;
    block.stride[k] = operands[k]->stride;
  }
  switch (step.kind) {
    case ChainKind::unary:
    case ChainKind::cast: return;
    case ChainKind::binary:
      return binary_block(static_cast<BinaryFn>(step.fn), block, floats(a), floats(b), reinterpret_cast<float*>(dst));
    case ChainKind::compare:
      return compare_block(static_cast<CompareFn>(step.fn), block, floats(a), floats(b), reinterpret_cast<bool*>(dst));
    case ChainKind::logical:
      return binary_block_reference(static_cast<BinaryFn>(step.fn), block, bytes(a), bytes(b),
                                    reinterpret_cast<uint8_t*>(dst));
    case ChainKind::negate: {
      const uint8_t* src = bytes(a);
      for (size_t i = 0; i < rows * columns; ++i) dst[i] = static_cast<std::byte>(src[i] == 0);
      return;
    }
    case ChainKind::select:
      return select_block(chain.buffers[step.result].width, block, reinterpret_cast<const bool*>(a.data), b.data,
                          c.data, dst);
    case ChainKind::round:
      return (static_cast<NumberType>(step.fn) == NumberType::f16 ? round_to_f16 : round_to_bf16)(
          floats(a), reinterpret_cast<float*>(dst), rows * columns);
  }
}

size_t strip_bytes(const ChainBuffer& buffer, const ChainStrips& strips) noexcept {
  const bool scratch = buffer.layout == Layout::strip || buffer.layout == Layout::spread;
  return scratch ? round_up(strips.strip_rows * strips.strip_columns * buffer.width, 64) : 0;
}
size_t places_bytes(const Chain& chain) noexcept { return round_up(chain.buffers.size() * sizeof(Place), 64); }

}  // namespace

ChainStrips plan_chain_strips(const Chain& chain, size_t count) noexcept {
  ChainStrips strips;
  strips.columns = count;
  for (const BroadcastPlan& plan : chain.plans) strips.columns = std::min(strips.columns, plan.column.size);
  strips.worker_scratch = places_bytes(chain);
  if (count == 0) return strips;
  size_t width = 0;
  for (const ChainBuffer& buffer : chain.buffers)
    if (buffer.layout == Layout::dense || buffer.layout == Layout::strip) width += buffer.width;
  const size_t strip = std::clamp(kCache / std::max<size_t>(width, 1) / 512 * 512, kShortest, kLongest);
  strips.rows = count / strips.columns;
  strips.strip_rows = std::clamp<size_t>(strip / strips.columns, 1, strips.rows);
  strips.strip_columns = std::min(strips.columns, strip);
  strips.parts = ceil_div(strips.columns, strips.strip_columns);
  strips.count = ceil_div(strips.rows, strips.strip_rows) * strips.parts;
  for (const ChainStep& step : chain.steps)
    strips.strip_ns += step_ns(step) * static_cast<double>(strips.strip_rows * strips.strip_columns);
  for (const ChainBuffer& buffer : chain.buffers) {
    const auto sum = checked_add(strips.worker_scratch, strip_bytes(buffer, strips));
    strips.worker_scratch = sum ? *sum : SIZE_MAX;
  }
  return strips;
}

void run_chain(const Chain& chain, FunctionRef<std::byte*(size_t buffer)> memory, std::byte* scratch,
               const Parallel& parallel) noexcept {
  const ChainStrips& strips = chain.strips;
  const size_t buffers = chain.buffers.size();
  parallel.for_range(strips.count, grain_for(strips.strip_ns), [&](size_t first, size_t last, size_t worker) {
    Place* at = reinterpret_cast<Place*>(scratch + worker * strips.worker_scratch);
    std::byte* free = reinterpret_cast<std::byte*>(at) + places_bytes(chain);
    for (size_t k = 0; k < buffers; ++k) {
      const ChainBuffer& buffer = chain.buffers[k];
      std::byte* all = buffer.layout == Layout::strip ? free : memory(k);
      at[k] = {all, free, all, 0, buffer.layout == Layout::single ? size_t{0} : size_t{1}, true, nullptr, 0};
      free += strip_bytes(buffer, strips);
    }
    BroadcastBlock block;
    for (size_t strip = first; strip < last && !parallel.stopped(); ++strip) {
      const size_t row = strip / strips.parts * strips.strip_rows, column = strip % strips.parts * strips.strip_columns;
      const size_t begin = row * strips.columns + column;
      const size_t rows = std::min(strips.strip_rows, strips.rows - row),
                   columns = std::min(strips.strip_columns, strips.columns - column);
      for (size_t k = 0; k < buffers; ++k) {
        const ChainBuffer& buffer = chain.buffers[k];
        Place& place = at[k];
        if (buffer.layout == Layout::dense) place.data = place.memory + begin * buffer.width;
        if (buffer.layout != Layout::single) place.row_stride = columns;
        if (buffer.layout != Layout::spread) continue;
        const BroadcastView view =
            broadcast_view(chain.plans[buffer.plan], buffer.width, place.memory, begin, rows, columns, place.strip);
        place.data = const_cast<std::byte*>(view.data);
        place.row_stride = view.row_stride;
        place.stride = view.stride;
        place.flat = view.row_stride == columns * view.stride;
      }
      for (const ChainStep& step : chain.steps) run_step(chain, step, at, rows, columns, block);
    }
  });
}

}  // namespace linnet
