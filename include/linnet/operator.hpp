// Operators of the caller's own, for LoadOptions::add_operator. A part of linnet.hpp, which includes it.
#pragma once

#include "linnet/linnet.hpp"

namespace linnet {
inline namespace cpp {

// What a custom operator's functions work on; see linnet.h for what may be called in which.
class OpContext {
 public:
  explicit OpContext(linnet_op_context* context) noexcept : context_(context) {}
  size_t inputs() const noexcept { return linnet_op_input_count(context_); }
  size_t outputs() const noexcept { return linnet_op_output_count(context_); }
  // An empty Tensor when the node has no such attribute.
  Tensor attribute(const char* name) const {
    linnet_value* value = nullptr;
    detail::result_of(linnet_op_attribute(context_, name, &value)).value();
    return value ? Tensor(value) : Tensor();
  }
  linnet_view input(size_t i) const { return view(linnet_op_input, i); }
  linnet_view output(size_t o) const { return view(linnet_op_output, o); }
  void set_output(size_t o, linnet_dtype dtype, Shape shape) {
    detail::result_of(linnet_op_set_output(context_, o, dtype, shape.data(), shape.size())).value();
  }
  void set_output_kind(size_t o, linnet_kind kind, linnet_dtype dtype) {
    detail::result_of(linnet_op_set_output_kind(context_, o, kind, dtype)).value();
  }
  Tensor input_value(size_t i) const {
    linnet_value* value = nullptr;
    detail::result_of(linnet_op_input_value(context_, i, &value)).value();
    return Tensor(value);
  }
  void set_output_value(size_t o, const Tensor& value) {
    detail::result_of(linnet_op_set_output_value(context_, o, value.get())).value();
  }
  // body(begin, end) over [0, count) on the engine's threads.
  template <class Body>
  void parallel(size_t count, size_t grain, Body&& body) {
    using Object = std::remove_reference_t<Body>;
    const auto call = [](void* user, size_t begin, size_t end) { (*static_cast<Object*>(user))(begin, end); };
    void* const user = const_cast<void*>(static_cast<const void*>(std::addressof(body)));
    detail::result_of(linnet_op_parallel(context_, count, grain, call, user)).value();
  }
  bool stopped() const noexcept { return linnet_op_stopped(context_) != 0; }

 private:
  template <class Get>
  linnet_view view(Get get, size_t i) const {
    linnet_view v{};
    v.struct_size = sizeof v;
    detail::result_of(get(context_, i, &v)).value();
    return v;
  }
  linnet_op_context* context_;
};

// One node of a custom operator. What its functions throw fails the load or run.
struct OpNode {
  virtual ~OpNode() = default;
  virtual void infer(OpContext& context) = 0;
  virtual void compute(OpContext& context) = 0;
};

struct Operator {
  std::string domain, name;
  size_t min_inputs = 1, max_inputs = 1, min_outputs = 1, max_outputs = 1;
  std::function<std::unique_ptr<OpNode>(OpContext& context)> create;
  int32_t since_version = 0;
  uint32_t flags = 0;  // linnet_op_flags
};

inline LoadOptions& LoadOptions::add_operator(Operator op) {
  auto kept = std::make_unique<Operator>(std::move(op));
  linnet_operator c{};
  c.struct_size = sizeof c;
  c.domain = kept->domain.c_str();
  c.name = kept->name.c_str();
  c.since_version = kept->since_version;
  c.flags = kept->flags;
  c.min_inputs = kept->min_inputs;
  c.max_inputs = kept->max_inputs;
  c.min_outputs = kept->min_outputs;
  c.max_outputs = kept->max_outputs;
  c.create = [](void* user, linnet_op_context* handle, void** node) {
    return detail::status_of([&] {
      OpContext context(handle);
      *node = static_cast<Operator*>(user)->create(context).release();
    });
  };
  c.destroy = [](void*, void* node) { delete static_cast<OpNode*>(node); };
  c.infer = [](void*, void* node, linnet_op_context* handle) {
    return detail::status_of([&] {
      OpContext context(handle);
      static_cast<OpNode*>(node)->infer(context);
    });
  };
  c.compute = [](void*, void* node, linnet_op_context* handle) {
    return detail::status_of([&] {
      OpContext context(handle);
      static_cast<OpNode*>(node)->compute(context);
    });
  };
  c.release = [](void* user) { delete static_cast<Operator*>(user); };
  c.user = kept.get();
  linnet_status* const failed = linnet_load_options_add_operator(get(), &c);
  if (!failed) static_cast<void>(kept.release());
  return note(failed);
}

}  // namespace cpp
}  // namespace linnet
