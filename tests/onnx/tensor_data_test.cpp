#include "onnx/tensor_data.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/file.h"
#include "onnx/make_model.h"
#include "onnx/path_resolver.h"
#include "onnx/reader.h"
#include "onnx/value_data.h"
#include "onnx/writer.h"
#include "tensor/alignment.h"

namespace linnet::onnx {
namespace {

namespace fs = std::filesystem;

Tensor make(DType dtype, std::vector<int64_t> dims) {
  Tensor tensor;
  tensor.name = "t";
  tensor.data_type = static_cast<int32_t>(dtype);
  tensor.dims = std::move(dims);
  return tensor;
}

std::vector<double> numbers(const linnet::Tensor& tensor) {
  std::vector<double> all;
  for (int64_t i = 0; i < tensor.count(); ++i) all.push_back(number_at(tensor, i));
  return all;
}

TEST(TensorData, NarrowTypesAreTheLowBitsOfInt32Data) {
  Tensor i8 = make(DType::i8, {2});
  i8.int32_data = {-3, 127};
  EXPECT_EQ(numbers(*to_tensor(i8, {})), (std::vector<double>{-3, 127}));
  Tensor half = make(DType::f16, {2});
  half.int32_data = {0x3c00, 0xc000};
  EXPECT_EQ(numbers(*to_tensor(half, {})), (std::vector<double>{1, -2}));
  Tensor brain = make(DType::bf16, {1});
  brain.int32_data = {0x3f80};
  EXPECT_EQ(numbers(*to_tensor(brain, {})), (std::vector<double>{1}));
  Tensor f8 = make(DType::f8e4m3fn, {1});
  f8.int32_data = {0x38};
  EXPECT_EQ(numbers(*to_tensor(f8, {})), (std::vector<double>{1}));
  Tensor i4 = make(DType::i4, {3});
  i4.int32_data = {0x2f, 0x07};
  EXPECT_EQ(numbers(*to_tensor(i4, {})), (std::vector<double>{-1, 2, 7}));
  Tensor truth = make(DType::boolean, {2});
  truth.int32_data = {0, 2};
  EXPECT_EQ(numbers(*to_tensor(truth, {})), (std::vector<double>{0, 1}));
  Tensor u32 = make(DType::u32, {1});
  u32.uint64_data = {4000000000};
  EXPECT_EQ(numbers(*to_tensor(u32, {})), (std::vector<double>{4000000000.0}));
}

TEST(TensorData, ViewsAlignedPayloadsAndCopiesOthers) {
  auto memory = std::make_shared<std::vector<float>>(std::vector<float>{1, 2, 3});
  const Bytes bytes = std::as_bytes(std::span(*memory));
  Tensor aligned = make(DType::f32, {2});
  aligned.raw_data = bytes.subspan(4);
  const auto view = to_tensor(aligned, {memory});
  EXPECT_EQ(view->data, memory->data() + 1);
  Tensor unaligned = make(DType::u8, {8});
  unaligned.raw_data = bytes.subspan(2, 8);
  EXPECT_EQ(to_tensor(unaligned, {memory})->data, bytes.data() + 2);
  unaligned.data_type = static_cast<int32_t>(DType::f32);
  unaligned.dims = {2};
  EXPECT_NE(to_tensor(unaligned, {memory})->data, bytes.data() + 2);
  EXPECT_NE(to_tensor(aligned, {})->data, memory->data() + 1);
  memory.reset();
  EXPECT_EQ(numbers(*view), (std::vector<double>{2, 3}));
}

// Of any size, other than a model's weights: they are read in place.
TEST(TensorData, TensorsOfValuesAreAligned) {
  linnet::Tensor tensor = make_tensor(DType::f32, {20000}).value();
  tensor.ptr<float>()[19999] = 3;
  Sequence sequence;
  sequence.dtype = DType::f32;
  sequence.values.emplace_back(tensor);
  Value list;
  list.sequence = std::make_shared<Sequence>(std::move(sequence));
  const auto check = [&](const Value& value, ElementKind kind) {
    const std::vector<std::byte> encoded = encode_value(value, "v", kind).value();
    for (size_t at = 0; at < 4; ++at) {
      const auto memory = std::make_shared<std::vector<std::byte>>(at);
      memory->insert(memory->end(), encoded.begin(), encoded.end());
      const Value read = decode_value(Bytes(*memory).subspan(at), kind, memory)->value;
      const linnet::Tensor& got = read.is_sequence() ? read.sequence->values[0].tensor : read.tensor;
      EXPECT_TRUE(is_aligned(got));
      EXPECT_EQ(got.ptr<float>()[19999], 3);
    }
  };
  check(Value(tensor), ElementKind::tensor);
  check(list, ElementKind::sequence);
  check(Value(tensor), ElementKind::optional);
}

TEST(TensorData, BooleansAreZeroOrOne) {
  auto memory = std::make_shared<std::vector<uint8_t>>(std::vector<uint8_t>{0, 1, 255});
  Tensor tensor = make(DType::boolean, {3});
  tensor.raw_data = std::as_bytes(std::span(*memory));
  EXPECT_EQ(numbers(*to_tensor(tensor, {memory})), (std::vector<double>{0, 1, 1}));
}

TEST(TensorData, RefusesWrongCountsAndTypes) {
  Tensor tensor = make(DType::f32, {2, 3});
  EXPECT_FALSE(to_tensor(tensor, {}).ok());
  const std::array<std::byte, 20> raw{};
  tensor.raw_data = Bytes(raw);
  const auto failed = to_tensor(tensor, {});
  EXPECT_EQ(failed.status().message(), "tensor 't': its shape asks for 24 bytes, but the file holds 20");
  EXPECT_FALSE(to_tensor(make(DType::f32, {-1}), {}).ok());
  EXPECT_FALSE(to_tensor(make(DType::f32, {int64_t{1} << 40, int64_t{1} << 40}), {}).ok());
  EXPECT_FALSE(to_tensor(make(DType::i32, {int64_t{1} << 40}), {}).ok());
  EXPECT_FALSE(to_tensor(make(DType::string, {int64_t{1} << 40}), {}).ok());
  EXPECT_FALSE(to_tensor(make(DType::undefined, {}), {}).ok());
  tensor.data_type = 99;
  EXPECT_FALSE(to_tensor(tensor, {}).ok());
}

TEST(TensorData, MakesSparseTensorsDense) {
  SparseTensor sparse;
  sparse.values = make_ints("s", {5, 6});
  sparse.indices = make_ints("", {1, 3});
  sparse.dims = {2, 2};
  EXPECT_EQ(numbers(*to_tensor(sparse, {})), (std::vector<double>{0, 5, 0, 6}));
  sparse.indices = make_ints("", {0, 1, 1, 0});
  sparse.indices.dims = {2, 2};
  EXPECT_EQ(numbers(*to_tensor(sparse, {})), (std::vector<double>{0, 5, 6, 0}));
  sparse.indices.int64_data[3] = 2;
  EXPECT_FALSE(to_tensor(sparse, {}).ok());
  sparse.indices.int64_data[3] = 0;
  EXPECT_FALSE(to_tensor(sparse, {}, 31).ok());
  sparse.indices = make_ints("", {1, -1});
  EXPECT_FALSE(to_tensor(sparse, {}).ok());
}

// A folder that is removed again.
class Folder : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    root_ = fs::canonical(fs::temp_directory_path()) / (std::string("linnet_") + test->name());
    fs::remove_all(root_);
    fs::create_directories(root_);
  }
  void TearDown() override { fs::remove_all(root_); }
  void touch(const fs::path& path, std::string_view text = "12345678") {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  bool resolves(const fs::path& model, std::string_view location) {
    return resolve_location(root_ / model, location).ok();
  }
  fs::path root_;
};

using PathResolver = Folder;
TEST_F(PathResolver, StaysBeneathTheModelsFolder) {
  touch("secret");
  touch("model/m.onnx");
  touch("model/w.bin");
  touch("model/sub/w.bin");
  touch("model2/w.bin");
  EXPECT_EQ(resolve_location(root_ / "model/m.onnx", "sub/w.bin").value(), root_ / "model/sub/w.bin");
  EXPECT_TRUE(resolves("model/m.onnx", "./w.bin"));
  EXPECT_FALSE(resolves("model/m.onnx", "../secret"));
  EXPECT_FALSE(resolves("model/m.onnx", "sub/../w.bin"));
  EXPECT_FALSE(resolves("model/m.onnx", (root_ / "model/w.bin").string()));
  EXPECT_FALSE(resolves("model/m.onnx", ""));
  EXPECT_FALSE(resolves("model/m.onnx", std::string_view("w.bin\0x", 7)));
  EXPECT_EQ(resolve_location(root_ / "model/m.onnx", "absent").status().code(), Code::not_found);

  fs::create_symlink(root_ / "secret", root_ / "model/link");
  fs::create_symlink("w.bin", root_ / "model/inside");
  fs::create_directory_symlink(root_ / "model2", root_ / "model/folder");
  EXPECT_FALSE(resolves("model/m.onnx", "link"));
  EXPECT_FALSE(resolves("model/m.onnx", "folder/w.bin"));
  EXPECT_TRUE(resolves("model/m.onnx", "inside"));
}

TEST_F(PathResolver, FollowsTheLinksOfACache) {
  touch("blobs/aaa");
  touch("blobs/bbb");
  touch("other/ccc");
  fs::create_directories(root_ / "snapshots/1/onnx");
  fs::create_symlink("../../../blobs/aaa", root_ / "snapshots/1/onnx/m.onnx");
  fs::create_symlink("../../../blobs/bbb", root_ / "snapshots/1/onnx/m.onnx_data");
  fs::create_symlink("../../../other/ccc", root_ / "snapshots/1/onnx/elsewhere");
  EXPECT_EQ(resolve_location(root_ / "snapshots/1/onnx/m.onnx", "m.onnx_data").value(), root_ / "blobs/bbb");
  EXPECT_FALSE(resolves("snapshots/1/onnx/m.onnx", "elsewhere"));
}

using External = Folder;
TEST_F(External, PayloadsShareOneFileAndAreChecked) {
  touch("m.onnx");
  touch("w.bin", std::string("\1\0\0\0\2\0\0\0", 8));
  Tensor tensor = make(DType::i32, {1});
  tensor.data_location = DataLocation::external;
  tensor.external_data = {{"location", "w.bin"}, {"offset", "4"}, {"length", "4"}};
  ExternalData external(root_ / "m.onnx");
  const auto second = to_tensor(tensor, {nullptr, &external});
  ASSERT_TRUE(second.ok()) << second.status().message();
  EXPECT_EQ(numbers(*second), std::vector<double>{2});
  tensor.external_data = {{"location", "w.bin"}};
  const auto first = to_tensor(tensor, {nullptr, &external});
  EXPECT_EQ(first->ptr<std::byte>() + 4, second->ptr<std::byte>());

  EXPECT_FALSE(to_tensor(tensor, {}).ok());
  for (const std::string_view offset : {"5", "8", "18446744073709551615", "99999999999999999999", "-1", "x"}) {
    tensor.external_data = {{"location", "w.bin"}, {"offset", offset}};
    EXPECT_FALSE(to_tensor(tensor, {nullptr, &external}).ok()) << offset;
  }
  tensor.external_data = {{"location", "w.bin"}, {"length", "8"}};
  EXPECT_FALSE(to_tensor(tensor, {nullptr, &external}).ok());
  fs::create_directory(root_ / "folder");
  tensor.external_data = {{"location", "folder"}};
  EXPECT_FALSE(to_tensor(tensor, {nullptr, &external}).ok());
}

TEST_F(External, ContentCanBeSupplied) {
  ExternalData external;
  Tensor tensor = make(DType::u8, {3});
  tensor.data_location = DataLocation::external;
  tensor.external_data = {{"location", "w"}, {"offset", "1"}};
  EXPECT_EQ(to_tensor(tensor, {nullptr, &external}).status().code(), Code::not_found);
  static const uint8_t content[] = {1, 2, 3, 4};
  external.supply("w", {std::as_bytes(std::span(content)), nullptr});
  EXPECT_EQ(numbers(*to_tensor(tensor, {nullptr, &external})), (std::vector<double>{2, 3, 4}));
}

TEST_F(External, LargeInitializersGoToAFileOfTheirOwn) {
  const std::vector<uint8_t> large(size_t{3} << 20, 7);
  const std::vector<uint8_t> small(100, 8);
  Model model = make_model({"x"}, {"x"});
  for (const std::vector<uint8_t>* content : {&small, &large, &large}) {
    Tensor tensor = make(DType::u8, {static_cast<int64_t>(content->size())});
    tensor.raw_data = std::as_bytes(std::span(*content));
    model.graph->initializer.push_back(std::move(tensor));
  }
  WriteOptions options;
  options.external_threshold = 100;
  ASSERT_TRUE(write_model(root_ / "m.onnx", std::move(model), options).ok());
  EXPECT_EQ(std::distance(fs::directory_iterator(root_), {}), 2);
  EXPECT_LT(fs::file_size(root_ / "m.onnx"), 1000u);

  const auto file = MappedFile::open(root_ / "m.onnx", MappedFile::Mode::copy);
  const auto again = read_model((*file)->bytes());
  ASSERT_TRUE(again.ok());
  ExternalData external(root_ / "m.onnx");
  for (const Tensor& tensor : again->graph->initializer) {
    const auto read = to_tensor(tensor, {*file, &external});
    ASSERT_TRUE(read.ok()) << read.status().message();
    const bool is_large = read->bytes() > 100;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(read->data) % (is_large ? 4096 : 64), 0u);
    EXPECT_EQ(read->ptr<uint8_t>()[read->bytes() - 1], is_large ? 7 : 8);
  }
}

TEST_F(External, FilesAreOpenedOrRefusedWithAReason) {
  EXPECT_EQ(MappedFile::open(root_ / "absent").status().code(), Code::not_found);
  EXPECT_EQ(MappedFile::open(root_).status().code(), Code::io);
  touch("empty", "");
  EXPECT_EQ(MappedFile::open(root_ / "empty").value()->bytes().size(), 0u);
  EXPECT_FALSE(write_file(root_ / "no/such/folder/file", Bytes()).ok());
}

}  // namespace
}  // namespace linnet::onnx
