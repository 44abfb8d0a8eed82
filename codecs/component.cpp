// liblinnet_image.so: what the engine and the command line call to decode an image.
#include <cstdio>
#include <cstring>
#include <string>

#include "codecs/image.h"
#include "ops/image_component.h"

using linnet::codecs::decode_image;

extern "C" __attribute__((visibility("default"))) int linnet_decode_image(const LinnetImageRequest* request) {
  try {
    const linnet::Result<linnet::codecs::Image> image =
        decode_image({static_cast<const char*>(request->bytes), request->size}, request->channels);
    if (!image.ok()) {
      if (request->message)
        std::snprintf(request->message, request->message_size, "%s", std::string(image.status().message()).c_str());
      return 0;
    }
    void* to = request->allocate(request->user, image->height, image->width);
    if (to) std::memcpy(to, image->pixels.data(), image->pixels.size());
    return 1;
  } catch (...) {  // out of memory
    return 0;
  }
}
