// https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsembleClassifier.html, ...TreeEnsembleRegressor, ...TreeEnsemble
#include <algorithm>

#include "ops/ml/class_labels.h"
#include "ops/ml/features.h"
#include "ops/ml/packed_trees.h"
#include "ops/ml/post_transform.h"
#include "ops/ml/tree_attributes.h"
#include "ops/registry.h"

namespace linnet {
namespace {

// What the three operators share. Doubles are compared and summed as doubles, everything else as floats. Those of
// linnet have the built trees as constants and what the lists say beyond them as attributes.
class TreeOp : public Op {
 public:
  Status prepare(PrepareContext& context) override {
    is_double_ = context.dtype(0) == DType::f64;
    return is_double_ ? prepare_as(context, doubles_) : prepare_as(context, floats_);
  }

  // Instead of prepare: makes the node that was parsed one of linnet, but for the inputs that are returned.
  Result<std::vector<Tensor>> pack(Node& node, DType features) {
    // That of a node which no root leads to has not been looked at.
    LINNET_REQUIRE(features_ < static_cast<int64_t>(kMostTreeNodes), invalid_model("a tree tests feature ", features_));
    std::vector<Tensor> constants;
    LINNET_TRY(features == DType::f64 ? pack_as(constants, doubles_) : pack_as(constants, floats_));
    std::erase_if(node.attributes, [](const Attribute& attribute) { return is_list(attribute.name); });
    node.domain = "linnet";
    node.version = 1;
    node.set("features", features_ + 1);
    node.set("strict", int64_t{strict_});
    node.set("every_target_voted", int64_t{every_target_voted_});
    describe(node);
    return constants;
  }

  Status bind(BindContext& context) const override {
    const Shape& shape = context.shape(0);
    const size_t cells = row_count(shape) * targets_;
    const size_t size = is_double_ ? sizeof(double) : sizeof(float);
    State& state = context.state<State>();
    const bool widen = context.dtype(0) != DType::f64 && context.dtype(0) != DType::f32;
    state.scores = widen ? round_up(static_cast<size_t>(shape.count()) * sizeof(float), 64) : 0;
    state.voted = state.scores + round_up(cells * size, 64);
    context.request_scratch(state.voted + cells);
    return {};
  }

 protected:
  virtual TreeUse use() const = 0;
  // Before the lists go, and before use() is asked.
  virtual void look_at_votes() {}
  // Attributes of linnet's operator beyond those that all have.
  virtual void describe(Node&) const {}

  struct State {
    size_t scores, voted;  // where they start in the scratch memory, behind the converted features
  };

  // The lists, with votes in `prefix`_ids and so on or, where that is empty, by index; or what stands for them.
  Status parse_trees(NodeReader& reader, const std::string& prefix) {
    packed_ = reader.domain() == "linnet";
    if (packed_) {
      const int64_t features = reader.integer("features", 0);
      LINNET_REQUIRE(features >= 0 && features <= static_cast<int64_t>(kMostTreeNodes),
                     invalid_model("the trees test ", features, " features"));
      features_ = features - 1;
      strict_ = reader.flag("strict", false);
      every_target_voted_ = reader.flag("every_target_voted", false);
      return {};
    }
    LINNET_ASSIGN(lists_, prefix.empty() ? parse_trees_by_index(reader) : parse_trees_by_id(reader, prefix));
    features_ = lists_.greatest_feature();
    return {};
  }
  Status parse_base(NodeReader& reader) {
    LINNET_ASSIGN(transform_, parse_post_transform(reader));
    LINNET_ASSIGN(const NumberList base, numbers_or_tensor(reader, "base_values"));
    for (size_t i = 0; i < base.size(); ++i) base_.push_back(base[i]);
    return {};
  }
  Status parse_targets(int64_t targets) {
    LINNET_REQUIRE(targets > 0 && targets < INT32_MAX, invalid_model("has ", targets, " targets or classes"));
    targets_ = static_cast<size_t>(targets);
    return {};
  }

  Result<Dim> infer_rows(const InferContext& context) const {
    LINNET_ASSIGN(const FeatureShape shape, feature_shape(context, 0));
    LINNET_REQUIRE(
        !shape.features.known() || shape.features.value() > features_,
        invalid_argument("the trees test feature ", features_, ", but the input has ", shape.features.value()));
    return shape.rows;
  }

  // `finish(row, scores, voted)` for each row, with the sums of the votes; voted is nullptr where all are or nobody
  // asks.
  template <class T, class Finish>
  void evaluate(RunContext& context, const TreeEnsembleView<T>& trees, TreeAggregate aggregate,
                const Finish& finish) const {
    const State& state = context.state<State>();
    const Shape& shape = context.in(0).shape;
    const T* rows;
    if constexpr (std::is_same_v<T, double>) {
      rows = context.in(0).ptr<double>();
    } else {
      rows = float_features(context, 0, context.scratch());
    }
    constexpr T kNoFeature{};  // leaves are compared with the first feature, whatever comes of it
    if (feature_count(shape) == 0) rows = &kNoFeature;
    T* scores = reinterpret_cast<T*>(context.scratch() + state.scores);
    bool* voted = only_sums() ? nullptr : reinterpret_cast<bool*>(context.scratch() + state.voted);
    const size_t count = row_count(shape);
    evaluate_trees(trees, rows, feature_count(shape), count, aggregate, scores, voted, context.parallel);
    for (size_t row = 0; row < count; ++row)
      finish(row, std::span(scores + row * targets_, targets_), voted ? voted + row * targets_ : nullptr);
  }

  TreeLists lists_;  // empty once prepared
  TreeEnsembleView<float> floats_;
  TreeEnsembleView<double> doubles_;
  std::shared_ptr<void> built_;  // has what they view; null where constants do
  bool is_double_ = false;
  bool packed_ = false;
  bool strict_ = false;              // without tests, all are < instead of <=
  bool every_target_voted_ = false;  // once built
  size_t targets_ = 1;
  int64_t features_ = -1;  // the greatest that a node tests
  PostTransform transform_ = PostTransform::none;
  std::vector<double> base_;

 private:
  // Nobody asks which targets were voted for.
  bool only_sums() const { return use() == TreeUse::sums || (use() == TreeUse::sums_and_voted && every_target_voted_); }

  template <class T>
  Status prepare_as(PrepareContext& context, TreeEnsembleView<T>& trees) {
    if (!packed_) {
      LINNET_ASSIGN(const auto built, build<T>());
      trees = built->view();
      built_ = built;
      return {};
    }
    LINNET_ASSIGN(trees, constant_trees<T>(context, targets_, features_ + 1));
    trees.test = strict_ ? TreeTest::lt : TreeTest::leq;
    LINNET_REQUIRE(trees.width == 0 || only_sums(), invalid_model("has weights where votes are needed"));
    return {};
  }

  template <class T>
  Status pack_as(std::vector<Tensor>& constants, const TreeEnsembleView<T>&) {
    LINNET_ASSIGN(const auto built, build<T>());
    constants = tree_constants(built);
    return {};
  }

  template <class T>
  Result<std::shared_ptr<BuiltTrees<T>>> build() {
    LINNET_ASSIGN(RawTrees raw, raw_trees(lists_));
    look_at_votes();
    lists_ = TreeLists();
    LINNET_ASSIGN(auto built, build_trees<T>(std::move(raw), targets_, use()));
    strict_ = built->test == TreeTest::lt;
    every_target_voted_ = built->every_target_voted;
    return built;
  }

  static bool is_list(std::string_view attribute) {
    constexpr std::string_view kLists[] = {"class_", "leaf_", "membership_values", "nodes_", "target_", "tree_roots"};
    return std::any_of(std::begin(kLists), std::end(kLists), [&](auto list) { return attribute.starts_with(list); });
  }
};

class TreeRegressor : public TreeOp {
 public:
  Status infer(InferContext& context) const override {
    LINNET_TRY(check_type(context));
    LINNET_ASSIGN(const Dim rows, infer_rows(context));
    context.set(0, out_dtype(context.dtype(0)), {rows, Dim(static_cast<int64_t>(targets_))});
    return {};
  }

  Status run(RunContext& context) const override {
    return is_double_ ? run_as(context, doubles_) : run_as(context, floats_);
  }

 protected:
  TreeUse use() const override { return aggregate_ == TreeAggregate::sum ? TreeUse::sums : TreeUse::extremes; }
  virtual Status check_type(const InferContext& context) const { return check_feature_type(context, 0); }
  virtual DType out_dtype(DType) const { return DType::f32; }

  Status set_aggregate(int64_t function) {  // numbered as TreeEnsemble does
    LINNET_REQUIRE(function >= 0 && function <= 3, invalid_model("aggregate_function ", function, " is not known"));
    average_ = function == 0;
    aggregate_ = function < 2 ? TreeAggregate::sum : function == 2 ? TreeAggregate::min : TreeAggregate::max;
    return {};
  }

 private:
  template <class T>
  Status run_as(RunContext& context, const TreeEnsembleView<T>& trees) const {
    const double tree_count = static_cast<double>(trees.roots.size());
    Tensor& out = context.out(0);
    evaluate(context, trees, aggregate_, [&](size_t row, std::span<T> scores, const bool*) {
      for (size_t k = 0; k < targets_; ++k) {
        if (average_) scores[k] /= static_cast<T>(tree_count);
        if (!base_.empty()) scores[k] += static_cast<T>(base_[k]);
      }
      post_transform(transform_, scores);
      for (size_t k = 0; k < targets_; ++k) {
        const size_t cell = row * targets_ + k;
        if (out.dtype == DType::f64) {
          out.ptr<double>()[cell] = static_cast<double>(scores[k]);
        } else if (out.dtype == DType::f16) {
          out.ptr<f16>()[cell] = f16(static_cast<float>(scores[k]));
        } else {
          out.ptr<float>()[cell] = static_cast<float>(scores[k]);
        }
      }
    });
    return {};
  }

  TreeAggregate aggregate_ = TreeAggregate::sum;
  bool average_ = false;
};

class TreeEnsembleRegressor final : public TreeRegressor {
 public:
  Status parse(NodeReader& reader) {
    constexpr std::string_view kFunctions[] = {"AVERAGE", "SUM", "MIN", "MAX"};
    const std::string function = reader.text("aggregate_function", "SUM");
    const auto* known = std::find(std::begin(kFunctions), std::end(kFunctions), function);
    LINNET_REQUIRE(known != std::end(kFunctions), invalid_model("aggregate_function '", function, "' is not known"));
    LINNET_TRY(set_aggregate(known - std::begin(kFunctions)));
    LINNET_TRY(parse_trees(reader, "target"));
    LINNET_TRY(parse_targets(reader.integer("n_targets", 1)));
    LINNET_TRY(parse_base(reader));
    LINNET_REQUIRE(base_.empty() || base_.size() == targets_,
                   invalid_model("has ", base_.size(), " base values for ", targets_, " targets"));
    return {};
  }
};

class TreeEnsemble final : public TreeRegressor {
 public:
  Status parse(NodeReader& reader) {
    LINNET_TRY(set_aggregate(reader.integer("aggregate_function", 1)));
    const int64_t transform = reader.integer("post_transform", 0);
    LINNET_REQUIRE(transform >= 0 && transform <= 4, invalid_model("post_transform ", transform, " is not known"));
    transform_ = static_cast<PostTransform>(transform);
    LINNET_TRY(parse_trees(reader, ""));
    return parse_targets(reader.integer("n_targets", 1));
  }

 private:
  Status check_type(const InferContext& context) const override {
    const DType type = context.dtype(0);
    LINNET_REQUIRE(type == DType::f32 || type == DType::f64 || type == DType::f16,
                   unsupported("features of type ", dtype_name(type), " are not supported"));
    return {};
  }
  DType out_dtype(DType type) const override { return type; }
};

class TreeEnsembleClassifier final : public TreeOp {
 public:
  Status parse(NodeReader& reader) {
    LINNET_TRY(parse_trees(reader, "class"));
    LINNET_TRY(labels_.parse(reader, "classlabels_int64s", "classlabels_strings"));
    LINNET_TRY(parse_targets(static_cast<int64_t>(labels_.size())));
    LINNET_TRY(parse_base(reader));
    const bool fits = base_.empty() || base_.size() == targets_ || (targets_ == 2 && base_.size() == 1);
    LINNET_REQUIRE(fits, invalid_model("has ", base_.size(), " base values for ", targets_, " classes"));
    if (!packed_) return {};
    only_class_ = reader.integer("only_class", -1);
    LINNET_REQUIRE(only_class_ >= -1 && only_class_ <= 1, invalid_model("only_class is ", only_class_));
    no_negative_vote_ = reader.flag("no_negative_vote", true);
    return {};
  }

  Status infer(InferContext& context) const override {
    LINNET_TRY(check_feature_type(context, 0));
    LINNET_ASSIGN(const Dim rows, infer_rows(context));
    context.set(0, labels_.dtype(), {rows});
    context.set(1, DType::f32, {rows, Dim(static_cast<int64_t>(targets_))});
    return {};
  }

  Status run(RunContext& context) const override {
    if (is_double_) {
      run_as(context, doubles_);
    } else {
      run_as(context, floats_);
    }
    return {};
  }

 private:
  TreeUse use() const override {
    return targets_ == 1 || is_one_sided() || !base_.empty() ? TreeUse::sums : TreeUse::sums_and_voted;
  }

  void look_at_votes() override {
    const std::span<const int64_t> votes = lists_.targets;
    if (!votes.empty() && votes[0] == 1) only_class_ = 1;
    for (size_t i = 0; i < votes.size(); ++i) {
      if (votes[i] != votes[0]) only_class_ = -1;
      no_negative_vote_ &= lists_.weights[i] >= 0;
    }
  }

  void describe(Node& node) const override {
    node.set("only_class", only_class_);
    node.set("no_negative_vote", int64_t{no_negative_vote_});
  }

  bool is_one_sided() const { return targets_ == 2 && only_class_ >= 0; }

  template <class T>
  void run_as(RunContext& context, const TreeEnsembleView<T>& trees) const {
    evaluate(context, trees, TreeAggregate::sum, [&](size_t row, std::span<T> scores, const bool* voted) {
      float* out = context.wants(1) ? context.out(1).ptr<float>() + row * targets_ : nullptr;
      if (is_one_sided()) {
        finish_one_sided(context, row, static_cast<float>(scores[static_cast<size_t>(only_class_)]), out);
        return;
      }
      for (size_t k = 0; k < base_.size(); ++k) scores[k] += static_cast<T>(base_[k]);
      if (context.wants(0)) {
        if (targets_ == 1) {
          labels_.write_sign(context.out(0), row, scores[0] > 0);
        } else {
          labels_.write(context.out(0), row, best(std::span<const T>(scores), voted));
        }
      }
      post_transform(transform_, scores);
      if (out) std::transform(scores.begin(), scores.end(), out, [](T s) { return static_cast<float>(s); });
    });
  }

  // The class with the greatest score among those that were voted for.
  template <class T>
  static size_t best(std::span<const T> scores, const bool* voted) {
    size_t winner = scores.size();
    for (size_t k = 0; k < scores.size(); ++k)
      if ((!voted || voted[k]) && (winner == scores.size() || scores[k] > scores[winner])) winner = k;
    return winner == scores.size() ? 0 : winner;
  }

  // Two classes, but all votes are for one: their sum weighs for the second class, and the first gets what is left.
  void finish_one_sided(RunContext& context, size_t row, float score, float* out) const {
    if (!base_.empty()) score += static_cast<float>(base_[base_.size() == 2 ? static_cast<size_t>(only_class_) : 0]);
    if (context.wants(0)) labels_.write(context.out(0), row, score > (no_negative_vote_ ? 0.5f : 0.0f) ? 1 : 0);
    if (!out) return;
    out[0] = out[1] = score;
    if (only_class_ == 0) {
      add_second_class(transform_, no_negative_vote_ ? SecondClass::complement : SecondClass::opposite, out);
    } else {
      out[0] = 0;
      post_transform(transform_, std::span(out, 2));
    }
  }

  ClassLabels labels_;
  int64_t only_class_ = 0;  // of two, where all votes are for one; -1 where not
  bool no_negative_vote_ = true;
};

constexpr OpDef kDefs[] = {
    {"ai.onnx.ml", "TreeEnsembleClassifier", 1, 1, 1, 1, 2, create<TreeEnsembleClassifier>},
    {"ai.onnx.ml", "TreeEnsembleRegressor", 1, 1, 1, 1, 1, create<TreeEnsembleRegressor>},
    {"ai.onnx.ml", "TreeEnsemble", 5, 1, 1, 1, 1, create<TreeEnsemble>},
    {"linnet", "TreeEnsembleClassifier", 1, 1, TreeInput::kEnd, 1, 2, create<TreeEnsembleClassifier>},
    {"linnet", "TreeEnsembleRegressor", 1, 1, TreeInput::kEnd, 1, 1, create<TreeEnsembleRegressor>},
    {"linnet", "TreeEnsemble", 1, 1, TreeInput::kEnd, 1, 1, create<TreeEnsemble>},
};

}  // namespace

Result<std::vector<Tensor>> pack_tree_node(Node& node, DType features) {
  LINNET_ASSIGN(const std::unique_ptr<Op> op, create_op(node));
  return static_cast<TreeOp&>(*op).pack(node, features);
}

extern const std::span<const OpDef> kTreeOps = kDefs;

}  // namespace linnet
