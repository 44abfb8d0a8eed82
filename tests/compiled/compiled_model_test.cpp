// Compiled models: the same bits as the model, refused when damaged, rebuilt when stale.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <random>

#include "base/checked.h"
#include "base/file.h"
#include "graph/export.h"
#include "load.h"
#include "onnx/reader.h"
#include "onnx/tensor_data.h"
#include "onnx/test_models.h"
#include "onnx/writer.h"
#include "run/graph_model.h"

namespace linnet {
namespace {

namespace fs = std::filesystem;
using Bytes = std::vector<std::byte>;

class Folder {
 public:
  Folder() : path_(fs::temp_directory_path() / ("linnet_compiled_" + std::to_string(std::random_device()()))) {
    fs::create_directories(path_);
  }
  ~Folder() { fs::remove_all(path_); }
  fs::path operator/(const std::string& name) const { return path_ / name; }

 private:
  fs::path path_;
};

Bytes contents(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const auto* bytes = reinterpret_cast<const std::byte*>(text.data());
  return {bytes, bytes + text.size()};
}

// Makes the header of an edited or cut file right; false when it does not reach the payload.
bool seal(Bytes& file, size_t description) {
  const size_t payload = round_up(compiled::kHeaderBytes + description, compiled::kPage);
  if (file.size() < payload) return false;
  const auto header =
      compiled::header_of(std::span(file).subspan(compiled::kHeaderBytes, description), file.size() - payload);
  std::copy(header.begin(), header.end(), file.begin());
  return true;
}

Tensor random_floats(const Shape& shape, unsigned seed) {
  Tensor tensor = make_tensor(DType::f32, shape).value();
  std::mt19937 random(seed);
  for (float& v : tensor.as<float>()) v = static_cast<float>(random()) / static_cast<float>(UINT32_MAX) - 0.5f;
  return tensor;
}

// A convolution, integer and float products, an embedding, and an If whose bodies share a weight.
void write_sample(const fs::path& path, unsigned seed = 1) {
  Graph graph;
  graph.name = "sample";
  graph.opsets = {{"", 20}};
  const ValueId ids = add_input(graph, "ids", DType::i64, {Dim(), Dim(4)});
  const ValueId table = graph.add_constant("table", random_floats(Shape{64, 16}, seed));
  const ValueId rows = add(graph, "Gather", {table, ids});
  const ValueId w = graph.add_constant("w", random_floats(Shape{16, 64}, seed + 1));
  const ValueId wide = add(graph, "MatMul", {rows, w});
  const ValueId tied = add(graph, "MatMul", {wide, table});
  const ValueId turned = add(graph, "Transpose", {tied}, {{"perm", std::vector<int64_t>{0, 2, 1}}});
  const ValueId kernel = graph.add_constant("kernel", random_floats(Shape{24, 16, 3}, seed + 2));
  const ValueId image = add(graph, "Conv", {turned, kernel}, {{"pads", std::vector<int64_t>{1, 1}}});
  Tensor codes = make_tensor(DType::i8, Shape{4, 8}).value();
  for (int64_t i = 0; i < codes.count(); ++i) codes.ptr<int8_t>()[i] = static_cast<int8_t>(i * 37 % 255 - 127);
  Node quantize;
  quantize.op_type = "DynamicQuantizeLinear";
  quantize.version = 11;
  quantize.inputs = {image};
  quantize.outputs = {graph.add_value("q"), graph.add_value("scale"), graph.add_value("zero")};
  const std::vector<ValueId> q = quantize.outputs;
  graph.add_node(std::move(quantize));
  const ValueId sums = add(graph, "MatMulInteger", {q[0], graph.add_constant("codes", codes), q[2]});
  const ValueId floats = add(graph, "Cast", {sums}, {{"to", int64_t{1}}});
  add_output(graph, "y", add(graph, "Mul", {floats, q[1]}));
  add_output(graph, "tied", tied);
  SymbolTable symbols(true);
  ASSERT_TRUE(graph.sort().ok());
  ASSERT_TRUE(onnx::write_model(path, export_model(graph, symbols)).ok());
}

const Value kIds = Value(tensor_of<int64_t>(Shape{2, 4}, {1, 5, 63, 0, 7, 7, 2, 40}));

Result<std::vector<Value>> outputs_of(const std::shared_ptr<Engine>& engine, const ModelSource& source,
                                      std::span<const Value> inputs, const LoadOptions& options = {}) {
  LINNET_ASSIGN(const auto model, load_model(*engine, source, options));
  std::vector<Value> outputs(model->outputs.size());
  LINNET_TRY(Session(engine, model).run(inputs, outputs));
  return outputs;
}

void expect_same(const std::vector<Value>& a, const std::vector<Value>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(a[i].is_tensor(), b[i].is_tensor());
    if (!a[i].is_tensor() || a[i].tensor.dtype == DType::string) continue;
    ASSERT_EQ(a[i].tensor.shape, b[i].tensor.shape);
    EXPECT_EQ(std::memcmp(a[i].tensor.data, b[i].tensor.data, a[i].tensor.bytes()), 0) << "output " << i;
  }
}

TEST(Compiled, SampleGivesTheSameBits) {
  const Folder folder;
  write_sample(folder / "model.onnx");
  for (const size_t threads : {size_t{1}, size_t{2}}) {
    const auto engine = std::make_shared<Engine>(threads);
    const auto wanted = outputs_of(engine, {folder / "model.onnx", {}, nullptr}, {&kIds, 1});
    ASSERT_TRUE(wanted.ok()) << wanted.status().message();
    const Status compiled = compile_model(*engine, {folder / "model.onnx", {}, nullptr}, {}, folder / "model.linnet");
    ASSERT_TRUE(compiled.ok()) << compiled.message();
    const auto found = outputs_of(engine, {folder / "model.linnet", {}, nullptr}, {&kIds, 1});
    ASSERT_TRUE(found.ok()) << found.status().message();
    expect_same(*wanted, *found);
    // From memory, at an address that suits nobody.
    Bytes bytes = contents(folder / "model.linnet");
    bytes.insert(bytes.begin(), std::byte{});
    const auto unaligned = outputs_of(engine, {{}, std::span(bytes).subspan(1), nullptr}, {&kIds, 1});
    ASSERT_TRUE(unaligned.ok()) << unaligned.status().message();
    expect_same(*wanted, *unaligned);
    const auto model = load_model(*engine, {folder / "model.linnet", {}, nullptr}, {});
    EXPECT_EQ((*model)->program->packed_bytes(), 0u);
  }
}

// The inputs of the model's first data set; nothing when one is no tensor.
std::vector<Value> data_set(const fs::path& folder, size_t count) {
  std::vector<Value> inputs;
  for (size_t i = 0; i < count; ++i) {
    const auto file = MappedFile::open(folder / ("input_" + std::to_string(i) + ".pb"));
    if (!file.ok()) return {};
    const auto message = onnx::read_tensor((*file)->bytes());
    if (!message.ok()) return {};
    auto tensor = onnx::to_tensor(*message, {});
    if (!tensor.ok()) return {};
    inputs.emplace_back(std::move(*tensor));
  }
  return inputs;
}

TEST(Compiled, RealModelsGiveTheSameBits) {
  const char* shared = std::getenv("LINNET_SHARED");
  const auto models = onnx::test_models();
  if (!shared || !fs::exists(shared) || models.empty()) GTEST_SKIP() << "no models: LINNET_SHARED names none";
  const Folder folder;
  const auto engine = std::make_shared<Engine>(2);
  size_t compared = 0;
  for (const fs::path& path : models) {
    if (!path.string().starts_with(shared)) continue;
    SCOPED_TRACE(path.string());
    const auto model = load_model(*engine, {path, {}, nullptr}, {});
    if (!model.ok()) continue;
    const std::vector<Value> inputs = data_set(path.parent_path() / "test_data_set_0", (*model)->inputs.size());
    if (inputs.size() != (*model)->inputs.size()) continue;
    std::vector<Value> wanted((*model)->outputs.size());
    if (!Session(engine, *model).run(inputs, wanted).ok()) continue;
    const Status compiled = compile_model(*engine, {path, {}, nullptr}, {}, folder / "model.linnet");
    ASSERT_TRUE(compiled.ok()) << compiled.message();
    const auto found = outputs_of(engine, {folder / "model.linnet", {}, nullptr}, inputs);
    ASSERT_TRUE(found.ok()) << found.status().message();
    expect_same(wanted, *found);
    ++compared;
  }
  EXPECT_GT(compared, 20u);
}

TEST(Compiled, CutOffFilesAreRefused) {
  const Folder folder;
  write_sample(folder / "model.onnx");
  const auto engine = std::make_shared<Engine>(1);
  ASSERT_TRUE(compile_model(*engine, {folder / "model.onnx", {}, nullptr}, {}, folder / "model.linnet").ok());
  const Bytes whole = contents(folder / "model.linnet");
  const size_t description = compiled::open_container(whole)->description.size();
  for (size_t size = 0; size < whole.size(); size += 61) {
    EXPECT_FALSE(load_model(*engine, {{}, std::span(whole).first(size), nullptr}, {}).ok()) << size;
    // With hashes that are right, a section beyond the end is found none the less.
    Bytes part(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
    if (!seal(part, description)) continue;
    EXPECT_FALSE(load_model(*engine, {{}, part, nullptr}, {}).ok()) << size;
  }
}

TEST(Compiled, EditedDescriptionsAreRefused) {
  const Folder folder;
  write_sample(folder / "model.onnx");
  const auto engine = std::make_shared<Engine>(1);
  ASSERT_TRUE(compile_model(*engine, {folder / "model.onnx", {}, nullptr}, {}, folder / "model.linnet").ok());
  Bytes bytes = contents(folder / "model.linnet");
  const size_t description = compiled::open_container(bytes)->description.size();
  for (size_t i = 0; i < 64 + description; ++i) {
    bytes[i] ^= std::byte{0x10};
    EXPECT_FALSE(load_model(*engine, {{}, bytes, nullptr}, {}).ok()) << i;
    bytes[i] ^= std::byte{0x10};
  }
}

// An attacker can compute hashes: then anything may come of it but harm.
TEST(Compiled, SealedEditsDoNoHarm) {
  const Folder folder;
  write_sample(folder / "model.onnx");
  const auto engine = std::make_shared<Engine>(1);
  ASSERT_TRUE(compile_model(*engine, {folder / "model.onnx", {}, nullptr}, {}, folder / "model.linnet").ok());
  const Bytes whole = contents(folder / "model.linnet");
  const size_t description = compiled::open_container(whole)->description.size();
  std::mt19937 random(5);
  size_t refused = 0;
  constexpr size_t kRounds = 3000;
  for (size_t round = 0; round < kRounds; ++round) {
    Bytes bytes = whole;
    // Mostly the description; sometimes the payload, where packed integers have offsets.
    const size_t end = round % 4 == 0 ? bytes.size() : 64 + description;
    for (size_t edit = random() % 3 + 1; edit > 0; --edit)
      bytes[64 + random() % (end - 64)] = static_cast<std::byte>(random());
    ASSERT_TRUE(seal(bytes, description));
    refused += !outputs_of(engine, {{}, bytes, nullptr}, {&kIds, 1}).ok();
  }
  EXPECT_GT(refused, kRounds / 10);
}

// A tree of 33 leaves in a line, whose arrays are in the description, or of so many that they are in the payload.
void write_trees(const fs::path& path, int64_t leaves) {
  Graph graph;
  graph.name = "trees";
  graph.opsets = {{"ai.onnx.ml", 3}};
  Node node;
  node.domain = "ai.onnx.ml";
  node.op_type = "TreeEnsembleRegressor";
  node.version = 3;
  std::vector<int64_t> trees, ids, features, pass, fail, vote_trees, votes, targets;
  std::vector<std::string> modes;
  std::vector<float> values, weights;
  for (int64_t i = 0; i < 2 * leaves - 1; ++i) {
    const bool leaf = i % 2 == 0;
    trees.push_back(0), ids.push_back(i), features.push_back(i % 7 % 3);
    modes.push_back(leaf ? "LEAF" : "BRANCH_LEQ");
    values.push_back(static_cast<float>(i % 16) / 8.0f - 1.0f);
    pass.push_back(leaf ? 0 : i - 1), fail.push_back(leaf ? 0 : i + 2 < 2 * leaves - 1 ? i + 2 : i + 1);
    if (leaf) votes.push_back(i), targets.push_back(i % 3), weights.push_back(static_cast<float>(i));
  }
  // The root is the first node of the tree.
  for (const auto list : {&ids, &pass, &fail, &votes})
    for (int64_t& id : *list) id = id == 0 ? 1 : id == 1 ? 0 : id;
  for (const auto list : {&features, &pass, &fail, &ids}) std::swap((*list)[0], (*list)[1]);
  std::swap(modes[0], modes[1]);
  vote_trees.assign(votes.size(), 0);
  node.attributes = {{"n_targets", int64_t{3}},      {"nodes_treeids", trees},     {"nodes_nodeids", ids},
                     {"nodes_featureids", features}, {"nodes_modes", modes},       {"nodes_values", values},
                     {"nodes_truenodeids", pass},    {"nodes_falsenodeids", fail}, {"target_treeids", vote_trees},
                     {"target_nodeids", votes},      {"target_ids", targets},      {"target_weights", weights}};
  node.inputs = {add_input(graph, "x", DType::f32, {Dim(), Dim(3)})};
  add_output(graph, "y", graph.add_node(std::move(node), "y"));
  SymbolTable symbols(true);
  ASSERT_TRUE(graph.sort().ok());
  ASSERT_TRUE(onnx::write_model(path, export_model(graph, symbols)).ok());
}

TEST(Compiled, TreesAreMappedAndSealedEditsDoNoHarm) {
  const Folder folder;
  const auto engine = std::make_shared<Engine>(1);
  const Value x(random_floats(Shape{20, 3}, 4));
  for (const int64_t leaves : {33, 1000}) {
    write_trees(folder / "model.onnx", leaves);
    const auto wanted = outputs_of(engine, {folder / "model.onnx", {}, nullptr}, {&x, 1});
    ASSERT_TRUE(wanted.ok()) << wanted.status().message();
    ASSERT_TRUE(compile_model(*engine, {folder / "model.onnx", {}, nullptr}, {}, folder / "model.linnet").ok());
    const auto found = outputs_of(engine, {folder / "model.linnet", {}, nullptr}, {&x, 1});
    ASSERT_TRUE(found.ok()) << found.status().message();
    expect_same(*wanted, *found);
    const Bytes whole = contents(folder / "model.linnet");
    const size_t description = compiled::open_container(whole)->description.size();
    EXPECT_EQ(compiled::open_container(whole)->payload.empty(), leaves == 33);
    std::mt19937 random(7);
    size_t refused = 0;
    constexpr size_t kRounds = 1500;
    for (size_t round = 0; round < kRounds; ++round) {
      Bytes bytes = whole;
      const size_t begin =
          leaves == 33 ? compiled::kHeaderBytes : bytes.size() - compiled::open_container(whole)->payload.size();
      for (size_t edit = random() % 3 + 1; edit > 0; --edit)
        bytes[begin + random() % (bytes.size() - begin)] = static_cast<std::byte>(random());
      ASSERT_TRUE(seal(bytes, description));
      refused += !outputs_of(engine, {{}, bytes, nullptr}, {&x, 1}).ok();
    }
    EXPECT_GT(refused, kRounds / 10);
  }
}

TEST(Compiled, WhatCannotBeIsSaid) {
  const Folder folder;
  write_sample(folder / "model.onnx");
  const auto engine = std::make_shared<Engine>(1);
  const ModelSource source{folder / "model.onnx", {}, nullptr}, made{folder / "model.linnet", {}, nullptr};
  ASSERT_TRUE(compile_model(*engine, source, {}, folder / "model.linnet").ok());
  EXPECT_EQ(compile_model(*engine, source, {}, folder / "model.onnx").code(), Code::invalid_argument);
  EXPECT_EQ(compile_model(*engine, made, {}, folder / "again.linnet").code(), Code::invalid_argument);
  EXPECT_EQ(compile_model(*engine, source, {}, folder / "nowhere/model.linnet").code(), Code::io);
  LoadOptions replaced;
  replaced.initializers["w"] = random_floats(Shape{16, 64}, 9);
  EXPECT_EQ(load_model(*engine, made, replaced).status().code(), Code::invalid_argument);
  Bytes bytes = contents(folder / "model.linnet");
  bytes[8] ^= std::byte{1};  // another format, the rest as it should be
  EXPECT_FALSE(load_model(*engine, {{}, bytes, nullptr}, {}).ok());
}

TEST(Compiled, CacheFollowsTheModel) {
  const Folder folder;
  const fs::path path = folder / "model.onnx";
  const auto engine = std::make_shared<Engine>(1);
  LoadOptions options;
  options.cache_folder = folder / "cache";
  const auto cached = [&] { return outputs_of(engine, {path, {}, nullptr}, {&kIds, 1}, options); };
  const auto files = [&] {
    size_t count = 0;
    for ([[maybe_unused]] const auto& entry : fs::directory_iterator(options.cache_folder)) ++count;
    return count;
  };
  const auto is_mapped = [&] {
    const auto model = load_model(*engine, {path, {}, nullptr}, options);
    return model.ok() && (*model)->program->packed_bytes() == 0;
  };
  write_sample(path, 1);
  const auto first = outputs_of(engine, {path, {}, nullptr}, {&kIds, 1});
  expect_same(*first, *cached());
  EXPECT_EQ(files(), 1u);
  EXPECT_TRUE(is_mapped());
  expect_same(*first, *cached());

  // Another model in its place.
  write_sample(path, 77);
  const auto second = outputs_of(engine, {path, {}, nullptr}, {&kIds, 1});
  EXPECT_FALSE(is_mapped());
  EXPECT_TRUE(is_mapped());
  expect_same(*second, *cached());
  EXPECT_EQ(files(), 1u);

  // The same size and time, but not the same content: only a look at it tells.
  const auto time = fs::last_write_time(path);
  Bytes bytes = contents(path);
  const size_t middle = bytes.size() / 2;
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(middle)).put(static_cast<char>(bytes[middle] ^ std::byte{1}));
  file.close();
  fs::last_write_time(path, time);
  EXPECT_TRUE(is_mapped());
  options.verify_cache = true;
  EXPECT_FALSE(is_mapped());
  EXPECT_TRUE(is_mapped());
  options.verify_cache = false;

  // Damaged, cut off, or not to be had: the model still runs.
  for (const auto& entry : fs::directory_iterator(options.cache_folder)) fs::resize_file(entry.path(), 5000);
  EXPECT_FALSE(is_mapped());
  EXPECT_TRUE(is_mapped());
  fs::remove_all(options.cache_folder);
  std::ofstream(options.cache_folder) << "a file where the folder should be";
  EXPECT_TRUE(cached().ok());

  // Other options, another compiled model.
  fs::remove_all(options.cache_folder);
  EXPECT_TRUE(cached().ok());
  options.optimize.level = OptimizationLevel::none;
  EXPECT_TRUE(cached().ok());
  EXPECT_EQ(files(), 2u);
}

}  // namespace
}  // namespace linnet
