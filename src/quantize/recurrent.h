// Recurrent layers with 8-bit weights.
#pragma once

#include "quantize/job.h"

namespace linnet {

// LSTM becomes DynamicQuantizeLSTM:
// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.DynamicQuantizeLSTM
Status quantize_lstm(QuantizeJob& job, Graph& graph, NodeId id, NodeReport& report);

// GRU and RNN, of which there are no such forms, read their weights through DequantizeLinear.
Status dequantize_recurrent(QuantizeJob& job, Graph& graph, NodeId id, NodeReport& report);

}  // namespace linnet
