#include <atomic>
#include <cctype>
#include <stdexcept>

#include "support.h"

namespace {

// An operator y = x * factor, made of functions that a test may replace.
struct Scale {
  linnet_operator op{};
  int creates = 0, destroys = 0, released = 0;
  std::atomic<int> computes{0};

  Scale() {
    op.struct_size = sizeof op;
    op.domain = "mine";
    op.name = "Scale";
    op.min_inputs = op.max_inputs = op.min_outputs = op.max_outputs = 1;
    op.user = this;
    op.create = [](void* user, linnet_op_context* context, void** node) -> linnet_status* {
      ++static_cast<Scale*>(user)->creates;
      linnet_value *factor = nullptr, *text = nullptr, *absent = nullptr;
      if (linnet_status* const failed = linnet_op_attribute(context, "factor", &factor)) return failed;
      if (linnet_status* const failed = linnet_op_attribute(context, "text", &text)) return failed;
      if (linnet_status* const failed = linnet_op_attribute(context, "absent", &absent)) return failed;
      EXPECT_EQ(absent, nullptr);
      EXPECT_STREQ(linnet_value_string(text, 0, nullptr), "hi");
      *node = new int64_t(*static_cast<const int64_t*>(view_of(factor).data));
      linnet_release(factor);
      linnet_release(text);
      linnet_view view{};
      view.struct_size = sizeof view;
      EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_op_input(context, 0, &view));  // not in create
      return nullptr;
    };
    op.destroy = [](void* user, void* node) {
      ++static_cast<Scale*>(user)->destroys;
      delete static_cast<int64_t*>(node);
    };
    op.infer = [](void*, void*, linnet_op_context* context) {
      linnet_view x = input(context);
      return linnet_op_set_output(context, 0, x.dtype, x.shape, x.rank);
    };
    op.compute = [](void* user, void* node, linnet_op_context* context) -> linnet_status* {
      ++static_cast<Scale*>(user)->computes;
      const linnet_view x = input(context);
      linnet_view y{};
      y.struct_size = sizeof y;
      if (linnet_status* const failed = linnet_op_output(context, 0, &y)) return failed;
      struct Work {
        const float* from;
        float* to;
        float factor;
      } work{static_cast<const float*>(x.data), static_cast<float*>(y.data),
             static_cast<float>(*static_cast<int64_t*>(node))};
      return linnet_op_parallel(
          context, static_cast<size_t>(x.count), 100,
          [](void* w, size_t begin, size_t end) {
            const Work& job = *static_cast<Work*>(w);
            for (size_t i = begin; i < end; ++i) job.to[i] = job.from[i] * job.factor;
          },
          &work);
    };
    op.release = [](void* user) { ++static_cast<Scale*>(user)->released; };
  }

  static linnet_view input(linnet_op_context* context) {
    linnet_view view{};
    view.struct_size = sizeof view;
    EXPECT_OK(linnet_op_input(context, 0, &view));
    return view;
  }

  Owned<linnet_load_options> options() const {
    auto made = make<linnet_load_options>(linnet_load_options_create);
    EXPECT_OK(linnet_load_options_add_operator(made.get(), &op));
    return made;
  }
};

// Loads the model with the operator and gives the failure, if any, of loading or of running it on three numbers.
Owned<linnet_status> failure_of(const linnet_operator& op, const models::Bytes& bytes = models::custom("Scale")) {
  const auto options = make<linnet_load_options>(linnet_load_options_create);
  if (linnet_status* const failed = linnet_load_options_add_operator(options.get(), &op))
    return Owned<linnet_status>(failed);
  const auto engine = engine_of();
  linnet_model* model = nullptr;
  if (linnet_status* const failed =
          linnet_model_load_bytes(engine.get(), bytes.data(), bytes.size(), options.get(), &model))
    return Owned<linnet_status>(failed);
  const auto session = session_of(model);
  linnet_release(model);
  const auto x = floats({3}, {1, 2, 3});
  const linnet_value* const inputs[] = {x.get()};
  linnet_value* y = nullptr;
  Owned<linnet_status> failed(linnet_session_run(session.get(), nullptr, nullptr, inputs, 1, nullptr, &y, 1));
  linnet_release(y);
  return failed;
}

TEST(CustomOperator, RunsLikeABuiltInOne) {
  Scale scale;
  {
    const Loaded loaded(models::custom("Scale"), scale.options().get(), 2);
    linnet_port port{};
    port.struct_size = sizeof port;
    EXPECT_OK(linnet_model_output(loaded.model.get(), 0, &port));
    EXPECT_STREQ(port.size_names[0], "n");  // the size of the input, by its number
    for (const int64_t count : {3, 1000, 3}) {
      std::vector<float> elements(static_cast<size_t>(count), 2);
      const auto x = floats({count}, elements);
      linnet_value* y = nullptr;
      EXPECT_OK(loaded.run({x.get()}, &y, 1));
      EXPECT_EQ(elements_of(y), std::vector<float>(static_cast<size_t>(count), 6));
      linnet_release(y);
    }
    EXPECT_EQ(scale.computes, 3);
    EXPECT_EQ(scale.released, 0);
  }
  EXPECT_EQ(scale.creates, scale.destroys);
  EXPECT_EQ(scale.released, 1);
}

TEST(CustomOperator, IsUnknownWithoutRegistration) {
  const auto engine = engine_of();
  const models::Bytes bytes = models::custom("Scale");
  linnet_model* model = nullptr;
  EXPECT_CODE(LINNET_UNSUPPORTED, linnet_model_load_bytes(engine.get(), bytes.data(), bytes.size(), nullptr, &model));
}

TEST(CustomOperator, IsCheckedWhenRegistered) {
  Scale scale;
  const auto refused = [&](auto&& change) {
    linnet_operator op = scale.op;
    change(op);
    const auto options = make<linnet_load_options>(linnet_load_options_create);
    return take_code(linnet_load_options_add_operator(options.get(), &op));
  };
  EXPECT_EQ(LINNET_INVALID_ARGUMENT, refused([](linnet_operator& op) { op.name = nullptr; }));
  EXPECT_EQ(LINNET_INVALID_ARGUMENT, refused([](linnet_operator& op) { op.domain = nullptr; }));
  EXPECT_EQ(LINNET_INVALID_ARGUMENT, refused([](linnet_operator& op) { op.infer = nullptr; }));
  EXPECT_EQ(LINNET_INVALID_ARGUMENT, refused([](linnet_operator& op) { op.compute = nullptr; }));
  EXPECT_EQ(LINNET_INVALID_ARGUMENT, refused([](linnet_operator& op) { op.max_inputs = 0; }));
  EXPECT_EQ(LINNET_INVALID_ARGUMENT, refused([](linnet_operator& op) { op.max_inputs = 1000; }));
  EXPECT_EQ(LINNET_UNSUPPORTED, refused([](linnet_operator& op) { op.flags = 1u << 30; }));
  EXPECT_EQ(LINNET_INVALID_ARGUMENT, refused([](linnet_operator& op) { op.struct_size = 0; }));
  EXPECT_EQ(scale.released, 0);
}

TEST(CustomOperator, AttributesThatNobodyReadsFailTheLoad) {
  Scale scale;
  scale.op.create = nullptr;
  const auto failed = failure_of(scale.op);
  ASSERT_NE(failed, nullptr);
  EXPECT_NE(std::string(linnet_status_message(failed.get())).find("factor"), std::string::npos);
}

TEST(CustomOperator, ServesFromAVersionOn) {
  Scale scale;
  scale.op.since_version = 3;  // the model imports 2
  EXPECT_EQ(linnet_status_code(failure_of(scale.op).get()), LINNET_UNSUPPORTED);
}

TEST(CustomOperator, FailuresCarryTheNode) {
  Scale scale;
  scale.op.compute = [](void*, void*, linnet_op_context*) {
    return linnet_status_create(LINNET_IO, "no scale at hand");
  };
  const auto failed = failure_of(scale.op);
  EXPECT_EQ(linnet_status_code(failed.get()), LINNET_IO);
  EXPECT_NE(std::string(linnet_status_message(failed.get())).find("no scale at hand"), std::string::npos);
  EXPECT_NE(std::string(linnet_status_node(failed.get())).find("Scale"), std::string::npos);
  EXPECT_STREQ(linnet_status_inputs(failed.get()), "float[3]");
}

TEST(CustomOperator, WhatIsThrownBecomesAStatus) {
  const auto code_with = [](auto&& change) {
    Scale scale;
    change(scale.op);
    return linnet_status_code(failure_of(scale.op).get());
  };
  EXPECT_EQ(LINNET_CALLBACK_FAILED, code_with([](linnet_operator& op) {
              op.create = [](void*, linnet_op_context*, void**) -> linnet_status* {
                throw std::runtime_error("create");
              };
            }));
  EXPECT_EQ(LINNET_CALLBACK_FAILED, code_with([](linnet_operator& op) {
              op.infer = [](void*, void*, linnet_op_context*) -> linnet_status* { throw 1; };
            }));
  EXPECT_EQ(LINNET_CALLBACK_FAILED, code_with([](linnet_operator& op) {
              op.compute = [](void*, void*, linnet_op_context*) -> linnet_status* {
                throw std::runtime_error("compute");
              };
            }));
  EXPECT_EQ(LINNET_CALLBACK_FAILED, code_with([](linnet_operator& op) {
              op.compute = [](void*, void*, linnet_op_context* context) -> linnet_status* {
                return linnet_op_parallel(
                    context, 10, 1, [](void*, size_t, size_t) { throw std::runtime_error("body"); }, nullptr);
              };
            }));
}

TEST(CustomOperator, DoesWhatItMust) {
  const auto code_with = [](auto&& change) {
    Scale scale;
    change(scale.op);
    return linnet_status_code(failure_of(scale.op).get());
  };
  EXPECT_EQ(LINNET_CALLBACK_FAILED, code_with([](linnet_operator& op) {  // describes nothing
              op.infer = [](void*, void*, linnet_op_context*) -> linnet_status* { return nullptr; };
            }));
  EXPECT_EQ(LINNET_INVALID_ARGUMENT, code_with([](linnet_operator& op) {  // a size of nothing
              op.infer = [](void*, void*, linnet_op_context* context) {
                const int64_t shape[] = {-1000};
                return linnet_op_set_output(context, 0, LINNET_FLOAT, shape, 1);
              };
            }));
  EXPECT_EQ(LINNET_CALLBACK_FAILED, code_with([](linnet_operator& op) {  // leaves the shape open and makes nothing
              op.infer = [](void*, void*, linnet_op_context* context) {
                const int64_t shape[] = {-1};
                return linnet_op_set_output(context, 0, LINNET_FLOAT, shape, 1);
              };
              op.compute = [](void*, void*, linnet_op_context*) -> linnet_status* { return nullptr; };
            }));
  EXPECT_EQ(LINNET_INVALID_ARGUMENT, code_with([](linnet_operator& op) {  // another shape than it said
              op.compute = [](void*, void*, linnet_op_context* context) {
                const int64_t shape[] = {7};
                return linnet_op_set_output(context, 0, LINNET_FLOAT, shape, 1);
              };
            }));
  EXPECT_EQ(LINNET_CALLBACK_FAILED, code_with([](linnet_operator& op) {  // what is no status
              op.compute = [](void*, void*, linnet_op_context*) {
                return reinterpret_cast<linnet_status*>(uintptr_t{64});
              };
            }));
}

TEST(CustomOperator, ShapesThatOnlyTheDataDecides) {
  Scale scale;  // keeps what is above one
  scale.op.infer = [](void*, void*, linnet_op_context* context) {
    const int64_t shape[] = {-1};
    return linnet_op_set_output(context, 0, LINNET_FLOAT, shape, 1);
  };
  scale.op.compute = [](void*, void*, linnet_op_context* context) -> linnet_status* {
    const linnet_view x = Scale::input(context);
    linnet_view y{};
    y.struct_size = sizeof y;
    EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_op_output(context, 0, &y));  // no memory yet
    std::vector<float> kept;
    for (int64_t i = 0; i < x.count; ++i)
      if (const float element = static_cast<const float*>(x.data)[i]; element > 1) kept.push_back(element);
    const int64_t shape[] = {static_cast<int64_t>(kept.size())};
    if (linnet_status* const failed = linnet_op_set_output(context, 0, LINNET_FLOAT, shape, 1)) return failed;
    EXPECT_OK(linnet_op_output(context, 0, &y));
    std::copy(kept.begin(), kept.end(), static_cast<float*>(y.data));
    return nullptr;
  };
  const Loaded loaded(models::custom("Scale"), scale.options().get());
  const auto x = floats({4}, {0, 5, 1, 2});
  linnet_value* y = nullptr;
  EXPECT_OK(loaded.run({x.get()}, &y, 1));
  EXPECT_EQ(elements_of(y), (std::vector<float>{5, 2}));
  linnet_release(y);
}

TEST(CustomOperator, Strings) {
  Scale upper;
  upper.op.name = "Upper";
  upper.op.create = nullptr;
  upper.op.destroy = nullptr;
  upper.op.compute = [](void*, void*, linnet_op_context* context) -> linnet_status* {
    const auto x = make<linnet_value>([&](linnet_value** v) { return linnet_op_input_value(context, 0, v); });
    const linnet_view view = view_of(x.get());
    std::vector<std::string> texts;
    std::vector<const char*> pointers;
    for (int64_t i = 0; i < view.count; ++i) {
      texts.emplace_back(linnet_value_string(x.get(), static_cast<size_t>(i), nullptr));
      for (char& c : texts.back()) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    }
    for (const std::string& text : texts) pointers.push_back(text.c_str());
    const auto y = make<linnet_value>([&](linnet_value** v) {
      return linnet_value_create_strings(pointers.data(), nullptr, view.shape, view.rank, v);
    });
    return linnet_op_set_output_value(context, 0, y.get());
  };
  const Loaded loaded(models::custom_strings(), upper.options().get());
  const char* const texts[] = {"one", "two"};
  const int64_t shape[] = {2};
  const auto x =
      make<linnet_value>([&](linnet_value** v) { return linnet_value_create_strings(texts, nullptr, shape, 1, v); });
  linnet_value* y = nullptr;
  EXPECT_OK(loaded.run({x.get()}, &y, 1));
  EXPECT_STREQ(linnet_value_string(y, 0, nullptr), "ONE");
  EXPECT_STREQ(linnet_value_string(y, 1, nullptr), "TWO");
  linnet_release(y);
}

TEST(CustomOperator, ReplacesBuiltInOnesOnlyWhenAsked) {
  const auto x = floats({2}, {-1, 1});
  for (const bool replaces : {false, true}) {
    Scale negate;  // as "Relu"
    negate.op.domain = "ai.onnx";
    negate.op.name = "Relu";
    negate.op.create = nullptr;
    negate.op.destroy = nullptr;
    negate.op.flags = replaces ? LINNET_OP_REPLACES : 0;
    negate.op.compute = [](void*, void*, linnet_op_context* context) -> linnet_status* {
      const linnet_view from = Scale::input(context);
      linnet_view to{};
      to.struct_size = sizeof to;
      EXPECT_OK(linnet_op_output(context, 0, &to));
      for (int64_t i = 0; i < from.count; ++i)
        static_cast<float*>(to.data)[i] = -static_cast<const float*>(from.data)[i];
      return nullptr;
    };
    const Loaded loaded(models::relu(), negate.options().get());
    linnet_value* y = nullptr;
    EXPECT_OK(loaded.run({x.get()}, &y, 1));
    EXPECT_EQ(elements_of(y), replaces ? (std::vector<float>{1, -1}) : (std::vector<float>{0, 1}));
    linnet_release(y);
  }
}

TEST(CustomOperator, IsToldWhenTheRunIsStopped) {
  Scale slow;
  slow.op.compute = [](void*, void*, linnet_op_context* context) -> linnet_status* {
    while (!linnet_op_stopped(context)) {
    }
    return nullptr;
  };
  const Loaded loaded(models::custom("Scale"), slow.options().get());
  const auto x = floats({1}, {1});
  linnet_run_options options = run_options();
  options.timeout_ms = 20;
  linnet_value* y = nullptr;
  EXPECT_CODE(LINNET_DEADLINE_EXCEEDED, loaded.run({x.get()}, &y, 1, &options));
}

// The context of a call is closed when the call is over.
TEST(CustomOperator, ContextsDoNotOutliveTheirCall) {
  static linnet_op_context* kept = nullptr;
  Scale scale;
  scale.op.compute = [](void*, void*, linnet_op_context* context) -> linnet_status* {
    kept = context;
    return nullptr;
  };
  EXPECT_EQ(failure_of(scale.op), nullptr);
  linnet_view view{};
  view.struct_size = sizeof view;
  EXPECT_CODE(LINNET_CLOSED, linnet_op_input(kept, 0, &view));
}

}  // namespace
