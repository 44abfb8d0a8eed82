// liblinnet_image.so: what the engine calls to decode an image.
#include <cstring>

#include "codecs/image.h"
#include "ops/image_component.h"

using linnet::codecs::decode_image;

extern "C" __attribute__((visibility("default"))) int linnet_decode_image(const LinnetImageRequest* request) {
  try {
    const linnet::Result<linnet::codecs::Image> image =
        decode_image({static_cast<const char*>(request->bytes), request->size}, request->channels);
    if (!image.ok()) return 0;
    void* to = request->allocate(request->user, image->height, image->width);
    if (to) std::memcpy(to, image->pixels.data(), image->pixels.size());
    return 1;
  } catch (...) {  // out of memory
    return 0;
  }
}
