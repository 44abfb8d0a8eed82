// One direction of RNN, GRU and LSTM over a batch of sequences.
// https://onnx.ai/onnx/operators/onnx__LSTM.html, ...GRU, ...RNN
//
// One product multiplies many steps of x by W; each step then multiplies the state by R and updates it. Units come in
// blocks of 16, and the panels of the gates of one block stand side by side, so that threads divide the units of a step
// and each reads its own part of R only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "base/parallel.h"
#include "kernels/elementwise/unary.h"

namespace linnet {

enum class CellKind : uint8_t { rnn, gru, lstm };
constexpr size_t gates_of(CellKind cell) noexcept { return cell == CellKind::lstm ? 4 : cell == CellKind::gru ? 3 : 1; }

// out_scale fn(in_scale x) + out_shift
struct GateActivation {
  bool has_fn = true;
  UnaryFn fn = UnaryFn::tanh;
  UnaryParams params;
  float in_scale = 1.0f;
  float out_scale = 1.0f;
  float out_shift = 0.0f;
};

// Bytes of packed W (k: the input's size) or R (k: the hidden size), and where they start: 64-byte aligned. The
// greatest size_t when they are too many. `src` is [gates * hidden][k] in the standard's order of gates.
size_t recurrent_packed_size(CellKind cell, size_t hidden, size_t k) noexcept;
void pack_recurrent(CellKind cell, size_t hidden, size_t k, const float* src, float* dst,
                    const Parallel& parallel) noexcept;

// W or R in 8 bits: scale (code - zero), in an order of columns of its own. What they multiply is rounded to 8 bits as
// DynamicQuantizeLinear does it: all of x at once, the states of a step at once.
struct RecurrentCodes {
  const std::byte* packed = nullptr;
  const float* scale = nullptr;   // recurrent_columns() of them
  const int32_t* zero = nullptr;  // as many, or null where all are 0
};
size_t recurrent_columns(CellKind cell, size_t hidden) noexcept;
// The column of a gate of a unit. Those that no unit has are of scale 0.
size_t recurrent_column(CellKind cell, size_t hidden, size_t gate, size_t unit) noexcept;
// As recurrent_packed_size. `src` is [recurrent_columns()][k].
size_t recurrent_codes_size(CellKind cell, size_t hidden, size_t k) noexcept;
void pack_recurrent_codes(CellKind cell, size_t hidden, size_t k, const int8_t* src, std::byte* dst,
                          const Parallel& parallel) noexcept;
// Whether bytes that come from elsewhere can be used as such.
bool recurrent_codes_valid(std::span<const std::byte> packed, CellKind cell, size_t hidden, size_t k) noexcept;

struct RecurrentArgs {
  CellKind cell = CellKind::lstm;
  size_t steps = 0;
  size_t batch = 0;
  size_t input = 0;
  size_t hidden = 0;
  bool reverse = false;  // each sequence from its end

  const float* x = nullptr;  // rows of `input`: [steps][batch], or [batch][steps] when batch_first
  bool batch_first = false;

  const float* w = nullptr;  // packed
  const float* r = nullptr;
  RecurrentCodes w_codes, r_codes;   // in place of w and r where they are packed: both or none
  const float* bias = nullptr;       // [2 * gates * hidden]: of W, then of R; or null
  const float* peepholes = nullptr;  // LSTM: [3 * hidden], of i, o, f; or null
  const int32_t* lengths = nullptr;  // [batch], each at most `steps`; or null
  const float* initial_h = nullptr;  // [batch] rows initial_stride apart, or null for zeros
  const float* initial_c = nullptr;
  size_t initial_stride = 0;

  std::array<GateActivation, 3> activations;            // the standard's f, g, h
  float clip = std::numeric_limits<float>::infinity();  // of what activations of gates are applied to
  bool input_forget = false;                            // LSTM: f = 1 - i
  bool linear_before_reset = false;                     // GRU

  float* y = nullptr;  // rows of `hidden`, or null; beyond a sequence's length zeros
  size_t y_step = 0;   // strides
  size_t y_batch = 0;
  float* y_h =
      nullptr;  // [batch] rows last_stride apart, or null: the state after each sequence's last step, zeros without one
  float* y_c = nullptr;
  size_t last_stride = 0;

  float* scratch = nullptr;  // recurrent_scratch_size bytes, 64-byte aligned
};

// Reads sizes and flags, and whether `lengths` and codes are null, of `args`; none of the memory. The greatest size_t
// when it is too much.
size_t recurrent_scratch_size(const RecurrentArgs& args, size_t threads) noexcept;

// Once parallel.stopped(), the outputs hold anything.
void recurrent(const RecurrentArgs& args, const Parallel& parallel) noexcept;

}  // namespace linnet
