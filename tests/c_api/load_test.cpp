#include <cstring>
#include <fstream>
#include <stdexcept>

#include "support.h"

namespace {

Owned<linnet_load_options> new_options() { return make<linnet_load_options>(linnet_load_options_create); }

TEST(Load, DescribesTheModel) {
  const Loaded loaded(models::sum());
  EXPECT_EQ(linnet_model_input_count(loaded.model.get()), 2u);
  linnet_port port{};
  port.struct_size = sizeof port;
  EXPECT_OK(linnet_model_input(loaded.model.get(), 1, &port));
  EXPECT_STREQ(port.name, "b");
  EXPECT_EQ(port.kind, LINNET_TENSOR);
  EXPECT_EQ(port.dtype, LINNET_FLOAT);
  EXPECT_EQ(port.ranked, 1);
  EXPECT_EQ(port.rank, 2u);
  EXPECT_EQ(port.shape[0], -1);
  EXPECT_STREQ(port.size_names[0], "n");
  EXPECT_EQ(port.shape[1], 2);
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_model_input(loaded.model.get(), 2, &port));
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_model_input(loaded.model.get(), 0, nullptr));
  EXPECT_STREQ(linnet_model_metadata(loaded.model.get(), "author"), "somebody");
  EXPECT_STREQ(linnet_model_metadata(loaded.model.get(), "producer_name"), "tests");
  EXPECT_EQ(linnet_model_metadata(loaded.model.get(), "nothing"), nullptr);
  EXPECT_GT(linnet_model_metadata_count(loaded.model.get()), 7u);
  EXPECT_EQ(linnet_model_metadata_key(loaded.model.get(), 1000), nullptr);
}

TEST(Load, FromPathsOfAnyScript) {
  const auto engine = engine_of();
  linnet_model* model = nullptr;
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_model_load(engine.get(), nullptr, nullptr, &model));
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_model_load(engine.get(), "", nullptr, &model));
  EXPECT_EQ(take_message(linnet_model_load(engine.get(), "model\xff.onnx", nullptr, &model)), "the path is not UTF-8");
  EXPECT_CODE(LINNET_NOT_FOUND, linnet_model_load(engine.get(), "/no/such/model.onnx", nullptr, &model));
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_model_load(engine.get(), "model.onnx", nullptr, nullptr));

  const std::string path = testing::TempDir() + "/\xd0\xbc\xd0\xbe\xd0\xb4\xd0\xb5\xd0\xbb\xd1\x8c \xe6\xa8\xa1.onnx";
  const models::Bytes bytes = models::sum();
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  EXPECT_OK(linnet_model_load(engine.get(), path.c_str(), nullptr, &model));
  linnet_release(model);
  std::remove(path.c_str());
}

void count_release(void* user) { ++*static_cast<int*>(user); }

TEST(Load, FromBorrowedMemory) {
  const auto engine = engine_of();
  models::Bytes bytes = models::sum();
  int released = 0;
  linnet_source source{};
  source.struct_size = sizeof source;
  source.release = count_release;
  source.user = &released;
  linnet_model* model = nullptr;
  EXPECT_CODE(LINNET_INVALID_ARGUMENT,
              linnet_model_load_source(engine.get(), &source, nullptr, &model));  // from nothing
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_model_load_source(engine.get(), nullptr, nullptr, &model));
  source.data = bytes.data();
  source.size = 5;
  linnet_status* const failed = linnet_model_load_source(engine.get(), &source, nullptr, &model);
  EXPECT_NE(failed, nullptr);
  linnet_release(failed);
  EXPECT_EQ(released, 0);
  source.size = bytes.size();
  EXPECT_OK(linnet_model_load_source(engine.get(), &source, nullptr, &model));
  auto session = session_of(model);
  linnet_release(model);
  EXPECT_EQ(released, 0);
  session.reset();
  EXPECT_EQ(released, 1);
}

// A model that is kept XORed with a key, as an encrypted one would be.
struct Vault {
  models::Bytes model = models::external();
  float weights[2] = {10, 20};
  int reads = 0, released = 0;
  int throw_in = 0;  // 1: length, 2: read
  bool refuse_weights = false;

  linnet_source source() {
    linnet_source s{};
    s.struct_size = sizeof s;
    s.user = this;
    s.release = [](void* user) { ++static_cast<Vault*>(user)->released; };
    s.length = [](void* user, const char* name, uint64_t* bytes) -> linnet_status* {
      auto& vault = *static_cast<Vault*>(user);
      if (vault.throw_in == 1) throw std::runtime_error("no key");
      if (std::string_view(name).empty()) {
        *bytes = vault.model.size();
      } else if (std::string_view(name) == "weights.bin" && !vault.refuse_weights) {
        *bytes = sizeof vault.weights;
      } else {
        return linnet_status_create(LINNET_NOT_FOUND, "not in the vault");
      }
      return nullptr;
    };
    s.read = [](void* user, const char* name, uint64_t offset, void* to, size_t bytes) -> linnet_status* {
      auto& vault = *static_cast<Vault*>(user);
      if (vault.throw_in == 2) throw 7;
      ++vault.reads;
      const void* from = *name ? static_cast<const void*>(vault.weights) : vault.model.data();
      std::memcpy(to, static_cast<const char*>(from) + offset, bytes);
      return nullptr;
    };
    return s;
  }
};

TEST(Load, ThroughFunctions) {
  const auto engine = engine_of();
  Vault vault;
  const linnet_source source = vault.source();
  linnet_model* model = nullptr;
  vault.throw_in = 1;
  const Owned<linnet_status> threw(linnet_model_load_source(engine.get(), &source, nullptr, &model));
  EXPECT_EQ(linnet_status_code(threw.get()), LINNET_CALLBACK_FAILED);
  EXPECT_NE(std::string(linnet_status_message(threw.get())).find("no key"), std::string::npos);
  vault.throw_in = 2;
  EXPECT_CODE(LINNET_CALLBACK_FAILED, linnet_model_load_source(engine.get(), &source, nullptr, &model));
  vault.throw_in = 0;
  vault.refuse_weights = true;
  EXPECT_CODE(LINNET_NOT_FOUND, linnet_model_load_source(engine.get(), &source, nullptr, &model));
  vault.refuse_weights = false;
  EXPECT_EQ(vault.released, 0);

  EXPECT_OK(linnet_model_load_source(engine.get(), &source, nullptr, &model));
  auto session = session_of(model);
  linnet_release(model);
  const auto x = floats({2}, {1, 2});
  const linnet_value* const inputs[] = {x.get()};
  linnet_value* y = nullptr;
  EXPECT_OK(linnet_session_run(session.get(), nullptr, nullptr, inputs, 1, nullptr, &y, 1));
  EXPECT_EQ(elements_of(y), (std::vector<float>{11, 22}));
  linnet_release(y);
  EXPECT_EQ(vault.released, 0);
  session.reset();
  EXPECT_EQ(vault.released, 1);
}

TEST(Load, WithOptions) {
  const auto engine = engine_of();
  const auto options = new_options();
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_load_options_set_level(options.get(), static_cast<linnet_level>(4)));
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_load_options_disable_pass(options.get(), nullptr));
  EXPECT_OK(linnet_load_options_set_level(options.get(), LINNET_LEVEL_BASIC));
  EXPECT_OK(linnet_load_options_fix_size(options.get(), "n", 1));
  const int64_t one[] = {1};
  const auto three = floats({}, {3});
  EXPECT_OK(linnet_load_options_replace_initializer(options.get(), "two", three.get()));
  EXPECT_OK(linnet_load_options_add_output(options.get(), "inner"));
  EXPECT_OK(linnet_load_options_set_copy_files(options.get(), 1));
  EXPECT_OK(linnet_load_options_set_seed(options.get(), 7));
  static_cast<void>(one);
  std::string log;
  int released = 0;
  struct Log {
    std::string* text;
    int* released;
  } user{&log, &released};
  EXPECT_OK(linnet_load_options_set_log(
      options.get(),
      [](void* u, linnet_severity, const char* text) {
        *static_cast<Log*>(u)->text += text;
        throw std::runtime_error("a log that throws");
      },
      [](void* u) { ++*static_cast<Log*>(u)->released; }, &user));
  const Loaded loaded(models::sum(), options.get());
  EXPECT_EQ(linnet_model_output_count(loaded.model.get()), 2u);
  linnet_port port{};
  port.struct_size = sizeof port;
  EXPECT_OK(linnet_model_input(loaded.model.get(), 0, &port));
  EXPECT_EQ(port.shape[0], 1);
  const auto a = floats({1, 2}, {1, 2});
  linnet_value* out[2] = {};
  EXPECT_OK(loaded.run({a.get(), a.get()}, out, 2));
  EXPECT_EQ(elements_of(out[0]), (std::vector<float>{6, 12}));
  for (linnet_value* const value : out) linnet_release(value);
  EXPECT_OK(linnet_load_options_set_log(options.get(), nullptr, nullptr, nullptr));
  EXPECT_EQ(released, 0);  // the model may load again
}

TEST(Load, ReportsBadOptions) {
  const auto engine = engine_of();
  const models::Bytes bytes = models::sum();
  linnet_model* model = nullptr;
  const auto options = new_options();
  EXPECT_OK(linnet_load_options_disable_pass(options.get(), "no_such_pass"));
  EXPECT_CODE(LINNET_INVALID_ARGUMENT,
              linnet_model_load_bytes(engine.get(), bytes.data(), bytes.size(), options.get(), &model));
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_model_load_bytes(engine.get(), nullptr, 5, nullptr, &model));
  linnet_engine* other = nullptr;
  linnet_engine_options engine_options{};
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_engine_create(&engine_options, &other));  // struct_size
  engine_options.struct_size = sizeof engine_options;
  engine_options.device = "gpu";
  EXPECT_CODE(LINNET_UNSUPPORTED, linnet_engine_create(&engine_options, &other));
  engine_options.device = nullptr;
  engine_options.threads = 1000000;
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_engine_create(&engine_options, &other));
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_engine_create(nullptr, nullptr));
}

}  // namespace
