// Sums of products over labelled axes: pairs of operands become batched products of matrices, from left to right.
// https://onnx.ai/onnx/operators/onnx__Einsum.html
#include <algorithm>
#include <array>
#include <utility>

#include "kernels/elementwise/half_convert.h"
#include "kernels/gemm/plain_product.h"
#include "kernels/transpose/transpose.h"
#include "ops/einsum_equation.h"
#include "ops/matrix_product.h"

namespace linnet {
namespace {

constexpr size_t kMaxOperands = 16;
constexpr size_t kMaxAxes = 24;
// Below so many multiply-adds a matrix is multiplied by plain loops.
constexpr double kSmallProduct = 64.0;
// Fewer rows or columns than so are not worth a product of their own, but copies that make them part of a larger one.
constexpr size_t kLeast = kPanelWidth;

// A view of numbers by labelled axes. Plain data.
struct View {
  size_t rank = 0;
  std::array<Label, kMaxAxes> label;
  std::array<size_t, kMaxAxes> size, stride;

  void add(Label l, size_t s, size_t step) noexcept {
    label[rank] = l;
    size[rank] = s;
    stride[rank++] = step;
  }
  const size_t* find(Label l) const noexcept {
    for (size_t i = 0; i < rank; ++i)
      if (label[i] == l) return &stride[i];
    return nullptr;
  }
  size_t* find(Label l) noexcept { return const_cast<size_t*>(std::as_const(*this).find(l)); }
  size_t stride_of(Label l) const noexcept {
    const size_t* found = find(l);
    return found ? *found : 0;
  }
};

// Axes of one size each, outermost first.
struct Axes {
  size_t rank = 0;
  std::array<Label, kMaxAxes> label;
  std::array<size_t, kMaxAxes> size;

  void add(Label l, size_t s) noexcept {
    label[rank] = l;
    size[rank++] = s;
  }
  size_t count() const noexcept {
    size_t n = 1;
    for (size_t i = 0; i < rank; ++i) n *= size[i];
    return n;
  }
  std::optional<size_t> checked_count() const noexcept {
    std::optional<size_t> n = 1;
    for (size_t i = 0; i < rank && n; ++i) n = checked_mul(*n, size[i]);
    return n;
  }
  // As if one axis: its stride, or nothing where the view's strides do not allow that.
  std::optional<size_t> merged_stride(const View& view) const noexcept {
    size_t stride = 0, next = 0;
    bool first = true;
    for (size_t i = rank; i-- > 0;) {
      if (size[i] == 1) continue;
      const size_t here = view.stride_of(label[i]);
      if (first) stride = here;
      if (!first && here != next) return std::nullopt;
      next = here * size[i];
      first = false;
    }
    return stride;
  }
  bool merges(const View& one, const View& two) const noexcept { return merged_stride(one) && merged_stride(two); }
  // The greatest run of axes that merges in both views; with `last`, among those that end with the last axis.
  Axes merged_run(const View& one, const View& two, bool last) const noexcept {
    Axes best;
    for (size_t begin = 0; begin < rank; ++begin) {
      Axes run;
      for (size_t end = begin; end < rank; ++end) {
        run.add(label[end], size[end]);
        if ((!last || end + 1 == rank) && run.count() > best.count() && run.merges(one, two)) best = run;
      }
    }
    return best;
  }
};

// dst, dense in the order of `kept`, gets the sum over `summed`.
struct Copy {
  bool needed = false;
  Axes kept, summed;
  std::array<size_t, kMaxAxes> kept_stride, summed_stride;
  std::optional<TransposePlan> transposition;  // that does the same
  size_t to = 0;                               // in scratch
};

// One pair: a and b, copied first where their strides are awkward, multiplied into c.
struct Pair {
  bool swapped = false;  // a is the right operand
  Copy copy_a, copy_b;
  MatrixProduct product;
  size_t to = 0;
};

struct Plan {
  size_t operands = 0;
  std::array<Pair, kMaxOperands - 1> pairs;
  bool direct = false;  // the last pair writes the output
  Copy last;
  size_t half_inputs[kMaxOperands], half_output = 0, gemm = 0;  // in elements of the type computed in
};

// Where the copy has each number of its source once.
std::optional<TransposePlan> plan_transposition(const Copy& copy, size_t width) {
  if (copy.summed.rank > 0) return std::nullopt;
  const size_t rank = copy.kept.rank;
  std::array<int64_t, kMaxAxes> shape;  // of the source
  std::array<size_t, kMaxAxes> order;
  std::array<bool, kMaxAxes> taken{};
  size_t stride = 1;
  for (size_t axis = rank; axis-- > 0;) {
    size_t i = 0;
    while (i < rank && (taken[i] || (copy.kept.size[i] != 1 && copy.kept_stride[i] != stride))) ++i;
    if (i == rank) return std::nullopt;
    taken[i] = true;
    order[i] = axis;
    shape[axis] = static_cast<int64_t>(copy.kept.size[i]);
    stride *= copy.kept.size[i];
  }
  return plan_transpose({shape.data(), rank}, {order.data(), rank}, width);
}

void set_copy(Copy& copy, const View& view, const Axes& kept, const Axes& summed, size_t width) {
  copy.needed = true;
  copy.kept = kept;
  copy.summed = summed;
  for (size_t i = 0; i < kept.rank; ++i) copy.kept_stride[i] = view.stride_of(kept.label[i]);
  for (size_t i = 0; i < summed.rank; ++i) copy.summed_stride[i] = view.stride_of(summed.label[i]);
  copy.transposition = plan_transposition(copy, width);
}

View dense(const Axes& axes) {
  View view;
  for (size_t i = 0; i < axes.rank; ++i) view.add(axes.label[i], axes.size[i], 0);
  size_t stride = 1;
  for (size_t i = axes.rank; i-- > 0;) {
    view.stride[i] = stride;
    stride *= axes.size[i];
  }
  return view;
}

Axes joined(std::initializer_list<const Axes*> parts) {
  Axes all;
  for (const Axes* part : parts)
    for (size_t i = 0; i < part->rank; ++i) all.add(part->label[i], part->size[i]);
  return all;
}

template <class T>
T sum_over(const Copy& copy, const T* src, size_t axis) {
  using Sum = typename std::conditional_t<std::is_integral_v<T>, std::make_unsigned<T>, std::type_identity<T>>::type;
  if (axis == copy.summed.rank) return *src;
  Sum sum{};
  for (size_t i = 0; i < copy.summed.size[axis]; ++i)
    sum = static_cast<Sum>(sum + static_cast<Sum>(sum_over(copy, src + i * copy.summed_stride[axis], axis + 1)));
  return static_cast<T>(sum);
}

template <class T>
void run_copy(const Copy& copy, const T* src, T* dst, const Parallel& parallel) {
  if (copy.transposition) return transpose(*copy.transposition, src, dst, parallel);
  // Rows of the innermost kept axis.
  const size_t rank = copy.kept.rank;
  const size_t inner = rank == 0 ? 1 : copy.kept.size[rank - 1], step = rank == 0 ? 0 : copy.kept_stride[rank - 1];
  if (copy.kept.count() == 0) return;
  const size_t rows = copy.kept.count() / inner;
  parallel.for_range(rows, grain_for(static_cast<double>(inner * std::max<size_t>(1, copy.summed.count())) * 2.0),
                     [&](size_t begin, size_t end, size_t) {
                       for (size_t row = begin; row < end; ++row) {
                         const T* from = src;
                         size_t rest = row;
                         for (size_t i = rank == 0 ? 0 : rank - 1; i-- > 0;) {
                           from += rest % copy.kept.size[i] * copy.kept_stride[i];
                           rest /= copy.kept.size[i];
                         }
                         T* to = dst + row * inner;
                         for (size_t i = 0; i < inner; ++i) to[i] = sum_over(copy, from + i * step, 0);
                       }
                     });
}

class Einsum final : public Op {
 public:
  Status parse(NodeReader& reader) {
    LINNET_ASSIGN(equation_, parse_einsum(reader.text("equation", "")));
    LINNET_REQUIRE(
        equation_.operands.size() == reader.inputs(),
        invalid_model("the equation has ", equation_.operands.size(), " terms for ", reader.inputs(), " inputs"));
    LINNET_REQUIRE(reader.inputs() <= kMaxOperands, unsupported("Einsum of ", reader.inputs(), " inputs"));
    return {};
  }

  Status infer(InferContext& context) const override {
    const DType type = context.dtype(0);
    LINNET_REQUIRE(is_float(type) || is_integer(type), unsupported("Einsum of ", dtype_name(type)));
    std::array<std::optional<Dim>, kLabelCount> sizes;
    size_t ellipsis = 0;
    bool ranked = true;
    for (size_t i = 0; i < context.inputs(); ++i) {
      LINNET_REQUIRE(context.dtype(i) == type, invalid_model("input ", i, " is of type ", dtype_name(context.dtype(i)),
                                                             ", not ", dtype_name(type)));
      if (!context.ranked(i)) {
        ranked = false;
        continue;
      }
      const SymShape& shape = context.shape(i);
      LINNET_ASSIGN(const size_t axes, ellipsis_axes(i, shape.size()));
      ellipsis = std::max(ellipsis, axes);
      const std::vector<Label> labels = EinsumEquation::expand(equation_.operands[i], axes);
      for (size_t j = 0; j < labels.size(); ++j) {
        std::optional<Dim>& size = sizes[labels[j]];
        if (!size || size->is(1)) {
          size = shape[j];
        } else if (!shape[j].is(1)) {
          LINNET_REQUIRE(
              !size->known() || !shape[j].known() || *size == shape[j],
              invalid_argument("the equation gives one label to axes of ", size->value(), " and ", shape[j].value()));
          if (shape[j].known()) size = shape[j];
        }
      }
    }
    if (!ranked) {
      context.set_unranked(0, type);
      return {};
    }
    SymShape output;
    for (const Label label : EinsumEquation::expand(equation_.output, ellipsis))
      output.push_back(sizes[label].value_or(Dim(1)));
    context.set(0, type, std::move(output));
    return {};
  }

  Status bind(BindContext& context) const override {
    Plan& plan = context.state<Plan>();
    plan.operands = context.inputs();
    const size_t width = half(context.dtype(0)) ? sizeof(float) : element_size(context.dtype(0));
    // Sizes of all labels, then views of the operands.
    std::array<size_t, kLabelCount> sizes;
    sizes.fill(1);
    size_t ellipsis = 0;
    std::array<View, kMaxOperands> views;
    for (size_t i = 0; i < plan.operands; ++i) {
      const Shape& shape = context.shape(i);
      LINNET_ASSIGN(const size_t axes, ellipsis_axes(i, shape.rank()));
      ellipsis = std::max(ellipsis, axes);
      const std::vector<Label> labels = EinsumEquation::expand(equation_.operands[i], axes);
      for (size_t j = 0; j < labels.size(); ++j)
        if (shape[j] != 1) sizes[labels[j]] = static_cast<size_t>(shape[j]);
    }
    for (size_t i = 0; i < plan.operands; ++i) {
      const Shape& shape = context.shape(i);
      LINNET_ASSIGN(const size_t axes, ellipsis_axes(i, shape.rank()));
      const std::vector<Label> labels = EinsumEquation::expand(equation_.operands[i], axes);
      const Shape strides = strides_of(shape);
      for (size_t j = 0; j < labels.size(); ++j) {
        const size_t step = shape[j] == 1 ? 0 : static_cast<size_t>(strides[j]);
        if (size_t* diagonal = views[i].find(labels[j])) {
          *diagonal += step;
        } else {
          LINNET_REQUIRE(views[i].rank < kMaxAxes, unsupported("Einsum of more than ", kMaxAxes, " axes"));
          views[i].add(labels[j], sizes[labels[j]], step);
        }
      }
    }
    Axes output;
    for (const Label label : EinsumEquation::expand(equation_.output, ellipsis)) {
      LINNET_REQUIRE(output.rank < kMaxAxes, unsupported("Einsum of more than ", kMaxAxes, " axes"));
      output.add(label, sizes[label]);
    }

    size_t elements = 0;
    bool fits = true;
    const auto take = [&](std::optional<size_t> count) {
      const size_t at = elements;
      const std::optional<size_t> padded = count ? checked_add(*count, size_t{15}) : std::nullopt;
      const std::optional<size_t> sum = padded ? checked_add(elements, *padded / 16 * 16) : std::nullopt;
      fits = fits && sum;
      elements = sum.value_or(0);
      return at;
    };
    if (half(context.dtype(0))) {
      for (size_t i = 0; i < plan.operands; ++i)
        plan.half_inputs[i] = take(static_cast<size_t>(context.shape(i).count()));
      plan.half_output = take(static_cast<size_t>(context.out_shape(0).count()));
    }
    View left = views[0];
    size_t gemm_bytes = 0;
    for (size_t i = 1; i < plan.operands; ++i) {
      // Labels that the output or a later operand has outlive this pair.
      std::array<bool, kLabelCount> lives{};
      for (size_t j = 0; j < output.rank; ++j) lives[output.label[j]] = true;
      for (size_t later = i + 1; later < plan.operands; ++later)
        for (size_t j = 0; j < views[later].rank; ++j) lives[views[later].label[j]] = true;
      const bool last = i + 1 == plan.operands;
      LINNET_TRY(
          plan_pair(plan.pairs[i - 1], left, views[i], lives, last ? &output : nullptr, plan.direct, width, take));
      if (context.dtype(0) == DType::f32 || half(context.dtype(0)))
        gemm_bytes =
            std::max(gemm_bytes, multiply_scratch_size(plan.pairs[i - 1].product,
                                                       gemm_arguments(plan.pairs[i - 1].product), context.threads()));
    }
    if (!plan.direct) {
      Axes summed;
      for (size_t i = 0; i < left.rank; ++i)
        if (std::find(output.label.begin(), output.label.begin() + output.rank, left.label[i]) ==
            output.label.begin() + output.rank)
          summed.add(left.label[i], left.size[i]);
      set_copy(plan.last, left, output, summed, width);
    }
    plan.gemm = elements;
    const std::optional<size_t> own = checked_mul(elements, width);
    const std::optional<size_t> bytes = own ? checked_add(*own, gemm_bytes) : std::nullopt;
    LINNET_REQUIRE(fits && bytes, error(Code::out_of_memory, "Einsum's scratch memory is too large"));
    context.request_scratch(*bytes);
    return {};
  }

  Status run(RunContext& context) const override {
    switch (context.out(0).dtype) {
      case DType::f32: return run_as<float>(context);
      case DType::f16: return run_half<f16>(context);
      case DType::bf16: return run_half<bf16>(context);
      case DType::f64: return run_as<double>(context);
      case DType::i8:
      case DType::u8: return run_as<uint8_t>(context);  // wrapping sums of products know no sign
      case DType::i16:
      case DType::u16: return run_as<uint16_t>(context);
      case DType::i32:
      case DType::u32: return run_as<uint32_t>(context);
      default: return run_as<uint64_t>(context);
    }
  }

 private:
  static bool half(DType type) noexcept { return type == DType::f16 || type == DType::bf16; }

  Result<size_t> ellipsis_axes(size_t operand, size_t rank) const {
    const std::vector<Label>& term = equation_.operands[operand];
    const bool dots = std::find(term.begin(), term.end(), EinsumEquation::kDots) != term.end();
    const size_t named = term.size() - (dots ? 1 : 0);
    LINNET_REQUIRE(dots ? rank >= named : rank == named,
                   invalid_argument("input ", operand, " has ", rank, " axes; the equation names ", named));
    LINNET_REQUIRE(rank - named <= kMaxEllipsisAxes,
                   unsupported("an ellipsis that stands for ", rank - named, " axes"));
    return rank - named;
  }

  // Plans `left` times `right`; `left` becomes the view of the result. With `output`, the result may be written there.
  template <class Take>
  static Status plan_pair(Pair& pair, View& left, View& right, const std::array<bool, kLabelCount>& lives,
                          const Axes* output, bool& direct, size_t width, const Take& take) {
    Axes batch, rows, columns, inner, left_summed, right_summed;
    for (size_t i = 0; i < left.rank; ++i) {
      const Label l = left.label[i];
      const bool shared = right.find(l) != nullptr;
      (shared ? (lives[l] ? batch : inner) : lives[l] ? rows : left_summed).add(l, left.size[i]);
    }
    for (size_t i = 0; i < right.rank; ++i)
      if (!left.find(right.label[i]))
        (lives[right.label[i]] ? columns : right_summed).add(right.label[i], right.size[i]);
    if (output) {  // in the output's order, so that they may lie there as they are
      for (Axes* axes : {&batch, &rows, &columns}) {
        Axes sorted;
        for (size_t i = 0; i < output->rank; ++i)
          for (size_t j = 0; j < axes->rank; ++j)
            if (axes->label[j] == output->label[i]) sorted.add(axes->label[j], axes->size[j]);
        *axes = sorted;
      }
    }
    LINNET_REQUIRE(
        batch.rank + rows.rank + columns.rank + inner.rank + left_summed.rank + right_summed.rank <= kMaxAxes,
        unsupported("Einsum of more than ", kMaxAxes, " axes"));
    // Columns of c are adjacent: where rows are so in the output, they become the columns.
    const View out = output ? dense(*output) : View{};
    const auto adjacent = [&](const Axes& axes) { return axes.count() <= 1 || axes.merged_stride(out) == 1; };
    const Axes last_rows = output ? rows.merged_run(left, out, true) : Axes{};
    pair.swapped = last_rows.count() >= kLeast && adjacent(last_rows);
    if (pair.swapped) {
      std::swap(left, right);
      std::swap(rows, columns);
      std::swap(left_summed, right_summed);
    }

    const auto copy_to = [&](Copy& copy, View& view, std::initializer_list<const Axes*> parts, const Axes& summed) {
      const Axes all = joined(parts);
      set_copy(copy, view, all, summed, width);
      copy.to = take(all.checked_count());
      view = dense(all);
    };
    if (left_summed.rank > 0 || !inner.merged_stride(left))
      copy_to(pair.copy_a, left, {&batch, &rows, &inner}, left_summed);
    if (right_summed.rank > 0 || !inner.merged_stride(right))
      copy_to(pair.copy_b, right, {&batch, &inner, &columns}, right_summed);

    // One of a matrix's two strides must be 1.
    const auto fits = [](const View& view, const Axes& first, const Axes& second) {
      const std::optional<size_t> one = first.merged_stride(view), two = second.merged_stride(view);
      return one && two && (*one == 1 || *two == 1 || first.count() <= 1 || second.count() <= 1);
    };
    // Rows that do not merge, in a or in c, are rows of several products, and so are columns. False where c is a copy.
    Axes outer_rows, outer_columns;
    const auto split = [&](Axes& axes, Axes& outer, const View& operand, const View& result, bool last) {
      if (axes.merges(operand, result)) return true;
      const Axes run = axes.merged_run(operand, result, last);
      const bool whole = axes.merged_stride(result).has_value();  // with a copy of the operand
      if (run.count() < kLeast || (whole && !fits(operand, run, inner)) ||
          batch.rank + rows.rank + columns.rank > MatrixProduct::kMaxAxes)
        return whole;
      for (size_t i = 0; i < axes.rank; ++i)
        if (std::find(run.label.begin(), run.label.begin() + run.rank, axes.label[i]) == run.label.begin() + run.rank)
          outer.add(axes.label[i], axes.size[i]);
      axes = run;
      return true;
    };
    const Axes all = joined({&batch, &rows, &columns});
    View result = dense(all);
    if (output) {
      Axes some_rows = rows, some_columns = columns;
      direct = split(some_rows, outer_rows, left, out, false) && split(some_columns, outer_columns, right, out, true) &&
               adjacent(some_columns);
      if (direct) {
        rows = some_rows;
        columns = some_columns;
        result = out;
      } else {
        outer_rows = outer_columns = Axes{};
      }
    }
    if (!direct) {
      pair.to = take(all.checked_count());
      split(rows, outer_rows, left, result, false);
      split(columns, outer_columns, right, result, true);
    }
    if (!fits(left, rows, inner)) copy_to(pair.copy_a, left, {&batch, &outer_rows, &rows, &inner}, left_summed);
    if (!fits(right, inner, columns))
      copy_to(pair.copy_b, right, {&batch, &outer_columns, &inner, &columns}, right_summed);

    MatrixProduct& p = pair.product;
    p = MatrixProduct{};
    p.m = rows.count(), p.n = columns.count(), p.k = inner.count();
    p.a = {rows.merged_stride(left).value_or(0), inner.merged_stride(left).value_or(0)};
    p.b = {inner.merged_stride(right).value_or(0), columns.merged_stride(right).value_or(0)};
    // A single row or column has no stride: give it the one that gemm wants.
    if (p.k <= 1) p.a.column = p.b.row = 1;
    if (p.m <= 1 && p.a.column != 1) p.a.row = 1;
    if (p.n <= 1) p.b.column = 1;
    p.c_row = p.m <= 1 ? p.n : rows.merged_stride(result).value_or(0);
    const Axes around = joined({&batch, &outer_columns, &outer_rows});
    for (size_t i = around.rank; i-- > 0;) {
      const Label l = around.label[i];
      LINNET_REQUIRE(p.add_outer({around.size[i], left.stride_of(l), right.stride_of(l), result.stride_of(l)}),
                     unsupported("Einsum over more than ", MatrixProduct::kMaxAxes, " batch axes"));
    }
    left = result;
    return {};
  }

  template <class T>
  Status run_half(RunContext& context) const {
    const Plan& plan = context.state<Plan>();
    float* scratch = reinterpret_cast<float*>(context.scratch());
    std::array<const float*, kMaxOperands> inputs;
    for (size_t i = 0; i < plan.operands; ++i) {
      to_float(context.in(i).ptr<T>(), scratch + plan.half_inputs[i], static_cast<size_t>(context.in(i).count()));
      inputs[i] = scratch + plan.half_inputs[i];
    }
    compute(plan, inputs, scratch, scratch + plan.half_output, context.parallel);
    from_float(scratch + plan.half_output, context.out(0).ptr<T>(), static_cast<size_t>(context.out(0).count()));
    return {};
  }

  template <class T>
  Status run_as(RunContext& context) const {
    const Plan& plan = context.state<Plan>();
    std::array<const T*, kMaxOperands> inputs;
    for (size_t i = 0; i < plan.operands; ++i) inputs[i] = context.in(i).ptr<T>();
    compute(plan, inputs, reinterpret_cast<T*>(context.scratch()), context.out(0).ptr<T>(), context.parallel);
    return {};
  }

  template <class T>
  static void compute(const Plan& plan, const std::array<const T*, kMaxOperands>& inputs, T* scratch, T* y,
                      const Parallel& parallel) {
    const T* left = inputs[0];
    for (size_t i = 1; i < plan.operands; ++i) {
      const Pair& pair = plan.pairs[i - 1];
      const T* right = inputs[i];
      if (pair.swapped) std::swap(left, right);
      if (pair.copy_a.needed) {
        run_copy(pair.copy_a, left, scratch + pair.copy_a.to, parallel);
        left = scratch + pair.copy_a.to;
      }
      if (pair.copy_b.needed) {
        run_copy(pair.copy_b, right, scratch + pair.copy_b.to, parallel);
        right = scratch + pair.copy_b.to;
      }
      T* c = plan.direct && i + 1 == plan.operands ? y : scratch + pair.to;
      multiply_pair(pair.product, left, right, c, scratch + plan.gemm, parallel);
      left = c;
    }
    if (plan.last.needed) run_copy(plan.last, left, y, parallel);
  }

  template <class T>
  static void multiply_pair(const MatrixProduct& p, const T* a, const T* b, T* c, T* scratch,
                            const Parallel& parallel) {
    if constexpr (std::is_same_v<T, float>) {
      if (static_cast<double>(p.m) * static_cast<double>(p.n) * static_cast<double>(p.k) >= kSmallProduct) {
        GemmArgs g = gemm_arguments(p);
        g.a = a, g.b = b, g.c = c;
        g.scratch = scratch;
        return multiply(p, g, parallel);
      }
    }
    // The innermost axis of the batch is divided among threads, or the rows of a single product.
    const size_t outer = p.axes > 0 ? p.axes - 1 : 0;
    const MatrixProduct::Axis inner = p.axes > 0 ? p.axis[outer] : MatrixProduct::Axis{};
    const bool by_rows = p.axes == 0;
    const double work = static_cast<double>(p.n * p.k) + 4.0;
    for_matrices(p, outer, [&](size_t at_a, size_t at_b, size_t at_c) {
      parallel.for_range(by_rows ? p.m : inner.count, grain_for(by_rows ? work : work * static_cast<double>(p.m)),
                         [&](size_t begin, size_t end, size_t) {
                           for (size_t i = by_rows ? 0 : begin; i < (by_rows ? 1 : end) && !parallel.stopped(); ++i) {
                             const PlainProduct<T> one{p.n,     p.k,        a + at_a + i * inner.a,
                                                       p.a.row, p.a.column, b + at_b + i * inner.b,
                                                       p.b.row, p.b.column, c + at_c + i * inner.c,
                                                       p.c_row};
                             by_rows ? plain_product(one, begin, end) : plain_product(one, 0, p.m);
                           }
                         });
    });
  }

  EinsumEquation equation_;
};

constexpr OpDef kDefs[] = {
    {"", "Einsum", 12, 1, kAnyNumber, 1, 1, create<Einsum>},
};

}  // namespace

extern const std::span<const OpDef> kEinsumOps = kDefs;

}  // namespace linnet
