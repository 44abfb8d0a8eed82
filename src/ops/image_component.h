// The boundary to liblinnet_image.so, the optional component that decodes images.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {

struct LinnetImageRequest {
  const void* bytes;
  size_t size;
  int channels;  // 1 grey, 3 RGB, 4 RGBA
  // Gives memory for height x width x channels bytes, or null when it cannot.
  void* (*allocate)(void* user, int64_t height, int64_t width);
  void* user;
  char* message;  // gets the reason where nothing is decoded, cut to message_size with its end; may be null
  size_t message_size;
};

// 1, or 0 where the bytes are no image that can be decoded; allocate() is not called then.
using LinnetDecodeImage = int (*)(const LinnetImageRequest*);
}

namespace linnet {

inline constexpr char kImageComponent[] = "liblinnet_image.so";
inline constexpr char kDecodeImage[] = "linnet_decode_image";

}  // namespace linnet
