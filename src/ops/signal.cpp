// Fourier transforms. https://onnx.ai/onnx/operators/onnx__DFT.html, ...STFT
#include <algorithm>

#include "kernels/fft/fft.h"
#include "ops/element_types.h"
#include "ops/infer_shapes.h"

namespace linnet {
namespace {

constexpr int64_t kLongestTransform = int64_t{1} << 27;
// The tables of longer transforms are made in each run, in scratch memory, which the memory limit covers.
constexpr size_t kLongestKept = size_t{1} << 16;

// A transform, and each worker's share of scratch: its row and what the transform needs.
class Transform {
 public:
  static Status bind(BindContext& context, int64_t length) {
    LINNET_REQUIRE(length > 0 && length <= kLongestTransform, unsupported("a transform of length ", length));
    const size_t n = static_cast<size_t>(length), header = round_up(sizeof(Transform), alignof(Complex));
    const size_t table_bytes = (fft_table_size(n) + fft_scratch_size(n)) * sizeof(Complex);
    const bool kept = n <= kLongestKept;
    auto* memory = static_cast<std::byte*>(context.allocate_state(header + (kept ? table_bytes : 0)));
    auto* transform = new (memory) Transform;
    transform->per_worker_ = round_up((n + fft_scratch_size(n)) * sizeof(Complex), 64);
    transform->tables_at_ = context.threads() * transform->per_worker_;
    transform->plan_.n = n;
    if (kept) transform->plan_ = make_fft(n, reinterpret_cast<Complex*>(memory + header));
    context.request_scratch(transform->tables_at_ + (kept ? 0 : table_bytes));
    return {};
  }

  FftPlan plan(std::byte* scratch) const noexcept {
    return plan_.n <= kLongestKept ? plan_ : make_fft(plan_.n, reinterpret_cast<Complex*>(scratch + tables_at_));
  }
  Complex* row(std::byte* scratch, size_t worker) const noexcept {
    return reinterpret_cast<Complex*>(scratch + worker * per_worker_);
  }
  size_t grain() const noexcept { return grain_for(static_cast<double>(plan_.n) * 20.0); }

 private:
  static FftPlan make_fft(size_t n, Complex* tables) noexcept {
    return linnet::make_fft(n, tables, tables + fft_table_size(n));
  }

  FftPlan plan_;
  size_t per_worker_ = 0, tables_at_ = 0;
};

// An element of a signal of any type.
template <class T>
Complex read(const T* src, bool complex) noexcept {
  return {static_cast<double>(src[0]), complex ? static_cast<double>(src[1]) : 0.0};
}

class Dft final : public Op {
 public:
  Status parse(NodeReader& reader) {
    inverse_ = reader.flag("inverse", false);
    onesided_ = reader.flag("onesided", false);
    return {};
  }

  Status infer(InferContext& context) const override {
    LINNET_TRY(expect_type(context, 0, kFloatTypes));
    LINNET_TRY(expect_type(context, 1, kIndexTypes));
    LINNET_TRY(expect_type(context, 2, TypeSet{DType::i64}));
    std::optional<int64_t> axis_input = -2;
    if (context.has(2)) axis_input = context.known_int(2);
    if (!context.ranked(0) || !axis_input) {
      context.set_unranked(0, context.dtype(0));
      return {};
    }
    SymShape shape = context.shape(0);
    LINNET_ASSIGN(const size_t axis, signal_axis(*axis_input, shape.size()));
    const Dim parts = shape[shape.size() - 1];
    const bool real_result = inverse_ && onesided_;
    LINNET_REQUIRE(
        !parts.known() || parts.is(2) || (parts.is(1) && !real_result),
        invalid_argument("the last axis has size ", parts.value(), "; it must hold real or real and imaginary parts"));
    LINNET_REQUIRE(!onesided_ || inverse_ || !parts.is(2),
                   invalid_argument("a one-sided transform takes a real signal"));
    SymbolTable& symbols = context.symbols();
    Dim length;
    DimVector listed;
    if (!context.has(1)) {
      length = real_result ? symbols.mul(symbols.sub(shape[axis], 1), 2) : shape[axis];
    } else if (context.list(1, listed)) {
      LINNET_REQUIRE(listed.size() == 1, invalid_argument("'dft_length' must be a scalar"));
      length = listed[0];
    }
    LINNET_REQUIRE(!length.known() || (length.value() > 0 && length.value() <= kLongestTransform),
                   invalid_argument("a transform of length ", length.value(), " is not possible"));
    shape[axis] = onesided_ && !inverse_ ? symbols.add(symbols.div(length, 2), 1) : length;
    shape[shape.size() - 1] = real_result ? 1 : 2;
    context.set(0, context.dtype(0), std::move(shape));
    return {};
  }

  Status bind(BindContext& context) const override {
    LINNET_REQUIRE((!context.has(1) || context.known(1)) && (!context.has(2) || context.known(2)),
                   unsupported("the length or axis is not known"));
    const Shape& in = context.shape(0);
    LINNET_ASSIGN(const size_t axis, signal_axis(context.has(2) ? integer_at(*context.known(2), 0) : -2, in.rank()));
    const int64_t length = context.has(1)          ? integer_at(*context.known(1), 0)
                           : inverse_ && onesided_ ? 2 * (in[axis] - 1)
                                                   : in[axis];
    return Transform::bind(context, length);
  }

  Status run(RunContext& context) const override {
    LINNET_ASSIGN(const size_t axis,
                  signal_axis(context.has(2) ? integer_at(context.in(2), 0) : -2, context.in(0).shape.rank()));
    visit_float(context.in(0).dtype, [&]<class T>(TypeTag<T>) { transform<T>(context, axis); });
    return {};
  }

 private:
  static Result<size_t> signal_axis(int64_t axis, size_t rank) {
    LINNET_REQUIRE(rank >= 2, invalid_argument("the input must have a signal axis and one for the parts"));
    LINNET_ASSIGN(const size_t normal, checked_axis(axis, rank));
    LINNET_REQUIRE(normal + 1 < rank, invalid_argument("axis ", axis, " holds the real and imaginary parts"));
    return normal;
  }

  template <class T>
  void transform(RunContext& context, size_t axis) const {
    const Transform& t = context.state<Transform>();
    const FftPlan plan = t.plan(context.scratch());
    const Tensor& in = context.in(0);
    Tensor& out = context.out(0);
    const size_t last = in.shape.rank() - 1;
    const int64_t parts = in.shape[last], out_parts = out.shape[last], n = static_cast<int64_t>(plan.n);
    const int64_t inner = in.shape.count(axis + 1, last), outer = in.shape.count(0, axis);
    const int64_t given = std::min(in.shape[axis], n), wanted = out.shape[axis];
    const double scale = inverse_ ? 1.0 / static_cast<double>(n) : 1.0;
    context.parallel.for_range(
        static_cast<size_t>(outer * inner), t.grain(), [&](size_t begin, size_t end, size_t worker) {
          Complex* row = t.row(context.scratch(), worker);
          for (int64_t r = static_cast<int64_t>(begin); r < static_cast<int64_t>(end) && !context.parallel.stopped();
               ++r) {
            const T* src = in.ptr<T>() + (r / inner * in.shape[axis] * inner + r % inner) * parts;
            T* dst = out.ptr<T>() + (r / inner * wanted * inner + r % inner) * out_parts;
            for (int64_t k = 0; k < given; ++k) row[k] = read(src + k * inner * parts, parts == 2);
            std::fill(row + given, row + n, Complex{});
            if (inverse_ && onesided_)  // the other half mirrors this one
              for (int64_t k = n / 2 + 1; k < n; ++k) row[k] = std::conj(row[n - k]);
            fft(plan, inverse_, row, row + n);
            for (int64_t k = 0; k < wanted; ++k)
              for (int64_t p = 0; p < out_parts; ++p)
                dst[k * inner * out_parts + p] = rounded<T>((p ? row[k].imag() : row[k].real()) * scale);
          }
        });
  }

  bool inverse_ = false, onesided_ = false;
};

class Stft final : public Op {
 public:
  Status parse(NodeReader& reader) {
    onesided_ = reader.flag("onesided", true);
    return {};
  }

  Status infer(InferContext& context) const override {
    LINNET_TRY(expect_type(context, 0, kFloatTypes));
    LINNET_TRY(expect_type(context, 1, kIndexTypes));
    LINNET_TRY(expect_same_type(context, 2, 0));
    LINNET_TRY(expect_type(context, 3, kIndexTypes));
    LINNET_REQUIRE(context.has(2) || context.has(3), invalid_model("has neither a window nor a frame length"));
    SymbolTable& symbols = context.symbols();
    Dim batch, samples;
    if (context.ranked(0)) {
      const SymShape& signal = context.shape(0);
      LINNET_REQUIRE(signal.size() == 3 || (signal.size() == 2 && onesided_),
                     invalid_argument("the signal must be of shape [batch, samples, 1 or 2]"));
      LINNET_REQUIRE(
          signal.size() == 2 || !signal[2].known() || signal[2].is(1) || (signal[2].is(2) && !onesided_),
          invalid_argument("the last axis has size ", signal[2].value(),
                           "; it must be 1 for a real signal, 2 for a complex one that is transformed two-sided"));
      batch = signal[0];
      samples = signal[1];
    }
    const std::optional<int64_t> step = context.known_int(1);
    LINNET_REQUIRE(!step || *step > 0, invalid_argument("the frame step is ", step.value_or(0)));
    Dim frame;
    if (context.has(3)) {
      if (const auto length = context.known_int(3)) frame = *length;
    } else if (context.ranked(2) && context.shape(2).size() == 1) {
      frame = context.shape(2)[0];
    }
    if (context.ranked(2)) {
      LINNET_REQUIRE(context.shape(2).size() == 1, invalid_argument("the window must be a list"));
      const Dim window = context.shape(2)[0];
      LINNET_REQUIRE(!window.known() || !frame.known() || window.value() == frame.value(),
                     invalid_argument("the window has ", window.value(), " elements, the frame ", frame.value()));
    }
    LINNET_REQUIRE(!frame.known() || (frame.value() > 0 && frame.value() <= kLongestTransform),
                   invalid_argument("the frame length is ", frame.value()));
    LINNET_REQUIRE(!frame.known() || !samples.known() || frame.value() <= samples.value(),
                   invalid_argument("a frame of ", frame.value(), " is longer than the signal"));
    Dim frames;
    if (step) frames = symbols.add(symbols.div(symbols.sub(samples, frame), *step), 1);
    context.set(0, context.dtype(0), {batch, frames, onesided_ ? symbols.add(symbols.div(frame, 2), 1) : frame, 2});
    return {};
  }

  Status bind(BindContext& context) const override {
    LINNET_REQUIRE(!context.has(3) || context.known(3), unsupported("the frame length is not known"));
    return Transform::bind(context, context.has(3) ? integer_at(*context.known(3), 0) : context.shape(2)[0]);
  }

  Status run(RunContext& context) const override {
    visit_float(context.in(0).dtype, [&]<class T>(TypeTag<T>) { transform<T>(context); });
    return {};
  }

 private:
  template <class T>
  void transform(RunContext& context) const {
    const Transform& t = context.state<Transform>();
    const FftPlan plan = t.plan(context.scratch());
    const Tensor& signal = context.in(0);
    Tensor& out = context.out(0);
    const int64_t n = static_cast<int64_t>(plan.n), step = integer_at(context.in(1), 0), samples = signal.shape[1];
    const int64_t parts = signal.shape.rank() == 3 ? signal.shape[2] : 1, frames = out.shape[1], bins = out.shape[2];
    const T* window = context.has(2) ? context.in(2).ptr<T>() : nullptr;
    context.parallel.for_range(
        static_cast<size_t>(out.shape[0] * frames), t.grain(), [&](size_t begin, size_t end, size_t worker) {
          Complex* row = t.row(context.scratch(), worker);
          for (int64_t r = static_cast<int64_t>(begin); r < static_cast<int64_t>(end) && !context.parallel.stopped();
               ++r) {
            const T* src = signal.ptr<T>() + (r / frames * samples + r % frames * step) * parts;
            for (int64_t k = 0; k < n; ++k)
              row[k] = read(src + k * parts, parts == 2) * (window ? static_cast<double>(window[k]) : 1.0);
            fft(plan, false, row, row + n);
            T* dst = out.ptr<T>() + r * bins * 2;
            for (int64_t k = 0; k < bins; ++k) {
              dst[2 * k] = rounded<T>(row[k].real());
              dst[2 * k + 1] = rounded<T>(row[k].imag());
            }
          }
        });
  }

  bool onesided_ = true;
};

constexpr OpDef kDefs[] = {
    {"", "DFT", 20, 1, 3, 1, 1, create<Dft>},
    {"", "STFT", 17, 2, 4, 1, 1, create<Stft>},
};

}  // namespace

extern const std::span<const OpDef> kSignalOps = kDefs;

}  // namespace linnet
