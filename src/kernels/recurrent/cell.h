// The update of one row of states from the sums of its gates.
#pragma once

#include "kernels/recurrent/recurrent.h"

namespace linnet {

inline constexpr size_t kUnitBlock = 16;

// Where gate `gate` of unit block `block` starts in a row of sums, of which R and W are packed in the same order:
// all blocks of z and r before those of h for a GRU, whose h may wait for r; else all gates of a block side by side.
constexpr size_t gate_offset(CellKind cell, size_t blocks, size_t block, size_t gate) noexcept {
  if (cell == CellKind::gru) return (gate < 2 ? block * 2 + gate : blocks * 2 + block) * kUnitBlock;
  return (block * gates_of(cell) + gate) * kUnitBlock;
}

// Unit blocks [begin, end) of one row. Arrays over units hold whole blocks.
struct CellRow {
  const RecurrentArgs* args;
  size_t blocks;  // of all units
  size_t begin, end;
  const float* x;          // sums of W and the biases
  float* sums;             // of R; a GRU keeps z and r here between its phases
  const float* bias_r;     // GRU with linear_before_reset: R's bias of h
  const float* peepholes;  // [3][blocks * 16], or null
  const float* h_before;
  const float* c_before;
  float* h;
  float* c;
  float* reset;  // GRU without linear_before_reset: r h, which R multiplies next
};

void rnn_cell(const CellRow& row) noexcept;
void lstm_cell(const CellRow& row) noexcept;
void gru_gates(const CellRow& row) noexcept;  // z, r and `reset`
void gru_cell(const CellRow& row) noexcept;   // h from what gru_gates left

}  // namespace linnet
