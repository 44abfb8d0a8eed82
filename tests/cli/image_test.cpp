#include "files/image.h"

#include <gtest/gtest.h>

#include "cli/fixture.h"
#include "files/npy.h"

namespace linnet::cli {
namespace {

TensorSpec spec(DType dtype, Shape shape) { return {"pixels", dtype, std::move(shape), false}; }

std::vector<double> numbers(const Tensor& tensor) {
  std::vector<double> out;
  for (int64_t i = 0; i < tensor.count(); ++i) out.push_back(number_at(tensor, i));
  return out;
}

TEST(Image, FollowsTheLayoutOfTheInput) {
  const std::string rgba = fixture("rgba.png");  // (255, 0, 10, 255), (20, 200, 30, 128)
  const Result<Tensor> last = image_tensor(rgba, spec(DType::u8, {1, -1, -1, 4}));
  ASSERT_TRUE(last.ok()) << last.status().message();
  EXPECT_EQ(last.value().to_string(), "uint8[1x1x2x4]");
  EXPECT_EQ(numbers(*last), (std::vector<double>{255, 0, 10, 255, 20, 200, 30, 128}));
  const Result<Tensor> first = image_tensor(rgba, spec(DType::u8, {4, 1, 2}));
  ASSERT_TRUE(first.ok()) << first.status().message();
  EXPECT_EQ(numbers(*first), (std::vector<double>{255, 20, 0, 200, 10, 30, 255, 128}));
}

TEST(Image, ScalesFloatsToOne) {
  const Result<Tensor> grey = image_tensor(fixture("grey.png"), spec(DType::f32, {-1, 1, 2, 3}));
  ASSERT_TRUE(grey.ok()) << grey.status().message();
  EXPECT_FLOAT_EQ(grey.value().ptr<float>()[1], 100 / 255.0f);
  const Result<Tensor> rank2 = image_tensor(fixture("grey.png"), spec(DType::u8, {-1, -1}));
  ASSERT_TRUE(rank2.ok());
  EXPECT_EQ(numbers(*rank2), (std::vector<double>{0, 100, 255, 1, 2, 3}));
}

TEST(Image, DecodesJpegAsPillowDoes) {
  const Result<Tensor> decoded = image_tensor(fixture("ramp.jpg"), spec(DType::u8, {8, 12, 3}));
  ASSERT_TRUE(decoded.ok()) << decoded.status().message();
  const Tensor expected = *parse_npy(fixture("ramp_decoded.npy"));
  for (int64_t i = 0; i < expected.count(); ++i) EXPECT_NEAR(number_at(*decoded, i), number_at(expected, i), 2);
}

TEST(Image, DecodesOtherFormatsAsPillowDoes) {
  struct {
    const char *file, *expected;
    double tolerance;
  } const cases[] = {{"ramp.jp2", "ramp.npy", 0},
                     {"ramp.webp", "ramp.npy", 0},
                     {"ramp.tif", "ramp.npy", 0},
                     {"ramp.bmp", "ramp.npy", 0},
                     {"ramp16.bmp", "ramp16_decoded.npy", 0},
                     {"ramp_cmyk.jpg", "ramp_cmyk_decoded.npy", 2}};
  for (const auto& c : cases) {
    const Result<Tensor> decoded = image_tensor(fixture(c.file), spec(DType::u8, {8, 12, 3}));
    ASSERT_TRUE(decoded.ok()) << c.file << ": " << decoded.status().message();
    const Tensor expected = *parse_npy(fixture(c.expected));
    for (int64_t i = 0; i < expected.count(); ++i)
      ASSERT_NEAR(number_at(*decoded, i), number_at(expected, i), c.tolerance) << c.file << " " << i;
  }
  const Result<Tensor> grey = image_tensor(fixture("ramp.webp"), spec(DType::u8, {8, 12}));
  ASSERT_TRUE(grey.ok());
  EXPECT_EQ(numbers(*grey), numbers(*parse_npy(fixture("ramp_grey.npy"))));
}

TEST(Image, ReadsPnm) {
  const Result<Tensor> text =
      image_tensor("P3 # a comment\n2 1\n# another\n15\n0 15 5  1 2 3", spec(DType::u8, {3, -1, -1}));
  ASSERT_TRUE(text.ok()) << text.status().message();
  EXPECT_EQ(numbers(*text), (std::vector<double>{0, 17, 255, 34, 85, 51}));
  const Result<Tensor> binary = image_tensor(std::string("P5 2 1 255\n\x00\xff", 13), spec(DType::u8, {1, 3, -1, -1}));
  ASSERT_TRUE(binary.ok()) << binary.status().message();
  EXPECT_EQ(numbers(*binary), (std::vector<double>{0, 255, 0, 255, 0, 255}));
  const Result<Tensor> bits = image_tensor(std::string("P4 9 2\n\x80\x80\x01\x00", 11), spec(DType::u8, {2, 9}));
  ASSERT_TRUE(bits.ok()) << bits.status().message();
  EXPECT_EQ(numbers(*bits), (std::vector<double>{0, 255, 255, 255, 255, 255, 255, 255, 0,  //
                                                 255, 255, 255, 255, 255, 255, 255, 0, 255}));
  const Result<Tensor> wide = image_tensor(std::string("P5 1 1 65535\n\x80\x00", 15), spec(DType::u8, {1, 1}));
  ASSERT_TRUE(wide.ok()) << wide.status().message();
  EXPECT_EQ(numbers(*wide), (std::vector<double>{128}));
}

TEST(Image, SaysWhatDoesNotFit) {
  const Result<Tensor> size = image_tensor(fixture("grey.png"), spec(DType::f32, {1, 3, 224, 224}));
  ASSERT_FALSE(size.ok());
  EXPECT_NE(size.status().message().find("the image is 3x2 (width x height), but input 'pixels' is 1x3x224x224"),
            std::string::npos)
      << size.status().message();
  EXPECT_FALSE(image_tensor(fixture("grey.png"), spec(DType::i64, {1, 3, 2, 3})).ok());
  EXPECT_FALSE(image_tensor(fixture("grey.png"), spec(DType::f32, {1, 7})).ok());
  EXPECT_FALSE(image_tensor(fixture("grey.png"), spec(DType::f32, {8, 3, 2, 3})).ok());
}

TEST(Image, SurvivesDamage) {
  const TensorSpec any{"pixels", DType::u8, {}, true};
  for (const char* name : {"rgba.png", "grey.png", "ramp.jpg", "ramp_cmyk.jpg", "ramp.jp2", "ramp.webp", "ramp.tif",
                           "ramp.bmp", "ramp16.bmp"}) {
    const std::string whole = fixture(name);
    for (size_t at = 0; at < whole.size(); ++at) {
      static_cast<void>(image_tensor(whole.substr(0, at), any).ok());
      std::string damaged = whole;
      damaged[at] = static_cast<char>(damaged[at] ^ 0xff);
      static_cast<void>(image_tensor(damaged, any).ok());
    }
  }
  EXPECT_FALSE(image_tensor("P6 100000000 100000000 255\n", any).ok());
  EXPECT_FALSE(image_tensor("P6", any).ok());
  EXPECT_FALSE(image_tensor("P5 2 2 255\nab", any).ok());
}

}  // namespace
}  // namespace linnet::cli
