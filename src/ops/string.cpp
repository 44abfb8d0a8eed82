// Texts joined, split, matched and normalized.
// https://onnx.ai/onnx/operators/onnx__StringConcat.html, ...StringSplit, ...RegexFullMatch, ...StringNormalizer
#include <algorithm>
#include <unordered_set>

#include "base/regex.h"
#include "base/unicode.h"
#include "ops/element_types.h"
#include "ops/infer_shapes.h"

namespace linnet {
namespace {

constexpr TypeSet kString{DType::string};

class StringConcat final : public Op {
 public:
  Status parse(NodeReader&) { return {}; }
  Status infer(InferContext& context) const override {
    LINNET_TRY(expect_type(context, 0, kString));
    LINNET_TRY(expect_type(context, 1, kString));
    LINNET_ASSIGN(std::optional<SymShape> shape, broadcast_inputs(context, 0, 2));
    if (!shape) {
      context.set_unranked(0, DType::string);
    } else {
      context.set(0, DType::string, std::move(*shape));
    }
    return {};
  }
  Status run(RunContext& context) const override {
    const Tensor &a = context.in(0), &b = context.in(1);
    Tensor& out = context.out(0);
    const Shape a_steps = steps(a.shape, out.shape), b_steps = steps(b.shape, out.shape);
    for (int64_t i = 0; i < out.count(); ++i) {
      int64_t at_a = 0, at_b = 0, rest = i;
      for (size_t axis = out.shape.rank(); axis-- > 0; rest /= out.shape[axis]) {
        at_a += rest % out.shape[axis] * a_steps[axis];
        at_b += rest % out.shape[axis] * b_steps[axis];
      }
      out.ptr<std::string>()[i] = a.ptr<std::string>()[at_a] + b.ptr<std::string>()[at_b];
    }
    return {};
  }

 private:
  // Strides of an input along the axes of the output; 0 where it is repeated.
  static Shape steps(const Shape& in, const Shape& out) {
    const Shape strides = strides_of(in);
    Shape result(out.rank(), 0);
    const size_t missing = out.rank() - in.rank();
    for (size_t axis = 0; axis < in.rank(); ++axis)
      if (in[axis] != 1) result[missing + axis] = strides[axis];
    return result;
  }
};

bool is_space(char c) noexcept { return c == ' ' || (c >= '\t' && c <= '\r'); }

class StringSplit final : public Op {
 public:
  Status parse(NodeReader& reader) {
    delimiter_ = reader.text("delimiter", "");
    max_splits_ = reader.integer("maxsplit", -1);
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_TRY(expect_type(context, 0, kString));
    if (!context.ranked(0)) {
      context.set_unranked(0, DType::string);
      context.set_unranked(1, DType::i64);
      return {};
    }
    SymShape shape = context.shape(0);
    context.set(1, DType::i64, shape);
    shape.push_back(Dim());
    context.set(0, DType::string, std::move(shape));
    return {};
  }
  Status run(RunContext& context) const override {
    const std::span<const std::string> texts = context.in(0).as<std::string>();
    std::vector<std::vector<std::string_view>> parts;
    parts.reserve(texts.size());
    size_t most = 0;
    for (const std::string& text : texts) {
      parts.push_back(delimiter_.empty() ? split_at_spaces(text) : split(text));
      most = std::max(most, parts.back().size());
    }
    Shape shape = context.in(0).shape;
    shape.push_back(static_cast<int64_t>(most));
    LINNET_TRY(context.allocate(0, DType::string, shape));
    std::string* out = context.out(0).ptr<std::string>();
    for (size_t i = 0; i < parts.size(); ++i) {
      std::copy(parts[i].begin(), parts[i].end(), out + i * most);
      if (context.wants(1)) context.out(1).ptr<int64_t>()[i] = static_cast<int64_t>(parts[i].size());
    }
    return {};
  }

 private:
  bool may_split(const std::vector<std::string_view>& parts) const noexcept {
    return max_splits_ < 0 || static_cast<int64_t>(parts.size()) < max_splits_;
  }
  std::vector<std::string_view> split(std::string_view text) const {
    std::vector<std::string_view> parts;
    if (text.empty()) return parts;
    while (may_split(parts)) {
      const size_t end = text.find(delimiter_);
      if (end == text.npos) break;
      parts.push_back(text.substr(0, end));
      text.remove_prefix(end + delimiter_.size());
    }
    parts.push_back(text);
    return parts;
  }
  // Spaces separate in groups; none remain at either end.
  std::vector<std::string_view> split_at_spaces(std::string_view text) const {
    std::vector<std::string_view> parts;
    const auto trim = [&] {
      text.remove_prefix(static_cast<size_t>(std::find_if_not(text.begin(), text.end(), is_space) - text.begin()));
    };
    for (trim(); !text.empty(); trim()) {
      size_t end = static_cast<size_t>(std::find_if(text.begin(), text.end(), is_space) - text.begin());
      if (!may_split(parts)) {
        for (end = text.size(); is_space(text[end - 1]);) --end;
        parts.push_back(text.substr(0, end));
        break;
      }
      parts.push_back(text.substr(0, end));
      text.remove_prefix(end);
    }
    return parts;
  }

  std::string delimiter_;
  int64_t max_splits_ = -1;
};

class RegexFullMatch final : public Op {
 public:
  Status parse(NodeReader& reader) {
    LINNET_REQUIRE(reader.has("pattern"), invalid_model("the attribute 'pattern' is missing"));
    LINNET_ASSIGN(regex_, Regex::compile(reader.text("pattern", "")));
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_TRY(expect_type(context, 0, kString));
    if (context.ranked(0)) {
      context.set(0, DType::boolean, context.shape(0));
    } else {
      context.set_unranked(0, DType::boolean);
    }
    return {};
  }
  Status run(RunContext& context) const override {
    const std::span<const std::string> texts = context.in(0).as<std::string>();
    std::transform(texts.begin(), texts.end(), context.out(0).ptr<bool>(),
                   [this](const std::string& text) { return regex_.full_match(text); });
    return {};
  }

 private:
  Regex regex_;
};

class StringNormalizer final : public Op {
 public:
  Status parse(NodeReader& reader) {
    reader.ignore("locale");
    const std::string action = reader.text("case_change_action", "NONE");
    LINNET_REQUIRE(action == "NONE" || action == "LOWER" || action == "UPPER",
                   invalid_model("'case_change_action' is '", action, "', not NONE, LOWER or UPPER"));
    change_ = action[0];
    case_sensitive_ = reader.flag("is_case_sensitive", false);
    for (const std::string& word : reader.texts("stopwords"))
      stopwords_.insert(case_sensitive_ ? word : to_lower(word));
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_TRY(expect_type(context, 0, kString));
    if (!context.ranked(0)) {
      context.set_unranked(0, DType::string);
      return {};
    }
    const SymShape& in = context.shape(0);
    LINNET_REQUIRE(in.size() == 1 || (in.size() == 2 && (!in[0].known() || in[0].is(1))),
                   invalid_argument("the input is neither a list nor a matrix of one row"));
    context.set(0, DType::string, in.size() == 1 ? SymShape{Dim()} : SymShape{Dim(1), Dim()});
    return {};
  }
  Status run(RunContext& context) const override {
    const Tensor& in = context.in(0);
    std::vector<std::string> kept;
    for (const std::string& text : in.as<std::string>()) {
      if (stopwords_.contains(case_sensitive_ ? text : to_lower(text))) continue;
      kept.push_back(change_ == 'L' ? to_lower(text) : change_ == 'U' ? to_upper(text) : text);
    }
    if (kept.empty()) kept.emplace_back();
    const int64_t count = static_cast<int64_t>(kept.size());
    LINNET_TRY(context.allocate(0, DType::string, in.shape.rank() == 1 ? Shape{count} : Shape{1, count}));
    std::move(kept.begin(), kept.end(), context.out(0).ptr<std::string>());
    return {};
  }

 private:
  char change_ = 'N';
  bool case_sensitive_ = false;
  std::unordered_set<std::string> stopwords_;
};

constexpr OpDef kDefs[] = {
    {"", "StringConcat", 20, 2, 2, 1, 1, create<StringConcat>},
    {"", "StringSplit", 20, 1, 1, 1, 2, create<StringSplit>, OpDef::kAllocates},
    {"", "RegexFullMatch", 20, 1, 1, 1, 1, create<RegexFullMatch>},
    {"", "StringNormalizer", 10, 1, 1, 1, 1, create<StringNormalizer>, OpDef::kAllocates},
};

}  // namespace

extern const std::span<const OpDef> kStringOps = kDefs;

}  // namespace linnet
