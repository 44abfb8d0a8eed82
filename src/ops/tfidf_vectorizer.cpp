// https://onnx.ai/onnx/operators/onnx__TfIdfVectorizer.html
#include <algorithm>
#include <unordered_map>

#include "ops/op.h"

namespace linnet {
namespace {

// All n-grams of the pool as one tree: a step for each token. Token ids are positions in a vocabulary.
class TfIdfVectorizer final : public Op {
 public:
  Status parse(NodeReader& reader) {
    const std::string mode = reader.text("mode", "");
    LINNET_REQUIRE(mode == "TF" || mode == "IDF" || mode == "TFIDF", invalid_model("mode '", mode, "' is not known"));
    once_ = mode == "IDF";
    min_length_ = reader.integer("min_gram_length", 0);
    max_length_ = reader.integer("max_gram_length", 0);
    max_skip_ = reader.integer("max_skip_count", 0);
    const std::vector<int64_t> starts = reader.integers("ngram_counts");
    columns_ = reader.integers("ngram_indexes");
    weights_ = reader.numbers("weights");
    const std::vector<std::string> strings = reader.texts("pool_strings");
    const std::vector<int64_t> integers = reader.integers("pool_int64s");
    LINNET_REQUIRE(min_length_ > 0 && min_length_ <= max_length_,
                   invalid_model("has n-grams of ", min_length_, " to ", max_length_, " tokens"));
    LINNET_REQUIRE(static_cast<uint64_t>(max_length_) <= starts.size(),
                   invalid_model("ngram_counts has only ", starts.size(), " elements"));
    LINNET_REQUIRE(max_skip_ >= 0, invalid_model("max_skip_count is ", max_skip_));
    LINNET_REQUIRE(strings.empty() != integers.empty(), invalid_model("needs either pool_strings or pool_int64s"));
    LINNET_REQUIRE(weights_.empty() || weights_.size() == columns_.size(),
                   invalid_model("has ", weights_.size(), " weights for ", columns_.size(), " n-grams"));
    for (const int64_t column : columns_) {
      LINNET_REQUIRE(column >= 0 && column < INT32_MAX, invalid_model("an n-gram's index is ", column));
      width_ = std::max(width_, column + 1);
    }
    LINNET_REQUIRE(width_ > 0, invalid_model("lacks the attribute 'ngram_indexes'"));
    if (mode == "TF") weights_.clear();
    of_strings_ = !strings.empty();
    const size_t total = of_strings_ ? strings.size() : integers.size();
    std::vector<uint32_t> pool(total);
    for (size_t i = 0; i < total; ++i) {
      const uint32_t fresh = static_cast<uint32_t>(string_ids_.size() + integer_ids_.size());
      pool[i] = of_strings_ ? string_ids_.emplace(strings[i], fresh).first->second
                            : integer_ids_.emplace(integers[i], fresh).first->second;
    }
    return build_tree(starts, pool);
  }

  Status infer(InferContext& context) const override {
    const DType type = context.dtype(0);
    LINNET_REQUIRE(of_strings_ ? type == DType::string : type == DType::i64 || type == DType::i32,
                   invalid_model("the pool is of another type than the input, ", dtype_name(type)));
    if (!context.ranked(0)) {
      context.set_unranked(0, DType::f32);
      return {};
    }
    const SymShape& in = context.shape(0);
    LINNET_REQUIRE(in.size() <= 2, invalid_argument("takes a tensor [C] or [N, C]"));
    context.set(0, DType::f32, in.size() == 2 ? SymShape{in[0], width_} : SymShape{width_});
    return {};
  }

  Status run(RunContext& context) const override {
    const Tensor& in = context.in(0);
    Tensor& out = context.out(0);
    const size_t rows = in.shape.rank() == 2 ? static_cast<size_t>(in.shape[0]) : 1;
    const size_t tokens = rows == 0 ? 0 : static_cast<size_t>(in.count()) / rows;
    const size_t width = static_cast<size_t>(width_);
    context.parallel.for_range(rows, grain_for(50.0 * static_cast<double>(tokens) + 0.2 * static_cast<double>(width)),
                               [&](size_t begin, size_t end, size_t) {
                                 std::vector<uint32_t> ids(tokens);
                                 for (size_t row = begin; row < end; ++row) {
                                   for (size_t i = 0; i < tokens; ++i) ids[i] = id_of(in, row * tokens + i);
                                   float* counts = out.ptr<float>() + row * width;
                                   std::fill_n(counts, width, 0.0f);
                                   count(ids, counts);
                                 }
                               });
    return {};
  }

 private:
  static constexpr uint32_t kUnknown = 0xffffffff;
  static constexpr int64_t kNoGram = -1;

  struct Node {
    int64_t gram = kNoGram;
    std::unordered_map<uint32_t, uint32_t> next;
  };

  Status build_tree(const std::vector<int64_t>& starts, const std::vector<uint32_t>& pool) {
    nodes_.emplace_back();
    size_t gram = 0;
    for (size_t length = 1; length <= starts.size(); ++length) {
      const int64_t first = starts[length - 1],
                    last = length < starts.size() ? starts[length] : static_cast<int64_t>(pool.size());
      LINNET_REQUIRE(first >= 0 && first <= last && static_cast<uint64_t>(last) <= pool.size() &&
                         (last - first) % static_cast<int64_t>(length) == 0,
                     invalid_model("the pool has no whole ", length, "-grams from ", first, " to ", last));
      const bool wanted = static_cast<int64_t>(length) >= min_length_ && static_cast<int64_t>(length) <= max_length_;
      for (size_t i = static_cast<size_t>(first); i < static_cast<size_t>(last); i += length, ++gram) {
        LINNET_REQUIRE(gram < columns_.size(),
                       invalid_model("has ", columns_.size(), " ngram_indexes, fewer than n-grams"));
        if (!wanted) continue;
        uint32_t at = 0;
        for (size_t k = i; k < i + length; ++k) {
          const auto [step, fresh] = nodes_[at].next.try_emplace(pool[k], static_cast<uint32_t>(nodes_.size()));
          at = step->second;
          if (fresh) nodes_.emplace_back();
        }
        nodes_[at].gram = static_cast<int64_t>(gram);
      }
    }
    return {};
  }

  uint32_t id_of(const Tensor& in, size_t i) const {
    if (of_strings_) {
      const auto found = string_ids_.find(in.ptr<std::string>()[i]);
      return found == string_ids_.end() ? kUnknown : found->second;
    }
    const auto found = integer_ids_.find(integer_at(in, static_cast<int64_t>(i)));
    return found == integer_ids_.end() ? kUnknown : found->second;
  }

  void count(const std::vector<uint32_t>& ids, float* counts) const {
    // Single tokens count once, however many skips there are; steps wider than the text find no pair.
    const size_t widest = static_cast<size_t>(std::min<int64_t>(max_skip_, static_cast<int64_t>(ids.size()))) + 1;
    for (size_t step = 1; step <= widest; ++step) {
      for (size_t start = 0; start < ids.size(); ++start) {
        uint32_t at = 0;
        int64_t length = 0;
        for (size_t i = start; i < ids.size() && length < max_length_; i += step) {
          const auto next = nodes_[at].next.find(ids[i]);
          if (next == nodes_[at].next.end()) break;
          at = next->second;
          ++length;
          if (nodes_[at].gram != kNoGram && (step == 1 || length > 1))
            add(static_cast<size_t>(nodes_[at].gram), counts);
        }
      }
    }
  }

  void add(size_t gram, float* counts) const {
    float& cell = counts[columns_[gram]];
    const float weight = weights_.empty() ? 1.0f : weights_[gram];
    cell = once_ ? weight : cell + weight;
  }

  int64_t min_length_ = 1, max_length_ = 1, max_skip_ = 0, width_ = 0;
  bool once_ = false, of_strings_ = false;
  std::vector<int64_t> columns_;
  std::vector<float> weights_;
  std::unordered_map<std::string, uint32_t> string_ids_;
  std::unordered_map<int64_t, uint32_t> integer_ids_;
  std::vector<Node> nodes_;
};

constexpr OpDef kDefs[] = {{"", "TfIdfVectorizer", 9, 1, 1, 1, 1, create<TfIdfVectorizer>}};

}  // namespace

extern const std::span<const OpDef> kTfIdfVectorizerOps = kDefs;

}  // namespace linnet
