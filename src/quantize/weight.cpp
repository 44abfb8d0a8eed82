#include "quantize/weight.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "tensor/alignment.h"

namespace linnet {
namespace {

// A weight as [outer][channels][inner].
struct Channels {
  int64_t outer = 1, channels = 1, inner = 1;
};

Channels channels_of(const Shape& shape, std::optional<size_t> axis) {
  if (!axis) return {1, 1, shape.count()};
  return {shape.count(0, *axis), shape[*axis], shape.count(*axis + 1, shape.rank())};
}

struct Range {
  float min = 0, max = 0;
};

// Floats at any address, as they lie in a model's file.
class Floats {
 public:
  explicit Floats(const Tensor& tensor) : at_(tensor.ptr<char>()) {}
  float next() noexcept {
    float x;
    std::memcpy(&x, at_, sizeof x);
    at_ += sizeof x;
    return x;
  }

 private:
  const char* at_;
};

Result<std::vector<Range>> ranges_of(Floats floats, const Channels& size) {
  std::vector<Range> ranges(static_cast<size_t>(size.channels));
  float all = 0;  // becomes NaN through any element that is not finite
  for (int64_t o = 0; o < size.outer; ++o) {
    for (Range& range : ranges) {
      for (int64_t i = 0; i < size.inner; ++i) {
        const float x = floats.next();
        range.min = std::min(range.min, x);
        range.max = std::max(range.max, x);
        all += x * 0.0f;
      }
    }
  }
  LINNET_REQUIRE(all == 0.0f, invalid_argument("the weight has elements that are infinite or no numbers"));
  return ranges;
}

// Writes the codes and returns signal to noise.
template <class T>
double write_codes(Floats floats, const Channels& size, const std::vector<Quantization>& by_channel, CodeRange range,
                   T* codes) {
  double signal = 0, noise = 0;
  const float low = static_cast<float>(range.min), high = static_cast<float>(range.max);
  for (int64_t o = 0; o < size.outer; ++o) {
    for (const Quantization& q : by_channel) {
      const float zero = static_cast<float>(q.zero_point);
      float run_signal = 0, run_noise = 0;
      for (int64_t i = 0; i < size.inner; ++i, ++codes) {
        const float x = floats.next();
        const float rounded = static_cast<float>(std::lrintf(x / q.scale)) + zero;
        const float code = std::min(std::max(rounded, low), high);
        const float error = (code - zero) * q.scale - x;
        *codes = static_cast<T>(static_cast<int32_t>(code));
        run_signal += x * x;
        run_noise += error * error;
        if ((i & 255) == 255) {
          signal += static_cast<double>(run_signal);
          noise += static_cast<double>(run_noise);
          run_signal = run_noise = 0;
        }
      }
      signal += static_cast<double>(run_signal);
      noise += static_cast<double>(run_noise);
    }
  }
  return snr_db(signal, noise);
}

}  // namespace

CodeRange code_range(DType type, bool symmetric, bool reduced) noexcept {
  const int bits = dtype_bits(type) - (reduced ? 1 : 0);
  const int32_t half = 1 << (bits - 1);
  if (is_unsigned_integer(type)) return {0, 2 * half - 1};
  return reduced ? CodeRange{-half, half} : CodeRange{symmetric ? 1 - half : -half, half - 1};
}

Quantization choose_quantization(float min, float max, CodeRange codes, bool symmetric) noexcept {
  double low = std::min(min, 0.0f), high = std::max(max, 0.0f);
  if (symmetric) {
    high = std::max(-low, high);
    low = -high;
  }
  const double scale = (high - low) / (codes.max - codes.min);
  Quantization q;
  if (symmetric) q.zero_point = static_cast<int32_t>(std::lrint((codes.min + codes.max) / 2.0));
  if (!(scale >= static_cast<double>(std::numeric_limits<float>::min()))) return q;
  q.scale = static_cast<float>(scale);
  if (!symmetric)
    q.zero_point = std::clamp(static_cast<int32_t>(std::lrint(codes.min - low / scale)), codes.min, codes.max);
  return q;
}

Result<QuantizedWeight> quantize_weight(const Tensor& weight, const WeightScheme& scheme) {
  Tensor tensor = weight;
  if (weight.dtype != DType::f32) {
    LINNET_ASSIGN(tensor, as_float(weight));
  }
  const Floats floats(tensor);
  const Channels size = channels_of(weight.shape, scheme.axis);
  LINNET_ASSIGN(const std::vector<Range> ranges, ranges_of(floats, size));
  const CodeRange codes = code_range(scheme.type, scheme.symmetric, scheme.reduced);
  std::vector<Quantization> by_channel;
  for (const Range& r : ranges) by_channel.push_back(choose_quantization(r.min, r.max, codes, scheme.symmetric));

  QuantizedWeight out;
  const Shape channels = scheme.axis ? Shape{size.channels} : Shape();
  LINNET_ASSIGN(out.codes, make_tensor_uninitialized(scheme.type, weight.shape));
  LINNET_ASSIGN(out.scale, make_tensor(DType::f32, channels));
  LINNET_ASSIGN(out.zero_point, make_tensor(scheme.type, channels));
  const auto write = [&]<class T>(T* code) {
    for (size_t c = 0; c < by_channel.size(); ++c) {
      out.scale.ptr<float>()[c] = by_channel[c].scale;
      out.zero_point.ptr<T>()[c] = static_cast<T>(by_channel[c].zero_point);
    }
    out.snr_db = write_codes(floats, size, by_channel, codes, code);
  };
  switch (scheme.type) {
    case DType::u8: write(out.codes.ptr<uint8_t>()); break;
    case DType::u16: write(out.codes.ptr<uint16_t>()); break;
    case DType::i16: write(out.codes.ptr<int16_t>()); break;
    default: write(out.codes.ptr<int8_t>()); break;
  }
  return out;
}

Result<Tensor> transposed_codes(const Tensor& from) {
  constexpr int64_t kTile = 32;
  Shape shape = from.shape;
  const size_t rank = shape.rank();
  const int64_t rows = shape[rank - 2], columns = shape[rank - 1], matrix = rows * columns;
  std::swap(shape[rank - 2], shape[rank - 1]);
  LINNET_ASSIGN(Tensor to, make_tensor_uninitialized(from.dtype, shape));
  const uint8_t* src = from.ptr<uint8_t>();
  uint8_t* dst = to.ptr<uint8_t>();
  for (int64_t stack = 0; stack < from.shape.count(0, rank - 2); ++stack, src += matrix, dst += matrix)
    for (int64_t r0 = 0; r0 < rows; r0 += kTile)
      for (int64_t c0 = 0; c0 < columns; c0 += kTile)
        for (int64_t r = r0; r < std::min(rows, r0 + kTile); ++r)
          for (int64_t c = c0; c < std::min(columns, c0 + kTile); ++c) dst[c * rows + r] = src[r * columns + c];
  return to;
}

Result<Tensor> as_float(const Tensor& tensor) {
  if (tensor.dtype == DType::f32) return aligned(tensor);
  LINNET_ASSIGN(const Tensor from, aligned(tensor));
  LINNET_ASSIGN(Tensor to, make_tensor_uninitialized(DType::f32, tensor.shape));
  for (int64_t i = 0; i < to.count(); ++i) to.ptr<float>()[i] = static_cast<float>(number_at(from, i));
  return to;
}

Result<Tensor> copy_as_float(const Tensor& tensor) {
  return tensor.dtype == DType::f32 ? clone(tensor) : as_float(tensor);
}

Result<std::shared_ptr<const Tensor>> share_as(Tensor floats, DType type) {
  if (type != DType::f32) {
    LINNET_ASSIGN(Tensor to, make_tensor_uninitialized(type, floats.shape));
    const auto copy = [&]<class T>(T* elements) {
      for (int64_t i = 0; i < to.count(); ++i) elements[i] = static_cast<T>(floats.ptr<float>()[i]);
    };
    type == DType::f16 ? copy(to.ptr<f16>()) : copy(to.ptr<bf16>());
    floats = std::move(to);
  }
  return std::make_shared<const Tensor>(std::move(floats));
}

}  // namespace linnet
