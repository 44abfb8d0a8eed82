#include "ops/generation/decoder.h"

#include <algorithm>

namespace linnet {
namespace {

Result<Value> int_tensor(RunContext& context, size_t rows, size_t columns) {
  LINNET_ASSIGN(Tensor tensor,
                context.make(DType::i32, Shape{static_cast<int64_t>(rows), static_cast<int64_t>(columns)}));
  return Value(std::move(tensor));
}

// The tensor with entry r of the axis taken from entry sources[r].
Result<Value> take_rows(RunContext& context, const Tensor& from, size_t axis, std::span<const size_t> sources) {
  LINNET_REQUIRE(from.shape.rank() > axis && element_size(from.dtype) > 0,
                 invalid_model("a cache of the decoder has rank ", from.shape.rank()));
  Shape shape = from.shape;
  shape[axis] = static_cast<int64_t>(sources.size());
  LINNET_ASSIGN(Tensor to, context.make(from.dtype, shape));
  const size_t outer = static_cast<size_t>(shape.count(0, axis));
  const size_t bytes = static_cast<size_t>(shape.count(axis + 1, shape.rank())) * element_size(from.dtype);
  const size_t from_rows = static_cast<size_t>(from.shape[axis]);
  if (bytes == 0) return Value(std::move(to));
  context.parallel.for_range(
      outer * sources.size(), grain_for(static_cast<double>(bytes) * 0.1), [&](size_t begin, size_t end, size_t) {
        for (size_t i = begin; i < end; ++i) {
          const size_t source = i / sources.size() * from_rows + sources[i % sources.size()];
          std::memcpy(to.ptr<std::byte>() + i * bytes, from.ptr<std::byte>() + source * bytes, bytes);
        }
      });
  return Value(std::move(to));
}

// As take_rows, but shares the tensor where nothing moves.
Result<Value> follow_parents(RunContext& context, const Value& cache, size_t axis, std::span<const size_t> parents) {
  LINNET_REQUIRE(cache.is_tensor() && cache.tensor.shape.rank() > axis &&
                     cache.tensor.shape[axis] == static_cast<int64_t>(parents.size()),
                 invalid_model("the decoder gives a cache that does not have one entry for each sequence"));
  bool moved = false;
  for (size_t r = 0; r < parents.size(); ++r) moved |= parents[r] != r;
  if (!moved) return cache;
  return take_rows(context, cache.tensor, axis, parents);
}

// Each row of the batch repeated for its beams.
Result<Value> repeat_for_beams(RunContext& context, const Value& value, const GenerationLimits& limits) {
  LINNET_REQUIRE(
      value.is_tensor() && value.tensor.shape.rank() > 0 && value.tensor.shape[0] == static_cast<int64_t>(limits.batch),
      invalid_model("the encoder gives an output that does not have one entry for each row of the batch"));
  if (limits.beams == 1) return value;
  std::vector<size_t> sources(limits.rows());
  for (size_t r = 0; r < sources.size(); ++r) sources[r] = r / limits.beams;
  return take_rows(context, value.tensor, 0, sources);
}

Result<Value> last_tokens(RunContext& context, const GenerationLimits& limits, std::span<const int32_t> sequences,
                          size_t length, size_t count) {
  LINNET_ASSIGN(Value ids, int_tensor(context, limits.rows(), count));
  for (size_t r = 0; r < limits.rows(); ++r)
    std::copy_n(sequences.data() + r * limits.max_length + length - count, count,
                ids.tensor.ptr<int32_t>() + r * count);
  return ids;
}

Status require_declared(const ValueInfo& info, size_t rank, std::initializer_list<size_t> axes, std::string_view name) {
  bool known = info.ranked && info.shape.size() == rank;
  for (const size_t axis : axes) known = known && info.shape[axis].known() && info.shape[axis].value() > 0;
  LINNET_REQUIRE(known, invalid_model("the decoder does not declare the sizes of its input '", name, "'"));
  return {};
}

}  // namespace

Status GenerationGraph::parse(NodeReader& reader, std::string_view attribute) {
  index = reader.subgraph(attribute);
  const Graph* graph = reader.graph(attribute);
  if (!graph) return {};
  for (const GraphPort& port : graph->inputs) {
    LINNET_REQUIRE(port.value != kNoValue, invalid_model("its ", attribute, " lacks the input '", port.name, "'"));
    inputs.push_back(port.name);
    input_infos.push_back(graph->value(port.value).info);
    LINNET_REQUIRE(input_infos.back().kind == ValueKind::tensor,
                   invalid_model("input '", port.name, "' of its ", attribute, " is no tensor"));
  }
  for (const GraphPort& port : graph->outputs) outputs.push_back(port.name);
  LINNET_REQUIRE(!inputs.empty() && !outputs.empty(), invalid_model("its ", attribute, " has no inputs or no outputs"));
  return {};
}

Status GenerationGraph::infer(InferContext& context) const {
  if (!present() || !context.infer_subgraph) return {};
  std::vector<ValueInfo> formal = input_infos;
  for (ValueInfo& info : formal)
    for (Dim& size : info.shape)
      if (!size.known()) size = context.symbols().fresh();
  return context.infer_subgraph(index, formal).status();
}

size_t GenerationGraph::input(std::string_view name) const noexcept {
  return static_cast<size_t>(std::find(inputs.begin(), inputs.end(), name) - inputs.begin());
}

Result<SharedCache> SharedCache::make(size_t extra) {
  LINNET_REQUIRE(extra == 0 || extra == 1 || extra == 3,
                 unsupported("a decoder with ", extra, " inputs behind its caches is not supported"));
  SharedCache cache;
  cache.extra_ = extra;
  return cache;
}

Result<Value> SharedCache::lengthened(RunContext& context, const GenerationLimits& limits, const Value& cache,
                                      size_t axis) const {
  const Tensor& from = cache.tensor;
  LINNET_REQUIRE(cache.is_tensor() && from.shape.rank() > axis && element_size(from.dtype) > 0 &&
                     from.shape[axis] <= static_cast<int64_t>(limits.max_length),
                 invalid_model("a cache of the decoder is ", from));
  Shape shape = from.shape;
  shape[axis] = static_cast<int64_t>(limits.max_length);
  LINNET_ASSIGN(Tensor to, context.make(from.dtype, shape));
  const size_t width = element_size(from.dtype);
  const size_t row = static_cast<size_t>(from.shape.count(axis, from.shape.rank())) * width;
  const size_t to_row = static_cast<size_t>(shape.count(axis, shape.rank())) * width;
  std::memset(to.data, 0, static_cast<size_t>(shape.count()) * width);
  for (size_t i = 0; row && i < static_cast<size_t>(shape.count(0, axis)); ++i)
    std::memcpy(to.ptr<std::byte>() + i * to_row, from.ptr<std::byte>() + i * row, row);
  return Value(std::move(to));
}

Status SharedCache::fill(RunContext& context, const GenerationLimits& limits, size_t past,
                         std::span<Value> inputs) const {
  if (!present()) return {};
  const auto number = [&](size_t value) -> Result<Value> {
    LINNET_ASSIGN(Tensor tensor, context.make(DType::i32, Shape{1}));
    *tensor.ptr<int32_t>() = static_cast<int32_t>(value);
    return Value(std::move(tensor));
  };
  LINNET_ASSIGN(inputs[0], number(past));
  if (extra_ == 1) return {};
  LINNET_ASSIGN(inputs[1], number(limits.beams));
  LINNET_ASSIGN(Tensor from,
                context.make(DType::i32, Shape{static_cast<int64_t>(limits.batch), static_cast<int64_t>(limits.beams),
                                               static_cast<int64_t>(limits.max_length)}));
  for (size_t r = 0; r < limits.rows(); ++r)
    std::fill_n(from.ptr<int32_t>() + r * limits.max_length, limits.max_length, static_cast<int32_t>(r % limits.beams));
  inputs[2] = Value(std::move(from));
  return {};
}

Result<size_t> Decoder::logits(const GenerationLimits& limits, int64_t vocabulary, std::vector<float>& out) const {
  LINNET_REQUIRE(
      !out_.empty() && out_[0].is_tensor() && is_float(out_[0].tensor.dtype) && out_[0].tensor.shape.rank() == 3,
      invalid_model("the first output of the decoder is not logits [batch, tokens, vocabulary]"));
  const Tensor& logits = out_[0].tensor;
  const size_t rows = static_cast<size_t>(logits.shape[0]), tokens = static_cast<size_t>(logits.shape[1]);
  const size_t stride = static_cast<size_t>(logits.shape[2]);
  // An encoder gives one row for all beams.
  LINNET_REQUIRE((rows == limits.rows() || rows == limits.batch) && tokens > 0,
                 invalid_model("the decoder gives logits of shape ", logits.shape));
  const size_t count = vocabulary > 0 ? static_cast<size_t>(vocabulary) : stride;
  LINNET_REQUIRE(count > 0 && count <= stride,
                 invalid_model("the decoder gives ", stride, " logits for a vocabulary of ", count));
  out.resize(limits.rows() * count);
  for (size_t r = 0; r < limits.rows(); ++r) {
    const size_t source = ((rows == limits.rows() ? r : r / limits.beams) * tokens + tokens - 1) * stride;
    for (size_t v = 0; v < count; ++v)
      out[r * count + v] = logits.dtype == DType::f32
                               ? logits.ptr<float>()[source + v]
                               : static_cast<float>(number_at(logits, static_cast<int64_t>(source + v)));
  }
  return count;
}

Status GptDecoder::start(RunContext& context, std::span<const int32_t> sequences, size_t length) {
  LINNET_REQUIRE(
      graph_.inputs.size() >= 4 && graph_.inputs.size() >= graph_.outputs.size() + 2,
      unsupported(
          "a GPT decoder must take input_ids, position_ids, attention_mask and a past for each present; this one has ",
          graph_.inputs.size(), " inputs and ", graph_.outputs.size(), " outputs"));
  LINNET_ASSIGN(shared_, SharedCache::make(graph_.inputs.size() - graph_.outputs.size() - 2));
  const size_t rows = limits_.rows();
  LINNET_REQUIRE(!given_mask_ || (given_mask_->dtype == DType::i32 &&
                                  given_mask_->count() == static_cast<int64_t>(limits_.batch * length)),
                 invalid_argument("the attention mask does not fit input_ids"));
  in_.resize(graph_.inputs.size());
  LINNET_ASSIGN(in_[0], last_tokens(context, limits_, sequences, length, length));
  LINNET_ASSIGN(in_[1], int_tensor(context, rows, length));
  LINNET_ASSIGN(in_[2], int_tensor(context, rows, length));
  positions_.assign(rows, 0);
  for (size_t r = 0; r < rows; ++r) {
    for (size_t t = 0; t < length; ++t) {
      const size_t cell = r * length + t;
      const int32_t mask = given_mask_ ? given_mask_->ptr<int32_t>()[r / limits_.beams * length + t]
                                       : in_[0].tensor.ptr<int32_t>()[cell] != pad_token_;
      in_[2].tensor.ptr<int32_t>()[cell] = mask;
      in_[1].tensor.ptr<int32_t>()[cell] = mask ? positions_[r]++ : 0;
    }
  }
  const std::span<Value> behind = std::span(in_).last(shared_.inputs());
  for (size_t i = 3; i < in_.size() - behind.size(); ++i) {
    const ValueInfo& info = graph_.input_infos[i];
    LINNET_TRY(require_declared(info, 5, {2, 4}, graph_.inputs[i]));
    const Shape empty{2, static_cast<int64_t>(rows), info.shape[2].value(), 0, info.shape[4].value()};
    LINNET_ASSIGN(Tensor past, context.make(info.dtype, empty));
    in_[i] = Value(std::move(past));
    if (shared_.present()) {
      LINNET_ASSIGN(in_[i], shared_.lengthened(context, limits_, in_[i], 3));
    }
  }
  LINNET_TRY(shared_.fill(context, limits_, 0, behind));
  const GenerationGraph& graph = initial_.present() ? initial_ : graph_;
  LINNET_REQUIRE(graph.inputs.size() == in_.size() && graph.outputs.size() == graph_.outputs.size(),
                 invalid_model("its init_decoder has other ports than its decoder"));
  out_.assign(graph.outputs.size(), Value());
  return context.subgraph(graph.index).run(context, in_, out_);
}

Status GptDecoder::step(RunContext& context, std::span<const int32_t> sequences, size_t length,
                        std::span<const size_t> parents) {
  const size_t rows = limits_.rows();
  const Value mask = in_[2];
  LINNET_ASSIGN(in_[0], last_tokens(context, limits_, sequences, length, 1));
  LINNET_ASSIGN(in_[1], int_tensor(context, rows, 1));
  LINNET_ASSIGN(in_[2], int_tensor(context, rows, length));
  for (size_t r = 0; r < rows; ++r) {
    in_[1].tensor.ptr<int32_t>()[r] = positions_[r]++;
    int32_t* to = in_[2].tensor.ptr<int32_t>() + r * length;
    std::copy_n(mask.tensor.ptr<int32_t>() + r * (length - 1), length - 1, to);
    to[length - 1] = 1;
  }
  const std::span<Value> behind = std::span(in_).last(shared_.inputs());
  for (size_t i = 3; i < in_.size() - behind.size(); ++i) {
    LINNET_ASSIGN(in_[i], follow_parents(context, out_[i - 2], 1, parents));
  }
  LINNET_TRY(shared_.fill(context, limits_, length - 1, behind));
  out_.assign(graph_.outputs.size(), Value());
  return context.subgraph(graph_.index).run(context, in_, out_);
}

Status EncoderDecoder::start(RunContext& context, std::span<const int32_t> sequences, size_t length) {
  first_cache_ = 1 + (decoder_.input("encoder_attention_mask") == 1 ? 1 : 0);
  if (decoder_.input("encoder_hidden_states") == first_cache_) ++first_cache_;
  size_t caches = decoder_.inputs.size() - std::min(first_cache_, decoder_.inputs.size());
  LINNET_ASSIGN(shared_, SharedCache::make(caches % 4));
  caches -= shared_.inputs();
  // Behind the caches, scores of cross attention of each layer.
  LINNET_REQUIRE(
      caches > 0 &&
          (decoder_.outputs.size() == 1 + caches / 2 || decoder_.outputs.size() == 1 + caches / 2 + caches / 4),
      unsupported("a decoder must take input_ids, encoder_attention_mask and four caches for each layer; this one has ",
                  decoder_.inputs.size(), " inputs and ", decoder_.outputs.size(), " outputs"));
  in_.resize(decoder_.inputs.size());
  LINNET_TRY(run_encoder(context, sequences, length));
  for (size_t i = 0; shared_.present() && i < self_caches(); ++i) {
    LINNET_ASSIGN(in_[first_cache_ + i], shared_.lengthened(context, limits_, in_[first_cache_ + i], 2));
  }
  if (encoder_gave_logits_) return {};
  return run_decoder(context, sequences, length);
}

Status EncoderDecoder::run_encoder(RunContext& context, std::span<const int32_t> sequences, size_t length) {
  std::vector<Value> in(encoder_.inputs.size()), out(encoder_.outputs.size());
  in[0] = Value(input_);
  Value mask;
  if (attributes_.model == GenerationModel::encoder_decoder) {
    const size_t tokens = static_cast<size_t>(input_.shape[1]);
    LINNET_REQUIRE(!given_mask_ || (given_mask_->dtype == DType::i32 && given_mask_->shape == input_.shape),
                   invalid_argument("the attention mask does not fit input_ids"));
    LINNET_ASSIGN(mask, int_tensor(context, limits_.batch, tokens));
    for (size_t b = 0; b < limits_.batch; ++b) {
      bool begun = false;  // only padding on the left is masked: a tokenizer may end texts with a token that pads, too
      for (size_t t = 0; t < tokens; ++t) {
        const size_t cell = b * tokens + t;
        begun |= input_.ptr<int32_t>()[cell] != attributes_.pad_token;
        mask.tensor.ptr<int32_t>()[cell] = given_mask_ ? given_mask_->ptr<int32_t>()[cell] : begun;
      }
    }
  }
  const size_t mask_input = encoder_.input("encoder_attention_mask"),
               tokens_input = encoder_.input("decoder_input_ids");
  if (mask_input < in.size()) in[mask_input] = mask;
  if (tokens_input < in.size()) {
    LINNET_ASSIGN(in[tokens_input], int_tensor(context, limits_.batch, length));
    for (size_t b = 0; b < limits_.batch; ++b)
      std::copy_n(sequences.data() + b * limits_.beams * limits_.max_length, length,
                  in[tokens_input].tensor.ptr<int32_t>() + b * length);
  }
  for (size_t i = 0; i < in.size(); ++i)
    LINNET_REQUIRE(in[i].is_tensor(),
                   unsupported("the encoder's input '", encoder_.inputs[i], "' is not one that generation can fill"));
  LINNET_TRY(context.subgraph(encoder_.index).run(context, in, out));

  // Either logits, hidden states and all caches, or only the caches of the encoder's side.
  encoder_gave_logits_ = encoder_.outputs[0] == "logits";
  size_t next = encoder_gave_logits_ ? 1 : 0;
  if (decoder_.input("encoder_attention_mask") == 1) {
    LINNET_REQUIRE(mask.is_tensor(), unsupported("a Whisper decoder takes no attention mask"));
    LINNET_ASSIGN(in_[1], repeat_for_beams(context, mask, limits_));
  }
  const bool gives_hidden = next < out.size() && encoder_.outputs[next] == "encoder_hidden_states";
  if (decoder_.input("encoder_hidden_states") == first_cache_ - 1) {
    LINNET_REQUIRE(gives_hidden,
                   invalid_model("the decoder takes encoder_hidden_states, which the encoder does not give"));
    LINNET_ASSIGN(in_[first_cache_ - 1], repeat_for_beams(context, out[next], limits_));
  }
  if (gives_hidden) ++next;
  const size_t first = first_cache_ + (encoder_gave_logits_ ? 0 : self_caches()), end = in_.size() - shared_.inputs();
  LINNET_REQUIRE(out.size() - next == end - first, invalid_model("the encoder gives ", out.size() - next,
                                                                 " caches, but the decoder takes ", end - first));
  for (size_t i = first; i < end; ++i, ++next) {
    LINNET_ASSIGN(in_[i], repeat_for_beams(context, out[next], limits_));
  }
  if (encoder_gave_logits_) {
    out_.assign(1, out[0]);
    return {};
  }
  for (size_t i = 0; i < self_caches(); ++i) {
    const Tensor& cross = in_[first + i].tensor;
    LINNET_REQUIRE(cross.shape.rank() == 4, invalid_model("a cache of the encoder has rank ", cross.shape.rank()));
    LINNET_ASSIGN(Tensor past, context.make(cross.dtype, Shape{cross.shape[0], cross.shape[1], 0, cross.shape[3]}));
    in_[first_cache_ + i] = Value(std::move(past));
  }
  return {};
}

Result<Value> EncoderDecoder::decoder_tokens(RunContext& context, std::span<const int32_t> sequences,
                                             size_t length) const {
  // A decoder that declares one token gets the newest, others the whole sequence.
  const ValueInfo& ids = decoder_.input_infos[0];
  const bool newest = ids.ranked && ids.shape.size() == 2 && ids.shape[1].is(1);
  return last_tokens(context, limits_, sequences, length, newest ? 1 : length);
}

Status EncoderDecoder::run_decoder(RunContext& context, std::span<const int32_t> sequences, size_t length) {
  LINNET_ASSIGN(in_[0], decoder_tokens(context, sequences, length));
  const size_t fresh = static_cast<size_t>(in_[0].tensor.shape[1]);
  LINNET_TRY(shared_.fill(context, limits_, length - fresh, std::span(in_).last(shared_.inputs())));
  out_.assign(decoder_.outputs.size(), Value());
  return context.subgraph(decoder_.index).run(context, in_, out_);
}

Status EncoderDecoder::step(RunContext& context, std::span<const int32_t> sequences, size_t length,
                            std::span<const size_t> parents) {
  for (size_t i = 0; i < self_caches(); ++i) {
    // After the encoder's own first step, the caches are where they belong, and all beams of a row are alike.
    if (out_.size() == 1) break;
    LINNET_ASSIGN(in_[first_cache_ + i], follow_parents(context, out_[1 + i], 0, parents));
  }
  return run_decoder(context, sequences, length);
}

std::span<const Value> EncoderDecoder::cross_scores() const noexcept {
  return std::span(out_).subspan(std::min(out_.size(), 1 + self_caches()));
}

}  // namespace linnet
