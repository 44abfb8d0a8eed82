// Counts of known n-grams: https://onnx.ai/onnx/operators/onnx__TfIdfVectorizer.html
#include <algorithm>
#include <unordered_map>

#include "ops/element_types.h"
#include "ops/op.h"

namespace linnet {
namespace {

// The known n-grams as a tree: a path of tokens leads to a node, which may stand for an output.
class NgramTree {
 public:
  static constexpr uint32_t kRoot = 0, kNone = UINT32_MAX;

  uint32_t find(uint32_t node, uint32_t token) const noexcept {
    const auto found = children_.find(key(node, token));
    return found == children_.end() ? kNone : found->second;
  }
  uint32_t add(uint32_t node, uint32_t token) {
    const auto [at, is_new] = children_.try_emplace(key(node, token), static_cast<uint32_t>(outputs_.size()));
    if (is_new) outputs_.push_back(-1);
    return at->second;
  }
  void set_output(uint32_t node, int64_t output) { outputs_[node] = output; }
  int64_t output(uint32_t node) const noexcept { return outputs_[node]; }  // -1 when it is no whole n-gram

 private:
  static uint64_t key(uint32_t node, uint32_t token) noexcept { return uint64_t{node} << 32 | token; }

  std::unordered_map<uint64_t, uint32_t> children_;
  std::vector<int64_t> outputs_{-1};
};

class TfIdfVectorizer final : public Op {
 public:
  Status parse(NodeReader& reader) {
    const std::string mode = reader.text("mode", "");
    LINNET_REQUIRE(mode == "TF" || mode == "IDF" || mode == "TFIDF",
                   invalid_model("'mode' is '", mode, "', not TF, IDF or TFIDF"));
    once_ = mode == "IDF";
    min_length_ = reader.integer("min_gram_length", 0);
    max_length_ = reader.integer("max_gram_length", 0);
    max_skip_ = reader.integer("max_skip_count", 0);
    LINNET_REQUIRE(min_length_ > 0 && max_length_ >= min_length_ && max_length_ <= INT32_MAX && max_skip_ >= 0,
                   invalid_model("the lengths of n-grams or the skips are out of range"));
    const std::vector<float> weights = reader.numbers("weights");
    if (mode != "TF") weights_ = weights;
    const std::vector<int64_t> outputs = reader.integers("ngram_indexes");
    LINNET_TRY(number_outputs(outputs));
    const std::vector<int64_t> numbers = reader.integers("pool_int64s");
    const std::vector<std::string> texts = reader.texts("pool_strings");
    LINNET_REQUIRE(numbers.empty() != texts.empty(),
                   invalid_model("one of 'pool_int64s' and 'pool_strings' is needed"));
    of_texts_ = numbers.empty();
    std::vector<uint32_t> pool;
    for (const int64_t n : numbers) pool.push_back(number_of(number_tokens_, n));
    for (const std::string& t : texts) pool.push_back(number_of(text_tokens_, t));
    return add_ngrams(pool, reader.integers("ngram_counts"), outputs);
  }

  Status infer(InferContext& context) const override {
    LINNET_TRY(expect_type(context, 0, of_texts_ ? TypeSet{DType::string} : kIndexTypes));
    if (!context.ranked(0)) {
      context.set_unranked(0, DType::f32);
      return {};
    }
    SymShape shape = context.shape(0);
    LINNET_REQUIRE(shape.size() <= 2, invalid_argument("the input has ", shape.size(), " axes; at most 2 are allowed"));
    if (shape.size() < 2)
      shape = {Dim(width_)};
    else
      shape[1] = Dim(width_);
    context.set(0, DType::f32, std::move(shape));
    return {};
  }

  Status run(RunContext& context) const override {
    const Tensor& in = context.in(0);
    const int64_t length = in.shape.rank() == 0 ? 1 : in.shape.back();
    const int64_t rows = in.shape.rank() == 2 ? in.shape[0] : 1;
    float* out = context.out(0).ptr<float>();
    std::fill_n(out, rows * width_, 0.0f);
    std::vector<uint32_t> tokens(static_cast<size_t>(length));
    for (int64_t row = 0; row < rows; ++row, out += width_) {
      for (int64_t i = 0; i < length; ++i) tokens[static_cast<size_t>(i)] = token_at(in, row * length + i);
      count(tokens, out);
      if (once_)
        for (int64_t i = 0; i < width_; ++i) out[i] = std::min(out[i], 1.0f);
      if (!weights_.empty())
        for (int64_t i = 0; i < width_; ++i) out[i] *= weights_[static_cast<size_t>(i)];
    }
    return {};
  }

 private:
  template <class Map, class T>
  static uint32_t number_of(Map& map, const T& token) {
    return map.try_emplace(token, static_cast<uint32_t>(map.size())).first->second;
  }
  template <class Map, class T>
  static uint32_t find_in(const Map& map, const T& token) noexcept {
    const auto found = map.find(token);
    return found == map.end() ? NgramTree::kNone : found->second;
  }

  Status number_outputs(const std::vector<int64_t>& outputs) {
    LINNET_REQUIRE(!outputs.empty(), invalid_model("'ngram_indexes' is empty"));
    const auto [least, greatest] = std::minmax_element(outputs.begin(), outputs.end());
    LINNET_REQUIRE(*least >= 0 && *greatest < INT32_MAX,
                   invalid_model("'ngram_indexes' has the index ", *least < 0 ? *least : *greatest));
    width_ = *greatest + 1;
    LINNET_REQUIRE(weights_.empty() || static_cast<int64_t>(weights_.size()) >= width_,
                   invalid_model("there are ", weights_.size(), " weights for ", width_, " outputs"));
    return {};
  }

  // `starts`: where the 1-grams, 2-grams, ... begin in the pool. N-grams of other lengths than asked for only count as
  // entries of `outputs`.
  Status add_ngrams(const std::vector<uint32_t>& pool, const std::vector<int64_t>& starts,
                    const std::vector<int64_t>& outputs) {
    size_t ngram = 0;
    for (size_t i = 0; i < starts.size(); ++i) {
      const size_t length = i + 1;
      const int64_t first = starts[i];
      const int64_t last = length < starts.size() ? starts[length] : static_cast<int64_t>(pool.size());
      LINNET_REQUIRE(first >= 0 && first <= last && last <= static_cast<int64_t>(pool.size()) &&
                         static_cast<size_t>(last - first) % length == 0,
                     invalid_model("'ngram_counts' does not fit the pool"));
      const bool wanted = static_cast<int64_t>(length) >= min_length_ && static_cast<int64_t>(length) <= max_length_;
      for (size_t at = static_cast<size_t>(first); at < static_cast<size_t>(last); at += length, ++ngram) {
        LINNET_REQUIRE(ngram < outputs.size(),
                       invalid_model("'ngram_indexes' has fewer entries than there are n-grams"));
        if (!wanted) continue;
        uint32_t node = NgramTree::kRoot;
        for (size_t k = 0; k < length; ++k) node = tree_.add(node, pool[at + k]);
        tree_.set_output(node, outputs[ngram]);
      }
    }
    return {};
  }

  uint32_t token_at(const Tensor& in, int64_t i) const noexcept {
    return of_texts_ ? find_in(text_tokens_, in.ptr<std::string>()[i]) : find_in(number_tokens_, integer_at(in, i));
  }

  void count(const std::vector<uint32_t>& tokens, float* out) const noexcept {
    const int64_t length = static_cast<int64_t>(tokens.size());
    int64_t least = min_length_;
    for (int64_t step = 1; step <= std::min(max_skip_ + 1, length) && least <= max_length_; ++step) {
      for (int64_t start = 0; start + step * (least - 1) < length; ++start) {
        uint32_t node = NgramTree::kRoot;
        int64_t size = 1;
        for (int64_t at = start; at < length && size <= max_length_; at += step, ++size) {
          const uint32_t token = tokens[static_cast<size_t>(at)];
          if (token == NgramTree::kNone) break;
          node = tree_.find(node, token);
          if (node == NgramTree::kNone) break;
          if (size >= least && tree_.output(node) >= 0) out[tree_.output(node)] += 1.0f;
        }
      }
      least = std::max<int64_t>(least, 2);  // skips do not change 1-grams, which count once
    }
  }

  bool once_ = false, of_texts_ = false;
  int64_t min_length_ = 1, max_length_ = 1, max_skip_ = 0;
  int64_t width_ = 0;  // of the output
  std::vector<float> weights_;
  std::unordered_map<int64_t, uint32_t> number_tokens_;
  std::unordered_map<std::string, uint32_t> text_tokens_;
  NgramTree tree_;
};

constexpr OpDef kDefs[] = {
    {"", "TfIdfVectorizer", 9, 1, 1, 1, 1, create<TfIdfVectorizer>},
};

}  // namespace

extern const std::span<const OpDef> kTfIdfVectorizerOps = kDefs;

}  // namespace linnet
