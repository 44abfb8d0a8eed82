// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.Tokenizer
#include <algorithm>

#include "base/regex.h"
#include "base/unicode.h"
#include "ops/op.h"

namespace linnet {
namespace {

using Tokens = std::vector<std::string_view>;

class Tokenizer final : public Op {
 public:
  Status parse(NodeReader& reader) {
    LINNET_REQUIRE(reader.has("pad_value"), invalid_model("lacks the attribute 'pad_value'"));
    pad_ = reader.text("pad_value", "");
    mark_ = reader.flag("mark", false);
    least_ = reader.integer("mincharnum", 1);
    LINNET_REQUIRE(least_ >= 1, invalid_model("mincharnum is ", least_));
    const std::string expression = reader.text("tokenexp", "");
    const std::vector<std::string> separators = reader.texts("separators");
    LINNET_REQUIRE(separators.empty() != expression.empty(), invalid_model("needs either 'separators' or 'tokenexp'"));
    by_characters_ = separators.size() == 1 && separators[0].empty();
    if (by_characters_) return {};
    if (!expression.empty()) {
      LINNET_ASSIGN(Regex regex, Regex::compile(expression));
      tokens_.push_back(std::move(regex));
    }
    for (const std::string& separator : separators) {
      LINNET_REQUIRE(!separator.empty(), invalid_model("has an empty separator among others"));
      LINNET_ASSIGN(Regex regex, Regex::compile(separator));
      separators_.push_back(std::move(regex));
    }
    return {};
  }

  Status infer(InferContext& context) const override {
    LINNET_REQUIRE(context.dtype(0) == DType::string,
                   invalid_model("takes strings, not ", dtype_name(context.dtype(0))));
    if (!context.ranked(0)) {
      context.set_unranked(0, DType::string);
      return {};
    }
    SymShape shape = context.shape(0);
    LINNET_REQUIRE(shape.size() == 1 || shape.size() == 2, invalid_argument("takes a tensor [C] or [N, C]"));
    shape.push_back(Dim());
    context.set(0, DType::string, std::move(shape));
    return {};
  }

  Status run(RunContext& context) const override {
    const Tensor& in = context.in(0);
    std::vector<Tokens> rows;
    size_t width = 0;
    for (const std::string& text : in.as<std::string>()) {
      LINNET_REQUIRE(is_utf8(text), invalid_argument("element ", rows.size(), " of the input is no valid UTF-8"));
      rows.push_back(by_characters_ ? characters(text) : separators_.empty() ? matches(text) : separate(text));
      width = std::max(width, rows.back().size());
    }
    if (width > 0 && mark_) width += 2;
    Shape shape = in.shape;
    shape.push_back(static_cast<int64_t>(width));
    LINNET_TRY(context.allocate(0, DType::string, shape));
    if (width == 0) return {};
    std::string* out = context.out(0).ptr<std::string>();
    for (const Tokens& row : rows) {
      std::string* const end = out + width;
      if (mark_) *out++ = "\x02";
      for (const std::string_view token : row) *out++ = token;
      if (mark_) *out++ = "\x03";
      while (out != end) *out++ = pad_;
    }
    return {};
  }

 private:
  bool long_enough(std::string_view token) const { return !token.empty() && count_code_points(token) >= least_; }

  static Tokens characters(std::string_view text) {
    Tokens tokens;
    for (size_t at = 0; at < text.size();) {
      const size_t first = at;
      next_code_point(text, at);
      tokens.push_back(text.substr(first, at - first));
    }
    return tokens;
  }

  Tokens matches(std::string_view text) const {
    Tokens tokens;
    for (size_t at = 0; at <= text.size();) {
      const auto match = tokens_[0].find(text, at);
      if (!match) break;
      const auto [first, last] = *match;
      if (long_enough(text.substr(first, last - first))) tokens.push_back(text.substr(first, last - first));
      at = last;
      if (first == last) {  // nothing was matched: on behind the next character
        if (at >= text.size()) break;
        next_code_point(text, at);
      }
    }
    return tokens;
  }

  // Each separator cuts what the ones before have left.
  Tokens separate(std::string_view text) const {
    Tokens tokens{text};
    for (const Regex& separator : separators_) {
      Tokens cut;
      for (const std::string_view token : tokens) {
        size_t start = 0;
        for (size_t at = 0; at < token.size();) {
          const auto match = separator.find(token, at);
          if (!match) break;
          const auto [first, last] = *match;
          if (first == last) {
            if (first >= token.size()) break;
            at = first;
            next_code_point(token, at);
            continue;
          }
          if (long_enough(token.substr(start, first - start))) cut.push_back(token.substr(start, first - start));
          start = at = last;
        }
        if (long_enough(token.substr(start))) cut.push_back(token.substr(start));
      }
      tokens = std::move(cut);
    }
    return tokens;
  }

  std::string pad_;
  bool mark_ = false, by_characters_ = false;
  int64_t least_ = 1;
  std::vector<Regex> tokens_, separators_;  // of which one has elements
};

constexpr OpDef kDefs[] = {{"com.microsoft", "Tokenizer", 1, 1, 1, 1, 1, create<Tokenizer>, OpDef::kAllocates}};

}  // namespace

extern const std::span<const OpDef> kTokenizerOps = kDefs;

}  // namespace linnet
