#include <cstdio>  // jpeglib.h needs FILE

#include <jpeglib.h>

#include <csetjmp>
#include <limits>

#include "codecs/image.h"

namespace linnet::codecs {
namespace {

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

  bool start(const unsigned char* data, unsigned long size) {
    if (setjmp(failure.jump)) return false;
    jpeg_create_decompress(&jpeg);
    jpeg_mem_src(&jpeg, data, size);
    jpeg_read_header(&jpeg, TRUE);
    const bool inks = jpeg.jpeg_color_space == JCS_CMYK || jpeg.jpeg_color_space == JCS_YCCK;
    jpeg.out_color_space = inks ? JCS_CMYK : jpeg.jpeg_color_space == JCS_GRAYSCALE ? JCS_GRAYSCALE : JCS_RGB;
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

}  // namespace

Result<Image> decode_jpeg(std::string_view bytes) {
  JpegReader reader;
  const auto failed = [&] {
    return invalid_argument("the JPEG cannot be read: ", std::string_view(reader.failure.message));
  };
  LINNET_REQUIRE(bytes.size() <= std::numeric_limits<uint32_t>::max(), invalid_argument("the JPEG is too large"));
  if (!reader.start(reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<unsigned long>(bytes.size())))
    return failed();
  const J_COLOR_SPACE space = reader.jpeg.out_color_space;
  const int stored = space == JCS_CMYK ? 4 : space == JCS_GRAYSCALE ? 1 : 3;
  LINNET_ASSIGN(Image image, blank_image(reader.jpeg.image_width, reader.jpeg.image_height, stored));
  if (!reader.read(image.pixels.data(), static_cast<size_t>(image.width * stored))) return failed();
  if (space != JCS_CMYK) return image;
  // Inks to light. Adobe's writers, who mark their files, store the inks inverted.
  const bool inverted = reader.jpeg.saw_Adobe_marker;
  LINNET_ASSIGN(Image light, blank_image(image.width, image.height, 3));
  for (size_t i = 0, j = 0; i < image.pixels.size(); i += 4, j += 3) {
    const auto paper = [&](size_t c) { return inverted ? image.pixels[i + c] : 255 - image.pixels[i + c]; };
    for (size_t c = 0; c < 3; ++c) light.pixels[j + c] = static_cast<uint8_t>((paper(c) * paper(3) + 127) / 255);
  }
  return light;
}

}  // namespace linnet::codecs
