// If, Loop, Scan: operators that run subgraphs.
// https://onnx.ai/onnx/operators/onnx__If.html, ...Loop.html, ...Scan.html
#include <algorithm>
#include <cstring>

#include "kernels/elementwise/cast.h"
#include "ops/infer_shapes.h"
#include "ops/op.h"

namespace linnet {
namespace {

// What both can be: sizes that differ are open, ranks that differ as well.
ValueInfo join(const ValueInfo& a, const ValueInfo& b) {
  ValueInfo out = a;
  if (a.dtype == DType::undefined && a.kind == b.kind) out.dtype = b.dtype;
  if (b.kind != a.kind && a.kind == ValueKind::tensor) out.kind = b.kind;
  if (!a.ranked || !b.ranked || a.shape.size() != b.shape.size()) {
    out.ranked = false;
    out.shape.clear();
    return out;
  }
  for (size_t i = 0; i < out.shape.size(); ++i)
    if (!(a.shape[i] == b.shape[i])) out.shape[i] = Dim();
  return out;
}

Result<bool> condition(const Tensor& tensor) {
  LINNET_REQUIRE(tensor.dtype == DType::boolean && tensor.count() == 1,
                 invalid_argument("the condition is ", tensor, ", not one bool"));
  return *tensor.ptr<bool>();
}

// A value that stays when the memory it may be lent from goes.
Result<Value> owned(RunContext& context, const Value& value) {
  if (!value.is_tensor() || value.tensor.owner) return value;
  LINNET_ASSIGN(Tensor copy, context.make(value.tensor.dtype, value.tensor.shape));
  copy_elements(value.tensor, copy);
  return Value(std::move(copy));
}

class If final : public Op {
 public:
  Status parse(NodeReader& reader) {
    then_ = reader.subgraph("then_branch");
    else_ = reader.subgraph("else_branch");
    LINNET_REQUIRE(then_ >= 0 && else_ >= 0, invalid_model("lacks then_branch or else_branch"));
    return {};
  }

  Status infer(InferContext& context) const override {
    if (!context.infer_subgraph) return {};
    auto then_infos = context.infer_subgraph(then_, {}), else_infos = context.infer_subgraph(else_, {});
    // Models test what a branch needs before they take it: sizes that rule one out are no error of the model.
    const auto ruled_out = [](const auto& one, const auto& other) {
      return !one.ok() && one.status().code() == Code::invalid_argument && other.ok();
    };
    if (ruled_out(then_infos, else_infos)) then_infos = *else_infos;
    if (ruled_out(else_infos, then_infos)) else_infos = *then_infos;
    LINNET_ASSIGN(const auto a, std::move(then_infos));
    LINNET_ASSIGN(const auto b, std::move(else_infos));
    LINNET_REQUIRE(
        a.size() == context.outputs() && b.size() == context.outputs(),
        invalid_model("its branches give ", a.size(), " and ", b.size(), " outputs instead of ", context.outputs()));
    for (size_t o = 0; o < context.outputs(); ++o) context.set_info(o, join(a[o], b[o]));
    return {};
  }

  Status run(RunContext& context) const override {
    LINNET_ASSIGN(const bool taken, condition(context.in(0)));
    Subgraph& branch = context.subgraph(taken ? then_ : else_);
    std::vector<Value> out(context.outputs());
    LINNET_TRY(branch.run(context, {}, out));
    for (size_t o = 0; o < out.size(); ++o) {
      if (!context.wants(o)) continue;
      LINNET_ASSIGN(context.out_value(o), owned(context, out[o]));
    }
    return {};
  }

 private:
  int then_ = -1, else_ = -1;
};

NumberType unsigned_type(DType packed) noexcept { return dtype_bits(packed) == 4 ? NumberType::u4 : NumberType::u2; }

// A tensor whose elements are of whole bytes: those of less become uint8, of the same bits.
Result<Tensor> whole_bytes(RunContext& context, const Tensor& tensor) {
  if (!is_packed(tensor.dtype)) return tensor;
  LINNET_ASSIGN(Tensor bytes, context.make(DType::u8, tensor.shape));
  cast(unsigned_type(tensor.dtype), tensor.data, NumberType::u8, bytes.data, static_cast<size_t>(tensor.count()), {},
       context.parallel);
  return bytes;
}

// The way back, where `type` is packed and the tensor not yet.
Result<Value> packed_again(RunContext& context, Value value, DType type) {
  if (!is_packed(type) || value.tensor.dtype == type) return value;
  LINNET_ASSIGN(Tensor tensor, context.make(type, value.tensor.shape));
  cast(NumberType::u8, value.tensor.data, unsigned_type(type), tensor.data, static_cast<size_t>(tensor.count()), {},
       context.parallel);
  return Value(std::move(tensor));
}

// Collects the slices of a scan output into one tensor with a new axis.
class ScanOutput {
 public:
  Status add(RunContext& context, const Value& value) {
    LINNET_REQUIRE(value.is_tensor(), invalid_model("a scan output is no tensor"));
    if (count_ == 0) {
      declared_ = value.tensor.dtype;
      shape_ = value.tensor.shape;
    }
    LINNET_REQUIRE(value.tensor.dtype == declared_ && value.tensor.shape == shape_,
                   invalid_argument("a scan output is ", value.tensor, " after slices of shape ", shape_));
    LINNET_ASSIGN(const Tensor slice, whole_bytes(context, value.tensor));
    dtype_ = slice.dtype;
    if (count_ == capacity_)
      LINNET_TRY(grow(context, capacity_ == 0 ? std::max<int64_t>(expected_, 1) : capacity_ * 2));
    Tensor place = part(count_);
    copy_elements(slice, place);
    ++count_;
    return {};
  }

  void expect(int64_t iterations) { expected_ = std::min<int64_t>(iterations, 1024); }

  // Slices along the first axis, in the order they came; packed ones as uint8.
  Result<Value> finish(RunContext& context, const ValueInfo& declared_slice) {
    if (count_ == 0) {
      Shape shape{0};
      if (declared_slice.ranked)
        for (const Dim& d : declared_slice.shape) shape.push_back(d.known() ? d.value() : 0);
      LINNET_ASSIGN(Tensor empty, context.make(declared_slice.dtype, shape));
      return Value(std::move(empty));
    }
    if (count_ != capacity_) LINNET_TRY(grow(context, count_));
    return Value(std::move(all_));
  }
  DType declared() const noexcept { return declared_; }

 private:
  Tensor part(int64_t i) {
    Tensor p{dtype_, shape_, nullptr, nullptr};
    p.data =
        all_.ptr<std::byte>() + static_cast<size_t>(i) * element_size(dtype_) * static_cast<size_t>(shape_.count());
    return p;
  }
  Status grow(RunContext& context, int64_t capacity) {
    Shape shape = shape_;
    shape.insert(0, capacity);
    LINNET_ASSIGN(Tensor larger, context.make(dtype_, shape));
    std::swap(all_, larger);
    if (count_ != 0) {
      Shape used = shape_;
      used.insert(0, count_);
      Tensor from = larger, to = all_;
      from.shape = to.shape = used;
      copy_elements(from, to);
    }
    capacity_ = capacity;
    return {};
  }

  DType declared_ = DType::undefined, dtype_ = DType::undefined;
  Shape shape_;
  Tensor all_;
  int64_t count_ = 0, capacity_ = 0, expected_ = 1;
};

ValueInfo info_of(const Graph& body, size_t output) { return body.value(body.outputs[output].value).info; }

class Loop final : public Op {
 public:
  Status parse(NodeReader& reader) {
    body_ = reader.subgraph("body");
    LINNET_REQUIRE(body_ >= 0, invalid_model("lacks its body"));
    const Graph& body = *reader.graph("body");
    LINNET_REQUIRE(body.inputs.size() >= 2 && !body.outputs.empty(),
                   invalid_model("its body lacks the iteration number or the condition"));
    carried_ = body.inputs.size() - 2;
    LINNET_REQUIRE(reader.inputs() == carried_ + 2 || (carried_ == 0 && reader.inputs() <= 2),
                   invalid_model("passes ", reader.inputs(), " inputs to a body of ", body.inputs.size()));
    for (size_t i = 2; i < reader.inputs(); ++i) LINNET_REQUIRE(reader.has_input(i), invalid_model("lacks input ", i));
    LINNET_REQUIRE(body.outputs.size() >= carried_ + 1, invalid_model("its body gives too few outputs"));
    scans_ = body.outputs.size() - 1 - carried_;
    LINNET_REQUIRE(reader.outputs() <= carried_ + scans_, invalid_model("has more outputs than its body"));
    for (size_t s = 0; s < scans_; ++s) slices_.push_back(info_of(body, 1 + carried_ + s));
    return {};
  }

  Status infer(InferContext& context) const override {
    if (!context.infer_subgraph) return {};
    std::vector<ValueInfo> formal;
    formal.push_back(ValueInfo::tensor(DType::i64, SymShape()));
    formal.push_back(ValueInfo::tensor(DType::boolean, SymShape()));
    for (size_t i = 0; i < carried_; ++i) formal.push_back(context.has(i + 2) ? context.info(i + 2) : ValueInfo());
    LINNET_ASSIGN(std::vector<ValueInfo> out, context.infer_subgraph(body_, formal));
    // Sizes that change from one iteration to the next are open; opening one may open others.
    for (int round = 0; round < 4; ++round) {
      bool changed = false;
      for (size_t i = 0; i < carried_; ++i) {
        ValueInfo joined = join(formal[i + 2], out[i + 1]);
        const bool same = joined.ranked == formal[i + 2].ranked && joined.shape == formal[i + 2].shape &&
                          joined.dtype == formal[i + 2].dtype;
        if (!same) {
          changed = true;
          if (round == 2) joined.ranked = false;
          for (Dim& d : joined.shape)
            if (d.unknown()) d = context.symbols().fresh();
          formal[i + 2] = std::move(joined);
        }
      }
      if (!changed) break;
      LINNET_ASSIGN(out, context.infer_subgraph(body_, formal));
    }
    for (size_t o = 0; o < context.outputs(); ++o) {
      ValueInfo info = out[o + 1];
      if (o < carried_) {
        info = join(info, formal[o + 2]);
      } else if (info.ranked) {
        info.shape.insert(0, Dim());
      }
      context.set_info(o, std::move(info));
    }
    return {};
  }

  Status run(RunContext& context) const override {
    int64_t trips = INT64_MAX;
    if (const Tensor* m = context.maybe(0)) {
      LINNET_REQUIRE(m->count() == 1 && is_integer(m->dtype), invalid_argument("the trip count is ", *m));
      trips = integer_at(*m, 0);
    }
    bool go = true;
    if (const Tensor* c = context.maybe(1)) {
      LINNET_ASSIGN(go, condition(*c));
    }
    std::vector<Value> in(carried_ + 2), out(1 + carried_ + scans_);
    for (size_t i = 0; i < carried_; ++i)
      if (context.has(i + 2)) in[i + 2] = context.in_value(i + 2);
    std::vector<ScanOutput> scans(scans_);
    for (ScanOutput& s : scans) s.expect(trips);
    LINNET_ASSIGN(Tensor number, context.make(DType::i64, {}));
    LINNET_ASSIGN(Tensor flag, context.make(DType::boolean, {}));
    for (int64_t i = 0; i < trips && go; ++i) {
      if (context.stop.stopped()) return {};
      *number.ptr<int64_t>() = i;
      *flag.ptr<bool>() = true;
      in[0] = Value(number);
      in[1] = Value(flag);
      for (Value& v : out) v = Value();
      LINNET_TRY(context.subgraph(body_).run(context, in, out));
      LINNET_ASSIGN(go, condition(out[0].tensor));
      for (size_t c = 0; c < carried_; ++c) in[c + 2] = std::move(out[c + 1]);
      for (size_t s = 0; s < scans_; ++s) LINNET_TRY(scans[s].add(context, out[1 + carried_ + s]));
    }
    for (size_t o = 0; o < context.outputs(); ++o) {
      if (!context.wants(o)) continue;
      if (o < carried_) {
        LINNET_ASSIGN(context.out_value(o), owned(context, in[o + 2]));
      } else {
        ScanOutput& scan = scans[o - carried_];
        LINNET_ASSIGN(Value all, scan.finish(context, slices_[o - carried_]));
        LINNET_ASSIGN(context.out_value(o), packed_again(context, std::move(all), scan.declared()));
      }
    }
    return {};
  }

 private:
  int body_ = -1;
  size_t carried_ = 0, scans_ = 0;
  std::vector<ValueInfo> slices_;  // as the body declares them, for loops that do not run
};

// The sizes of a tensor around one axis.
struct AxisView {
  int64_t outer = 1, length = 1, inner = 1;
  AxisView(const Shape& shape, size_t axis)
      : outer(shape.count(0, axis)), length(shape[axis]), inner(shape.count(axis + 1, shape.rank())) {}
};

// Copies index `at` along the axis between a whole tensor and one slice.
void copy_slice(Tensor& whole, size_t axis, int64_t at, Tensor& slice, bool into_whole) {
  const AxisView v(whole.shape, axis);
  for (int64_t o = 0; o < v.outer; ++o) {
    const size_t at_whole = static_cast<size_t>((o * v.length + at) * v.inner),
                 at_slice = static_cast<size_t>(o * v.inner);
    if (whole.dtype == DType::string) {
      for (size_t i = 0; i < static_cast<size_t>(v.inner); ++i) {
        std::string& w = whole.ptr<std::string>()[at_whole + i];
        std::string& s = slice.ptr<std::string>()[at_slice + i];
        (into_whole ? w : s) = into_whole ? s : w;
      }
      continue;
    }
    const size_t width = element_size(whole.dtype);
    std::byte* w = whole.ptr<std::byte>() + at_whole * width;
    std::byte* s = slice.ptr<std::byte>() + at_slice * width;
    std::memcpy(into_whole ? w : s, into_whole ? s : w, static_cast<size_t>(v.inner) * width);
  }
}

// One sequence of each scan input per call, from operator set 9 on. Operator set 8's form has a batch axis in front of
// everything and optional sequence lengths as input 0; `batched_` keeps it.
class Scan final : public Op {
 public:
  Status parse(NodeReader& reader) {
    batched_ = reader.version() < 9;
    body_ = reader.subgraph("body");
    LINNET_REQUIRE(body_ >= 0, invalid_model("lacks its body"));
    const Graph& body = *reader.graph("body");
    const int64_t count = reader.integer("num_scan_inputs", -1);
    const size_t first = batched_ ? 1 : 0;
    LINNET_REQUIRE(count >= 1 && count <= static_cast<int64_t>(body.inputs.size()),
                   invalid_model("num_scan_inputs is ", count));
    scans_in_ = static_cast<size_t>(count);
    states_ = body.inputs.size() - scans_in_;
    LINNET_REQUIRE(reader.inputs() == body.inputs.size() + first,
                   invalid_model("passes ", reader.inputs(), " inputs to a body of ", body.inputs.size()));
    for (size_t i = first; i < reader.inputs(); ++i)
      LINNET_REQUIRE(reader.has_input(i), invalid_model("lacks input ", i));
    LINNET_REQUIRE(body.outputs.size() >= states_ && reader.outputs() <= body.outputs.size(),
                   invalid_model("its body gives too few outputs"));
    scans_out_ = body.outputs.size() - states_;
    in_axes_ = reader.integers("scan_input_axes", std::vector<int64_t>(scans_in_, 0));
    out_axes_ = reader.integers("scan_output_axes", std::vector<int64_t>(scans_out_, 0));
    in_reverse_ = reader.integers("scan_input_directions", std::vector<int64_t>(scans_in_, 0));
    out_reverse_ = reader.integers("scan_output_directions", std::vector<int64_t>(scans_out_, 0));
    if (batched_) in_reverse_ = reader.integers("directions", in_reverse_);
    LINNET_REQUIRE(in_axes_.size() == scans_in_ && in_reverse_.size() == scans_in_ && out_axes_.size() == scans_out_ &&
                       out_reverse_.size() == scans_out_,
                   invalid_model("its axes or directions are not one for each scan value"));
    for (size_t s = 0; s < scans_out_; ++s) slices_.push_back(info_of(body, states_ + s));
    return {};
  }

  Status infer(InferContext& context) const override {
    if (!context.infer_subgraph) return {};
    const size_t first = batched_ ? 1 : 0;
    std::vector<ValueInfo> formal;
    Dim length, batch;
    for (size_t i = 0; i < states_ + scans_in_; ++i) {
      ValueInfo info = context.has(i + first) ? context.info(i + first) : ValueInfo();
      if (info.ranked && batched_) {
        LINNET_REQUIRE(!info.shape.empty(), invalid_argument("input ", i, " lacks the batch axis"));
        batch = info.shape[0];
        info.shape.erase(0);
      }
      if (i >= states_ && info.ranked) {
        LINNET_ASSIGN(const size_t axis, checked_axis(in_axes_[i - states_], info.shape.size()));
        length = info.shape[axis];
        info.shape.erase(axis);
      } else if (i < states_ && info.ranked) {
        for (Dim& d : info.shape)
          if (!d.known()) d = Dim();
      }
      formal.push_back(std::move(info));
    }
    LINNET_ASSIGN(const std::vector<ValueInfo> out, context.infer_subgraph(body_, formal));
    for (size_t o = 0; o < context.outputs(); ++o) {
      ValueInfo info = out[o];
      if (o >= states_ && info.ranked) {
        LINNET_ASSIGN(const size_t axis, checked_axis(out_axes_[o - states_], info.shape.size() + 1));
        info.shape.insert(axis, length);
      }
      if (info.ranked && batched_) info.shape.insert(0, batch);
      context.set_info(o, std::move(info));
    }
    return {};
  }

  Status run(RunContext& context) const override {
    if (!batched_) {
      std::vector<Value> in, out(states_ + scans_out_);
      for (size_t i = 0; i < context.inputs(); ++i) in.push_back(context.in_value(i));
      LINNET_TRY(scan(context, in, -1, out));
      for (size_t o = 0; o < context.outputs(); ++o)
        if (context.wants(o)) context.out_value(o) = std::move(out[o]);
      return {};
    }
    return run_batched(context);
  }

 private:
  // One scan; `limit` cuts the sequences (-1: whole).
  Status scan(RunContext& context, std::span<Value> in, int64_t limit, std::span<Value> out) const {
    int64_t length = -1;
    std::vector<size_t> axes(scans_in_);
    std::vector<Tensor> slices(scans_in_), wholes(scans_in_);
    for (size_t s = 0; s < scans_in_; ++s) {
      LINNET_ASSIGN(wholes[s], whole_bytes(context, in[states_ + s].tensor));
      const Tensor& whole = wholes[s];
      LINNET_REQUIRE(in[states_ + s].is_tensor(), invalid_argument("scan input ", s, " is no tensor"));
      LINNET_ASSIGN(axes[s], checked_axis(in_axes_[s], whole.shape.rank()));
      LINNET_REQUIRE(length < 0 || whole.shape[axes[s]] == length,
                     invalid_argument("the scan inputs differ in length"));
      length = whole.shape[axes[s]];
      Shape shape = whole.shape;
      shape.erase(axes[s]);
      LINNET_ASSIGN(slices[s], context.make(whole.dtype, shape));
    }
    if (limit >= 0) length = std::min(length, limit);
    std::vector<Value> now(in.begin(), in.begin() + static_cast<ptrdiff_t>(states_ + scans_in_));
    std::vector<Value> results(states_ + scans_out_);
    std::vector<ScanOutput> collected(scans_out_);
    for (ScanOutput& s : collected) s.expect(length);
    for (int64_t i = 0; i < length; ++i) {
      if (context.stop.stopped()) return {};
      for (size_t s = 0; s < scans_in_; ++s) {
        copy_slice(wholes[s], axes[s], in_reverse_[s] ? length - 1 - i : i, slices[s], false);
        LINNET_ASSIGN(now[states_ + s], packed_again(context, Value(slices[s]), in[states_ + s].tensor.dtype));
      }
      for (Value& v : results) v = Value();
      LINNET_TRY(context.subgraph(body_).run(context, now, results));
      for (size_t k = 0; k < states_; ++k) {
        LINNET_ASSIGN(now[k], owned(context, results[k]));
      }
      for (size_t s = 0; s < scans_out_; ++s) LINNET_TRY(collected[s].add(context, results[states_ + s]));
    }
    for (size_t k = 0; k < states_; ++k) {
      LINNET_ASSIGN(out[k], owned(context, now[k]));
    }
    for (size_t s = 0; s < scans_out_; ++s) {
      LINNET_ASSIGN(Value stacked, collected[s].finish(context, slices_[s]));
      LINNET_ASSIGN(Value arranged, arrange(context, std::move(stacked), s));
      LINNET_ASSIGN(out[states_ + s], packed_again(context, std::move(arranged), collected[s].declared()));
    }
    return {};
  }

  // Reverses the collected slices and moves their axis where the attributes want them.
  Result<Value> arrange(RunContext& context, Value stacked, size_t s) const {
    Tensor& from = stacked.tensor;
    LINNET_ASSIGN(const size_t axis, checked_axis(out_axes_[s], from.shape.rank()));
    if (axis == 0 && out_reverse_[s] == 0) return stacked;
    const int64_t length = from.shape[0];
    Shape slice_shape = from.shape;
    slice_shape.erase(0);
    Shape shape = slice_shape;
    shape.insert(axis, length);
    LINNET_ASSIGN(Tensor to, context.make(from.dtype, shape));
    for (int64_t i = 0; i < length; ++i) {
      Tensor slice{from.dtype, slice_shape, nullptr, nullptr};
      slice.data = from.ptr<std::byte>() + static_cast<size_t>(i * slice_shape.count()) * element_size(from.dtype);
      copy_slice(to, axis, out_reverse_[s] ? length - 1 - i : i, slice, true);
    }
    return Value(std::move(to));
  }

  Status run_batched(RunContext& context) const {
    const Tensor* lengths = context.maybe(0);
    LINNET_REQUIRE(context.in(1).shape.rank() >= 1, invalid_argument("input 1 lacks the batch axis"));
    const int64_t batch = context.in(1).shape[0];
    LINNET_REQUIRE(!lengths || (lengths->count() == batch && is_integer(lengths->dtype)),
                   invalid_argument("sequence_lens is ", *lengths));
    std::vector<Value> whole(states_ + scans_out_);
    for (int64_t b = 0; b < batch; ++b) {
      std::vector<Value> in, out(states_ + scans_out_);
      for (size_t i = 1; i < context.inputs(); ++i) {
        Value v = context.in_value(i);
        LINNET_REQUIRE(v.is_tensor() && v.tensor.shape.rank() >= 1 && v.tensor.shape[0] == batch &&
                           v.tensor.dtype != DType::string,
                       invalid_argument("input ", i, " lacks the batch axis"));
        v.tensor.shape.erase(0);
        v.tensor.data = v.tensor.ptr<std::byte>() + static_cast<size_t>(b) * v.tensor.bytes();
        in.push_back(std::move(v));
      }
      LINNET_TRY(scan(context, in, lengths ? integer_at(*lengths, b) : -1, out));
      if (context.stop.stopped()) return {};
      for (size_t o = 0; o < out.size(); ++o) {
        const Tensor& part = out[o].tensor;
        const bool scanned = o >= states_;
        if (b == 0) {
          Shape shape = part.shape;
          if (scanned) {  // padded to the longest sequence
            const Shape& longest = context.in(1 + states_).shape;
            shape[0] = longest[1];
          }
          shape.insert(0, batch);
          LINNET_ASSIGN(Tensor all, context.make(part.dtype, shape));
          if (all.dtype != DType::string) std::memset(all.data, 0, all.bytes());
          whole[o] = Value(std::move(all));
        }
        Tensor& all = whole[o].tensor;
        const size_t stride = all.bytes() / static_cast<size_t>(std::max<int64_t>(batch, 1));
        LINNET_REQUIRE(part.bytes() <= stride, invalid_argument("the batch's outputs differ in shape"));
        std::memcpy(all.ptr<std::byte>() + static_cast<size_t>(b) * stride, part.data, part.bytes());
      }
    }
    for (size_t o = 0; o < context.outputs(); ++o)
      if (context.wants(o)) context.out_value(o) = std::move(whole[o]);
    return {};
  }

  bool batched_ = false;
  int body_ = -1;
  size_t states_ = 0, scans_in_ = 0, scans_out_ = 0;
  std::vector<int64_t> in_axes_, out_axes_, in_reverse_, out_reverse_;
  std::vector<ValueInfo> slices_;
};

constexpr OpDef kDefs[] = {
    {"", "If", 1, 1, 1, 1, kAnyNumber, create<If>},
    {"", "Loop", 1, 0, kAnyNumber, 1, kAnyNumber, create<Loop>},
    {"", "Scan", 8, 0, kAnyNumber, 1, kAnyNumber, create<Scan>},
};

}  // namespace

extern const std::span<const OpDef> kControlFlowOps = kDefs;

}  // namespace linnet
