#include <webp/decode.h>

#include "codecs/image.h"

namespace linnet::codecs {

Result<Image> decode_webp(std::string_view bytes) {
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  WebPBitstreamFeatures features;
  LINNET_REQUIRE(WebPGetFeatures(data, bytes.size(), &features) == VP8_STATUS_OK,
                 invalid_argument("the WebP's header cannot be read"));
  LINNET_ASSIGN(Image image, blank_image(features.width, features.height, features.has_alpha ? 4 : 3));
  const auto decode = features.has_alpha ? WebPDecodeRGBAInto : WebPDecodeRGBInto;
  LINNET_REQUIRE(decode(data, bytes.size(), image.pixels.data(), image.pixels.size(), features.width * image.channels),
                 invalid_argument("the WebP cannot be read"));
  return image;
}

}  // namespace linnet::codecs
