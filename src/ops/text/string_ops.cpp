// https://onnx.ai/onnx/operators/onnx__StringNormalizer.html, ...StringConcat, ...StringSplit, ...RegexFullMatch
#include <algorithm>
#include <unordered_set>

#include "ops/infer_shapes.h"
#include "ops/text/regex.h"
#include "ops/text/unicode.h"

namespace linnet {
namespace {

Status require_strings(const InferContext& context, size_t i) {
  LINNET_REQUIRE(context.dtype(i) == DType::string, invalid_model("input ", i, " is ", dtype_name(context.dtype(i)), ", not strings"));
  return {};
}

class StringNormalizer final : public Op {
 public:
  Status parse(NodeReader& reader) {
    reader.ignore("locale");  // Unicode's mappings, which do not depend on the language
    const std::string action = reader.text("case_change_action", "NONE");
    LINNET_REQUIRE(action == "NONE" || action == "LOWER" || action == "UPPER", invalid_model("case_change_action '", action, "' is not known"));
    action_ = action == "NONE" ? Case::keep : action == "LOWER" ? Case::lower : Case::upper;
    case_sensitive_ = reader.flag("is_case_sensitive", false);
    for (const std::string& word : reader.texts("stopwords")) stopwords_.insert(case_sensitive_ ? word : change(word, Case::lower));
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_TRY(require_strings(context, 0));
    if (!context.ranked(0)) {
      context.set_unranked(0, DType::string);
      return {};
    }
    const SymShape& in = context.shape(0);
    LINNET_REQUIRE(in.size() == 1 || (in.size() == 2 && (!in[0].known() || in[0].is(1))), invalid_argument("takes a tensor [C] or [1, C]"));
    context.set(0, DType::string, in.size() == 1 ? SymShape{Dim()} : SymShape{1, Dim()});
    return {};
  }
  Status run(RunContext& context) const override {
    const Tensor& in = context.in(0);
    std::vector<std::string> kept;
    for (const std::string& word : in.as<std::string>()) {
      if (!stopwords_.empty() && stopwords_.count(case_sensitive_ ? word : change(word, Case::lower)) != 0) continue;
      kept.push_back(change(word, action_));
    }
    if (kept.empty()) kept.emplace_back();
    const int64_t count = static_cast<int64_t>(kept.size());
    LINNET_TRY(context.allocate(0, DType::string, in.shape.rank() == 1 ? Shape{count} : Shape{1, count}));
    std::move(kept.begin(), kept.end(), context.out(0).ptr<std::string>());
    return {};
  }

 private:
  enum class Case : uint8_t { keep, lower, upper };

  static std::string change(const std::string& word, Case action) {
    if (action == Case::keep) return word;
    std::string changed;
    changed.reserve(word.size());
    for (size_t at = 0; at < word.size();) {
      const size_t first = at;
      const char32_t c = next_code_point(word, at);
      if (c == kInvalidCodePoint) {
        changed.append(word, first, at - first);
      } else {
        append_utf8(changed, action == Case::lower ? to_lower(c) : to_upper(c));
      }
    }
    return changed;
  }

  Case action_ = Case::keep;
  bool case_sensitive_ = false;
  std::unordered_set<std::string> stopwords_;
};

class StringConcat final : public Op {
 public:
  Status parse(NodeReader&) { return {}; }
  Status infer(InferContext& context) const override {
    LINNET_TRY(require_strings(context, 0));
    LINNET_TRY(require_strings(context, 1));
    LINNET_ASSIGN(std::optional<SymShape> shape, broadcast_inputs(context, 0, 2));
    if (shape) {
      context.set(0, DType::string, std::move(*shape));
    } else {
      context.set_unranked(0, DType::string);
    }
    return {};
  }
  Status run(RunContext& context) const override {
    const Tensor &a = context.in(0), &b = context.in(1);
    Tensor& out = context.out(0);
    const Shape a_steps = steps(a.shape, out.shape), b_steps = steps(b.shape, out.shape);
    for (int64_t i = 0; i < out.count(); ++i) {
      int64_t rest = i, ai = 0, bi = 0;
      for (size_t axis = out.shape.rank(); axis-- > 0; rest /= out.shape[axis]) {
        ai += rest % out.shape[axis] * a_steps[axis];
        bi += rest % out.shape[axis] * b_steps[axis];
      }
      out.ptr<std::string>()[i] = a.ptr<std::string>()[ai] + b.ptr<std::string>()[bi];
    }
    return {};
  }

 private:
  // Strides of an input along the axes of the output, 0 where it is repeated.
  static Shape steps(const Shape& shape, const Shape& out) {
    const Shape strides = strides_of(shape);
    Shape result(out.rank(), 0);
    const size_t missing = out.rank() - shape.rank();
    for (size_t i = 0; i < shape.rank(); ++i) result[missing + i] = shape[i] == 1 ? 0 : strides[i];
    return result;
  }
};

class StringSplit final : public Op {
 public:
  Status parse(NodeReader& reader) {
    delimiter_ = reader.text("delimiter", "");
    const int64_t most = reader.integer("maxsplit", INT64_MAX);
    most_ = most < 0 ? INT64_MAX : most;
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_TRY(require_strings(context, 0));
    if (!context.ranked(0)) {
      context.set_unranked(0, DType::string);
      context.set_unranked(1, DType::i64);
      return {};
    }
    SymShape parts = context.shape(0);
    parts.push_back(Dim());
    context.set(0, DType::string, std::move(parts));
    context.set(1, DType::i64, context.shape(0));
    return {};
  }
  Status run(RunContext& context) const override {
    const Tensor& in = context.in(0);
    std::vector<std::vector<std::string_view>> parts;
    size_t width = 0;
    for (const std::string& text : in.as<std::string>()) {
      parts.push_back(delimiter_.empty() ? split_at_space(text) : split(text));
      width = std::max(width, parts.back().size());
    }
    if (context.wants(0)) {
      Shape shape = in.shape;
      shape.push_back(static_cast<int64_t>(width));
      LINNET_TRY(context.allocate(0, DType::string, shape));
      std::string* out = context.out(0).ptr<std::string>();
      for (size_t i = 0; i < parts.size(); ++i)
        for (size_t k = 0; k < width; ++k) out[i * width + k] = k < parts[i].size() ? std::string(parts[i][k]) : std::string();
    }
    if (context.wants(1)) {
      LINNET_TRY(context.allocate(1, DType::i64, in.shape));
      for (size_t i = 0; i < parts.size(); ++i) context.out(1).ptr<int64_t>()[i] = static_cast<int64_t>(parts[i].size());
    }
    return {};
  }

 private:
  std::vector<std::string_view> split(std::string_view text) const {
    std::vector<std::string_view> parts;
    if (text.empty()) return parts;
    for (int64_t done = 0; done < most_; ++done) {
      const size_t end = text.find(delimiter_);
      if (end == std::string_view::npos) break;
      parts.push_back(text.substr(0, end));
      text.remove_prefix(end + delimiter_.size());
    }
    parts.push_back(text);
    return parts;
  }
  std::vector<std::string_view> split_at_space(std::string_view text) const {
    constexpr std::string_view kSpace = " \t\n\v\f\r";
    std::vector<std::string_view> parts;
    const size_t last = text.find_last_not_of(kSpace);
    text = text.substr(0, last == std::string_view::npos ? 0 : last + 1);
    for (int64_t done = 0;; ++done) {
      const size_t first = text.find_first_not_of(kSpace);
      if (first == std::string_view::npos) return parts;
      text.remove_prefix(first);
      const size_t end = done < most_ ? text.find_first_of(kSpace) : std::string_view::npos;
      parts.push_back(text.substr(0, end));
      if (end == std::string_view::npos) return parts;
      text.remove_prefix(end);
    }
  }

  std::string delimiter_;
  int64_t most_ = INT64_MAX;
};

class RegexFullMatch final : public Op {
 public:
  Status parse(NodeReader& reader) {
    LINNET_REQUIRE(reader.has("pattern"), invalid_model("lacks the attribute 'pattern'"));
    LINNET_ASSIGN(regex_, Regex::compile(reader.text("pattern", "")));
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_TRY(require_strings(context, 0));
    if (context.ranked(0)) {
      context.set(0, DType::boolean, context.shape(0));
    } else {
      context.set_unranked(0, DType::boolean);
    }
    return {};
  }
  Status run(RunContext& context) const override {
    const std::string* in = context.in(0).ptr<std::string>();
    bool* out = context.out(0).ptr<bool>();
    context.parallel.for_range(static_cast<size_t>(context.in(0).count()), 8, [&](size_t begin, size_t end, size_t) {
      for (size_t i = begin; i < end && !context.parallel.stopped(); ++i) out[i] = regex_.full_match(in[i]);
    });
    return {};
  }

 private:
  Regex regex_;
};

constexpr OpDef kDefs[] = {
    {"", "StringNormalizer", 10, 1, 1, 1, 1, create<StringNormalizer>},
    {"", "StringConcat", 20, 2, 2, 1, 1, create<StringConcat>},
    {"", "StringSplit", 20, 1, 1, 1, 2, create<StringSplit>},
    {"", "RegexFullMatch", 20, 1, 1, 1, 1, create<RegexFullMatch>},
};

}  // namespace

extern const std::span<const OpDef> kStringOps = kDefs;

}  // namespace linnet
