#include "files/image_codecs.h"

#include <jpeglib.h>
#include <png.h>

#include <csetjmp>
#include <limits>

#include "files/image.h"

namespace linnet::cli {
namespace {

constexpr std::string_view kPngMagic = "\x89PNG\r\n\x1a\n";
constexpr std::string_view kJpegMagic = "\xff\xd8\xff";

bool is_pnm(std::string_view bytes) {
  return bytes.size() > 2 && bytes[0] == 'P' &&
         (bytes[1] == '2' || bytes[1] == '3' || bytes[1] == '5' || bytes[1] == '6');
}

Result<Image> blank(int64_t width, int64_t height, int channels) {
  LINNET_REQUIRE(
      width > 0 && height > 0 && width <= kMostPixels && height <= kMostPixels / width,
      invalid_argument("an image of ", width, "x", height, " pixels is more than is decoded (", kMostPixels, ")"));
  return Image{width, height, std::vector<uint8_t>(static_cast<size_t>(width * height * channels))};
}

// The samples of `image`, which has `from` channels, as `to` channels. Weights: ITU-R BT.601.
Image with_channels(Image image, int from, int to) {
  if (from == to) return image;
  Image out{image.width, image.height, {}};
  out.pixels.reserve(static_cast<size_t>(image.width * image.height * to));
  for (size_t i = 0; i < image.pixels.size(); i += static_cast<size_t>(from)) {
    const uint8_t* p = &image.pixels[i];
    if (to == 1) {
      out.pixels.push_back(static_cast<uint8_t>((299 * p[0] + 587 * p[1] + 114 * p[2] + 500) / 1000));
    } else {
      for (int c = 0; c < 3; ++c) out.pixels.push_back(p[from == 1 ? 0 : c]);
      if (to == 4) out.pixels.push_back(255);
    }
  }
  return out;
}

Result<Image> decode_png(std::string_view bytes, int channels) {
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  if (!png_image_begin_read_from_memory(&png, bytes.data(), bytes.size())) {
    return invalid_argument("the PNG cannot be read: ", std::string_view(png.message));
  }
  png.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;
  png.format = channels == 4 ? PNG_FORMAT_RGBA : PNG_FORMAT_RGB;
  const int decoded = channels == 4 ? 4 : 3;
  Result<Image> image = blank(png.width, png.height, decoded);
  if (!image.ok()) {
    png_image_free(&png);
    return image;
  }
  const png_color black{0, 0, 0};
  if (!png_image_finish_read(&png, &black, image->pixels.data(), 0, nullptr)) {
    return invalid_argument("the PNG cannot be read: ", std::string_view(png.message));
  }
  return with_channels(std::move(*image), decoded, channels);
}

struct JpegError {
  jpeg_error_mgr manager;  // first: libjpeg hands back a pointer to it
  std::jmp_buf jump;
  char message[JMSG_LENGTH_MAX];
};

[[noreturn]] void jpeg_failed(j_common_ptr jpeg) {
  JpegError* failure = reinterpret_cast<JpegError*>(jpeg->err);
  failure->manager.format_message(jpeg, failure->message);
  std::longjmp(failure->jump, 1);
}

// Calls into libjpeg, which leaves by longjmp: nothing here may own memory. Two calls: the size, then the rows.
struct JpegReader {
  jpeg_decompress_struct jpeg{};
  JpegError failure{};

  JpegReader() {
    jpeg.err = jpeg_std_error(&failure.manager);
    failure.manager.error_exit = jpeg_failed;
    failure.manager.output_message = [](j_common_ptr) {};
  }
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;
  ~JpegReader() { jpeg_destroy_decompress(&jpeg); }

  bool start(const unsigned char* data, unsigned long size, int channels) {
    if (setjmp(failure.jump)) return false;
    jpeg_create_decompress(&jpeg);
    jpeg_mem_src(&jpeg, data, size);
    jpeg_read_header(&jpeg, TRUE);
    jpeg.out_color_space = channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    return true;
  }
  bool read(uint8_t* pixels, size_t row_bytes) {
    if (setjmp(failure.jump)) return false;
    jpeg_start_decompress(&jpeg);
    while (jpeg.output_scanline < jpeg.output_height) {
      JSAMPROW row = pixels + jpeg.output_scanline * row_bytes;
      jpeg_read_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_decompress(&jpeg);
    return true;
  }
};

Result<Image> decode_jpeg(std::string_view bytes, int channels) {
  const int decoded = channels == 1 ? 1 : 3;
  JpegReader reader;
  const auto failed = [&] {
    return invalid_argument("the JPEG cannot be read: ", std::string_view(reader.failure.message));
  };
  LINNET_REQUIRE(bytes.size() <= std::numeric_limits<uint32_t>::max(), invalid_argument("the JPEG is too large"));
  if (!reader.start(reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<unsigned long>(bytes.size()),
                    decoded)) {
    return failed();
  }
  LINNET_ASSIGN(Image image, blank(reader.jpeg.image_width, reader.jpeg.image_height, decoded));
  if (!reader.read(image.pixels.data(), static_cast<size_t>(image.width * decoded))) return failed();
  return with_channels(std::move(image), decoded, channels);
}

// https://netpbm.sourceforge.net/doc/ppm.html
class PnmReader {
 public:
  explicit PnmReader(std::string_view bytes)
      : rest_(bytes.substr(2)), plain_(bytes[1] < '4'), color_(bytes[1] % 3 == 0) {}

  Result<Image> read(int channels) {
    const std::optional<int64_t> width = number(), height = number(), greatest = number();
    LINNET_REQUIRE(width && height && greatest && *greatest > 0, invalid_argument("the PNM header is cut off"));
    LINNET_REQUIRE(*greatest <= 255, unsupported("PNM samples of more than 8 bits"));
    const int own = color_ ? 3 : 1;
    if (!plain_ && !rest_.empty()) rest_.remove_prefix(1);  // one whitespace ends the header
    LINNET_REQUIRE(*width <= static_cast<int64_t>(rest_.size()) && *height <= static_cast<int64_t>(rest_.size()),
                   invalid_argument("the PNM is cut off"));
    LINNET_ASSIGN(Image image, blank(*width, *height, own));
    for (uint8_t& sample : image.pixels) {
      std::optional<int64_t> value;
      if (plain_) {
        value = number();
      } else if (!rest_.empty()) {
        value = static_cast<uint8_t>(rest_.front());
        rest_.remove_prefix(1);
      }
      LINNET_REQUIRE(value && *value <= *greatest, invalid_argument("the PNM is cut off or has a sample out of range"));
      sample = static_cast<uint8_t>((*value * 255 + *greatest / 2) / *greatest);
    }
    return with_channels(std::move(image), own, channels);
  }

 private:
  // Skips whitespace and comments.
  std::optional<int64_t> number() {
    while (!rest_.empty() && (rest_.front() == '#' || rest_.front() <= ' ')) {
      const bool comment = rest_.front() == '#';
      const size_t skipped = comment ? rest_.find('\n') : 1;
      rest_.remove_prefix(std::min(skipped, rest_.size()));
    }
    int64_t value = 0;
    size_t digits = 0;
    while (digits < rest_.size() && digits < 9 && rest_[digits] >= '0' && rest_[digits] <= '9') {
      value = value * 10 + (rest_[digits++] - '0');
    }
    rest_.remove_prefix(digits);
    return digits ? std::optional(value) : std::nullopt;
  }

  std::string_view rest_;
  bool plain_, color_;
};

}  // namespace

bool is_image(std::string_view bytes) {
  return bytes.starts_with(kPngMagic) || bytes.starts_with(kJpegMagic) || is_pnm(bytes);
}

Result<Image> decode_image(std::string_view bytes, int channels) {
  if (bytes.starts_with(kPngMagic)) return decode_png(bytes, channels);
  if (bytes.starts_with(kJpegMagic)) return decode_jpeg(bytes, channels);
  if (is_pnm(bytes)) return PnmReader(bytes).read(channels);
  return invalid_argument("not a PNG, JPEG or PNM image");
}

}  // namespace linnet::cli
