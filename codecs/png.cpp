#include <png.h>

#include "codecs/image.h"

namespace linnet::codecs {

Result<Image> decode_png(std::string_view bytes) {
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  if (!png_image_begin_read_from_memory(&png, bytes.data(), bytes.size()))
    return invalid_argument("the PNG cannot be read: ", std::string_view(png.message));
  png.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;
  const bool alpha = (png.format & PNG_FORMAT_FLAG_ALPHA) != 0, color = (png.format & PNG_FORMAT_FLAG_COLOR) != 0;
  png.format = alpha ? PNG_FORMAT_RGBA : color ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  Result<Image> image = blank_image(png.width, png.height, alpha ? 4 : color ? 3 : 1);
  if (!image.ok()) {
    png_image_free(&png);
    return image;
  }
  if (!png_image_finish_read(&png, nullptr, image->pixels.data(), 0, nullptr))
    return invalid_argument("the PNG cannot be read: ", std::string_view(png.message));
  return image;
}

}  // namespace linnet::codecs
