#include <tiffio.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "codecs/image.h"

namespace linnet::codecs {
namespace {

// A file in memory, as libtiff reads it.
struct Memory {
  std::string_view bytes;
  uint64_t at = 0;

  static Memory& of(thandle_t handle) { return *static_cast<Memory*>(handle); }
  static tmsize_t read(thandle_t handle, void* to, tmsize_t count) {
    Memory& m = of(handle);
    if (m.at >= m.bytes.size()) return 0;
    const size_t n = std::min(static_cast<size_t>(count), m.bytes.size() - static_cast<size_t>(m.at));
    std::memcpy(to, m.bytes.data() + m.at, n);
    m.at += n;
    return static_cast<tmsize_t>(n);
  }
  static tmsize_t write(thandle_t, void*, tmsize_t) { return 0; }
  static toff_t seek(thandle_t handle, toff_t offset, int from) {
    Memory& m = of(handle);
    m.at = from == SEEK_CUR ? m.at + offset : from == SEEK_END ? m.bytes.size() + offset : offset;
    return m.at;
  }
  static int close(thandle_t) { return 0; }
  static toff_t size(thandle_t handle) { return of(handle).bytes.size(); }
  static int map(thandle_t, void**, toff_t*) { return 0; }
  static void unmap(thandle_t, void*, toff_t) {}
};

}  // namespace

Result<Image> decode_tiff(std::string_view bytes) {
  // libtiff prints unless told not to, and knows one handler for the process.
  static const bool silent = [] {
    TIFFSetErrorHandler(nullptr);
    TIFFSetWarningHandler(nullptr);
    return true;
  }();
  static_cast<void>(silent);
  Memory memory{bytes};
  const std::unique_ptr<TIFF, void (*)(TIFF*)> tiff(
      TIFFClientOpen("image", "rm", &memory, Memory::read, Memory::write, Memory::seek, Memory::close, Memory::size,
                     Memory::map, Memory::unmap),
      TIFFClose);
  LINNET_REQUIRE(tiff, invalid_argument("the TIFF's header cannot be read"));
  uint32_t width = 0, height = 0;
  TIFFGetField(tiff.get(), TIFFTAG_IMAGEWIDTH, &width);
  TIFFGetField(tiff.get(), TIFFTAG_IMAGELENGTH, &height);
  LINNET_ASSIGN(Image image, blank_image(width, height, 4));
  std::vector<uint32_t> raster(static_cast<size_t>(image.width * image.height));
  LINNET_REQUIRE(TIFFReadRGBAImageOriented(tiff.get(), width, height, raster.data(), ORIENTATION_TOPLEFT, 1),
                 invalid_argument("the TIFF cannot be read"));
  for (size_t i = 0; i < raster.size(); ++i) {
    image.pixels[4 * i] = static_cast<uint8_t>(TIFFGetR(raster[i]));
    image.pixels[4 * i + 1] = static_cast<uint8_t>(TIFFGetG(raster[i]));
    image.pixels[4 * i + 2] = static_cast<uint8_t>(TIFFGetB(raster[i]));
    image.pixels[4 * i + 3] = static_cast<uint8_t>(TIFFGetA(raster[i]));
  }
  return image;
}

}  // namespace linnet::codecs
