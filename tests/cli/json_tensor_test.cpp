#include "files/json_tensor.h"

#include <gtest/gtest.h>

#include <cmath>

#include "files/random_tensor.h"
#include "files/store_number.h"

namespace linnet::cli {
namespace {

TensorSpec spec(DType dtype) { return {"x", dtype, {}, true}; }

TEST(JsonTensor, TakesTheTypeOfTheInput) {
  const Result<Tensor> tensor = parse_json_tensor("[[1, 2, 3], [4, 5, 6]]", spec(DType::i64));
  ASSERT_TRUE(tensor.ok()) << tensor.status().message();
  EXPECT_EQ(tensor.value().to_string(), "int64[2x3]");
  EXPECT_EQ(tensor.value().ptr<int64_t>()[5], 6);
  EXPECT_EQ(parse_json_tensor("[1.5]", spec(DType::undefined)).value().to_string(), "float[1]");
  EXPECT_EQ(parse_json_tensor("[[\"a\"]]", spec(DType::undefined)).value().to_string(), "string[1x1]");
  EXPECT_EQ(parse_json_tensor("true", spec(DType::undefined)).value().to_string(), "bool[scalar]");
}

TEST(JsonTensor, TakesTypeAndShapeOfTheFile) {
  const Result<Tensor> tensor = parse_json_tensor(
      R"({"dtype": "float16", "shape": [2, 2], "data": [1, "NaN", "-Infinity", 0.5]})", spec(DType::f32));
  ASSERT_TRUE(tensor.ok()) << tensor.status().message();
  EXPECT_EQ(tensor.value().to_string(), "float16[2x2]");
  EXPECT_TRUE(std::isnan(number_at(*tensor, 1)));
  EXPECT_EQ(number_at(*tensor, 2), -INFINITY);
  EXPECT_EQ(
      parse_json_tensor(R"({"dtype": "int8", "shape": [0, 5], "data": []})", spec(DType::f32)).value().to_string(),
      "int8[0x5]");
}

TEST(JsonTensor, KeepsLargeIntegers) {
  EXPECT_EQ(*parse_json_tensor("18446744073709551615", spec(DType::u64)).value().ptr<uint64_t>(), UINT64_MAX);
  EXPECT_EQ(*parse_json_tensor("-9223372036854775808", spec(DType::i64)).value().ptr<int64_t>(), INT64_MIN);
  EXPECT_FALSE(parse_json_tensor("9223372036854775808", spec(DType::i64)).ok());
}

TEST(JsonTensor, RefusesWhatDoesNotFit) {
  const char* refused[] = {"",
                           "[1, 2",
                           "[[1], [1, 2]]",
                           "[[], [1]]",
                           "[1, [2]]",
                           "[300]",
                           "[1.5]",
                           "[\"a\"]",
                           "{\"dtype\": 3}",
                           "{\"data\": [1], \"dtype\": \"int\"}",
                           "[null]",
                           "{\"data\": [1], \"shape\": [2]}",
                           "{\"data\": [1], \"shape\": [-1]}",
                           "{\"data\": [1], \"shape\": [4611686018427387904, 4]}"};
  for (const char* text : refused) EXPECT_FALSE(parse_json_tensor(text, spec(DType::u8)).ok()) << text;
  EXPECT_FALSE(parse_json_tensor(std::string(100000, '['), spec(DType::u8)).ok());
  EXPECT_FALSE(parse_json_tensor(std::string(1000, '[') + std::string(1000, ']'), spec(DType::u8)).ok());
}

TEST(JsonTensor, RoundTripsEveryType) {
  for (int number = 1; number < kDTypeCount; ++number) {
    const DType dtype = static_cast<DType>(number);
    if (dtype == DType::c64 || dtype == DType::c128) continue;
    const Tensor tensor = *random_tensor(dtype, {2, 3}, 7);
    const Result<std::string> text = json_text(tensor);
    ASSERT_TRUE(text.ok()) << text.status().message();
    const Result<Tensor> again = parse_json_tensor(*text, spec(DType::undefined));
    ASSERT_TRUE(again.ok()) << again.status().message() << *text;
    EXPECT_EQ(again.value().to_string(), tensor.to_string());
    for (int i = 0; i < 6; ++i) {
      if (dtype == DType::string) {
        EXPECT_EQ(again.value().ptr<std::string>()[i], tensor.ptr<std::string>()[i]);
      } else if (dtype == DType::f64) {
        EXPECT_EQ(again.value().ptr<double>()[i], tensor.ptr<double>()[i]);
      } else {
        EXPECT_EQ(number_at(*again, i), number_at(tensor, i)) << dtype_name(dtype);
      }
    }
  }
}

TEST(RandomTensor, DependsOnTheSeedAlone) {
  const Tensor a = *random_tensor(DType::f32, {1000}, 1), b = *random_tensor(DType::f32, {1000}, 1);
  const Tensor c = *random_tensor(DType::f32, {1000}, 2);
  double sum = 0, least = 1, greatest = -1;
  int same = 0;
  for (int i = 0; i < 1000; ++i) {
    const double value = number_at(a, i);
    EXPECT_EQ(value, number_at(b, i));
    same += value == number_at(c, i);
    sum += value;
    least = std::min(least, value);
    greatest = std::max(greatest, value);
  }
  EXPECT_LT(same, 5);
  EXPECT_NEAR(sum / 1000, 0, 0.1);
  EXPECT_LT(least, -0.9);
  EXPECT_GT(greatest, 0.9);
  EXPECT_GE(least, -1);
  EXPECT_LT(greatest, 1);
  EXPECT_FALSE(random_tensor(DType::f32, {INT64_MAX, 2}, 1).ok());
}

TEST(StoreNumber, KnowsTheRangeOfEachType) {
  Tensor i4 = *make_tensor(DType::i4, {3});
  EXPECT_TRUE(store_integer(i4, 1, -8));
  EXPECT_TRUE(store_integer(i4, 2, 7));
  EXPECT_FALSE(store_integer(i4, 0, 8));
  EXPECT_EQ(integer_at(i4, 0), 0);
  EXPECT_EQ(integer_at(i4, 1), -8);
  EXPECT_EQ(integer_at(i4, 2), 7);
  Tensor u8 = *make_tensor(DType::u8, {1});
  EXPECT_FALSE(store_number(u8, 0, -1));
  EXPECT_FALSE(store_number(u8, 0, 0.5));
  EXPECT_FALSE(store_number(u8, 0, NAN));
  EXPECT_TRUE(store_number(u8, 0, 255));
}

}  // namespace
}  // namespace linnet::cli
