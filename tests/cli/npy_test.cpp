#include "files/npy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "base/aligned_buffer.h"
#include "cli/fixture.h"
#include "files/npz.h"
#include "files/store_number.h"
#include "files/tensor_file.h"

namespace linnet::cli {
namespace {

Tensor npy(const char* name) {
  Result<Tensor> tensor = parse_npy(fixture(name));
  EXPECT_TRUE(tensor.ok()) << tensor.status().message();
  return tensor.ok() ? *tensor : Tensor();
}

TEST(Npy, ReadsBothOrders) {
  for (const char* name : {"f4.npy", "f4_fortran.npy"}) {
    const Tensor tensor = npy(name);
    EXPECT_EQ(tensor.to_string(), "float[2x3x4]");
    for (int i = 0; i < 24; ++i) EXPECT_EQ(tensor.ptr<float>()[i], static_cast<float>(i) / 2 - 3) << name;
  }
}

TEST(Npy, ReadsBigEndian) {
  const Tensor integers = npy("i8_big_endian.npy");
  EXPECT_EQ(integers.ptr<int64_t>()[5], 5 - (int64_t{1} << 40));
  const Tensor numbers = npy("c8_big_endian.npy");
  EXPECT_EQ(numbers.ptr<std::complex<float>>()[0], std::complex<float>(1, 2));
  EXPECT_EQ(numbers.ptr<std::complex<float>>()[1], std::complex<float>(0, -3.5f));
}

TEST(Npy, ReadsEveryVersionAndKind) {
  const Tensor flags = npy("bool_v2.npy");
  EXPECT_EQ(flags.to_string(), "bool[2x3x4]");
  for (int i = 0; i < 24; ++i) EXPECT_EQ(flags.ptr<bool>()[i], i % 3 == 0);
  const Tensor text = npy("text_v3.npy");
  EXPECT_EQ(text.to_string(), "string[2x2]");
  EXPECT_EQ(text.ptr<std::string>()[1], "äöü");
  EXPECT_EQ(text.ptr<std::string>()[2], "");
  EXPECT_EQ(text.ptr<std::string>()[3], "日本語 🙂");
  EXPECT_EQ(npy("bytes.npy").ptr<std::string>()[2], "xyz");
  EXPECT_EQ(npy("scalar.npy").to_string(), "uint16[scalar]");
  EXPECT_EQ(*npy("scalar.npy").ptr<uint16_t>(), 7);
  EXPECT_EQ(npy("empty.npy").to_string(), "double[2x0x3]");
}

TEST(Npy, ViewsWhatLiesAsInATensor) {
  const auto is_view = [](const char* name, size_t shift) {
    const std::string bytes = fixture(name);
    const auto owner = std::make_shared<AlignedBuffer>(bytes.size() + shift);
    char* begin = reinterpret_cast<char*>(owner->data()) + shift;
    std::copy(bytes.begin(), bytes.end(), begin);
    const Tensor tensor = *parse_npy({begin, bytes.size()}, owner), copied = *parse_npy(bytes);
    EXPECT_EQ(tensor.to_string(), copied.to_string());
    EXPECT_EQ(std::memcmp(tensor.data, copied.data, copied.bytes()), 0);
    return tensor.ptr<char>() >= begin && tensor.ptr<char>() < begin + bytes.size();
  };
  EXPECT_TRUE(is_view("f4.npy", 0));
  EXPECT_FALSE(is_view("f4.npy", 4));  // not aligned
  EXPECT_FALSE(is_view("f4_fortran.npy", 0));
  EXPECT_FALSE(is_view("i8_big_endian.npy", 0));
  EXPECT_FALSE(is_view("bool_v2.npy", 0));  // bytes other than 0 and 1 are made true
}

TEST(Npy, WritesWhatNumPyWrites) {
  for (const char* name : {"f4.npy", "scalar.npy", "empty.npy"}) {
    const Result<std::string> bytes = npy_bytes(npy(name));
    ASSERT_TRUE(bytes.ok());
    EXPECT_EQ(bytes.value(), fixture(name));
  }
}

TEST(Npy, RoundTripsText) {
  const Tensor text = npy("text_v3.npy");
  const Tensor again = *parse_npy(*npy_bytes(text));
  ASSERT_EQ(again.to_string(), text.to_string());
  for (int i = 0; i < 4; ++i) EXPECT_EQ(again.ptr<std::string>()[i], text.ptr<std::string>()[i]);
  Tensor bytes = *make_tensor(DType::string, {1});
  *bytes.ptr<std::string>() = "\xff";
  EXPECT_FALSE(npy_bytes(bytes).ok());
}

TEST(Npy, WidensTypesWithoutAName) {
  for (const DType dtype : {DType::bf16, DType::f8e5m2, DType::f4e2m1, DType::i4, DType::u2}) {
    Tensor tensor = *make_tensor(dtype, {3});
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(store_number(tensor, i, i));
    const Result<std::string> bytes = npy_bytes(tensor);
    ASSERT_TRUE(bytes.ok());
    const Result<Tensor> wide = parse_npy(*bytes);
    ASSERT_TRUE(wide.ok());
    for (int i = 0; i < 3; ++i) EXPECT_EQ(number_at(*wide, i), i) << dtype_name(dtype);

    const std::filesystem::path path = std::filesystem::path(testing::TempDir()) / "widened.npy";
    ASSERT_TRUE(write_tensor_file(path, tensor).ok());
    const Result<Tensor> back = read_tensor_file(path, {"x", dtype, Shape{3}});
    ASSERT_TRUE(back.ok());
    EXPECT_EQ(back.value().dtype, dtype);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(number_at(*back, i), i) << dtype_name(dtype);
  }
}

TEST(Npy, RefusesWhatItCannotHold) {
  const Result<Tensor> record = parse_npy(fixture("record.npy"));
  ASSERT_FALSE(record.ok());
  EXPECT_FALSE(parse_npy("").ok());
  EXPECT_FALSE(parse_npy("PK not an array").ok());
}

std::string with_header(const std::string& header) {
  return std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(header.size()) + '\0' + header;
}

TEST(Npy, RefusesSizesThatOverflow) {
  for (const char* shape : {"(9223372036854775807, 9)", "(4611686018427387904, 4)", "(99999999999999999999,)",
                            "(1000000000000,)", "(-1,)", "(1,", "1"}) {
    const std::string file =
        with_header(concat("{'descr': '<f4', 'fortran_order': False, 'shape': ", std::string(shape), ", }"));
    EXPECT_FALSE(parse_npy(file).ok()) << shape;
  }
  for (const char* descr : {"<f3", "<U0", "<U99999999999", "|O", "", "<", "<f44444444444444"}) {
    EXPECT_FALSE(
        parse_npy(with_header(concat("{'descr': '", std::string(descr), "', 'fortran_order': False, 'shape': (1,), }")))
            .ok());
  }
}

// Whatever is cut off or changed, reading ends in a tensor or an error, within the file's bounds (the sanitizers look
// on).
TEST(Npy, SurvivesDamage) {
  for (const char* name : {"f4_fortran.npy", "text_v3.npy", "stored.npz", "deflated.npz"}) {
    const std::string whole = fixture(name);
    const bool archive = std::string_view(name).ends_with("npz");
    for (size_t size = 0; size < whole.size(); ++size) {
      if (archive) {
        EXPECT_FALSE(parse_npz(whole.substr(0, size)).ok()) << name << size;
      } else {
        EXPECT_FALSE(parse_npy(whole.substr(0, size)).ok()) << name << size;
      }
    }
    for (size_t at = 0; at < whole.size(); ++at) {
      for (const int change : {1, 0x80, 0xff}) {
        std::string damaged = whole;
        damaged[at] = static_cast<char>(damaged[at] ^ change);
        if (archive) {
          static_cast<void>(parse_npz(damaged).ok());
        } else {
          static_cast<void>(parse_npy(damaged).ok());
        }
      }
    }
  }
}

TEST(TensorFile, RoundTripsByExtension) {
  const Tensor tensor = npy("i8_big_endian.npy");
  for (const char* name : {"t.npy", "t.json", "t.pb"}) {
    const std::filesystem::path path = std::filesystem::path(testing::TempDir()) / name;
    ASSERT_TRUE(write_tensor_file(path, tensor, "ids").ok());
    const Result<Tensor> again = read_tensor_file(path, {"ids", DType::i64, Shape{2, 3, 4}});
    ASSERT_TRUE(again.ok()) << again.status().message();
    EXPECT_EQ(*npy_bytes(*again), *npy_bytes(tensor)) << name;
  }
  EXPECT_EQ(read_tensor_file("/nowhere/x.npy", {}).status().code(), Code::not_found);
  EXPECT_EQ(file_name_of("a/b:c d.0-1_é"), "a_b_c_d.0-1___");
}

TEST(Npz, ReadsStoredAndDeflated) {
  for (const char* name : {"stored.npz", "deflated.npz"}) {
    const Result<std::vector<NamedTensor>> tensors = parse_npz(fixture(name));
    ASSERT_TRUE(tensors.ok()) << tensors.status().message();
    ASSERT_EQ(tensors.value().size(), 2u);
    EXPECT_EQ(tensors.value()[0].name, "ids");
    EXPECT_EQ(tensors.value()[0].tensor.ptr<int64_t>()[23], 23);
    EXPECT_EQ(tensors.value()[1].name, "x");
    EXPECT_EQ(tensors.value()[1].tensor.ptr<float>()[1], -1.0f);
  }
}

TEST(Npz, RoundTrips) {
  const std::vector<NamedTensor> tensors = *parse_npz(fixture("stored.npz"));
  for (const bool deflate : {false, true}) {
    const Result<std::string> bytes = npz_bytes(tensors, deflate);
    ASSERT_TRUE(bytes.ok());
    const Result<std::vector<NamedTensor>> again = parse_npz(*bytes);
    ASSERT_TRUE(again.ok()) << again.status().message();
    ASSERT_EQ(again.value().size(), tensors.size());
    for (size_t i = 0; i < tensors.size(); ++i) {
      EXPECT_EQ(again.value()[i].name, tensors[i].name);
      EXPECT_EQ(*npy_bytes(again.value()[i].tensor), *npy_bytes(tensors[i].tensor));
    }
  }
}

TEST(Npz, RefusesAMemberThatClaimsTooMuch) {
  std::string bytes = fixture("deflated.npz");
  const size_t entry = bytes.find("PK\x01\x02");
  ASSERT_NE(entry, std::string::npos);
  bytes.replace(entry + 24, 4, std::string("\xfe\xff\xff\xff", 4));  // the unpacked size
  EXPECT_FALSE(parse_npz(bytes).ok());
}

}  // namespace
}  // namespace linnet::cli
