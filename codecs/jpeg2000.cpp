#include <openjpeg.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "codecs/image.h"

namespace linnet::codecs {
namespace {

struct Memory {
  std::string_view bytes;
  size_t at = 0;
};

OPJ_SIZE_T read(void* to, OPJ_SIZE_T count, void* handle) {
  Memory& m = *static_cast<Memory*>(handle);
  const size_t n = std::min<size_t>(count, m.bytes.size() - m.at);
  if (n == 0) return static_cast<OPJ_SIZE_T>(-1);
  std::memcpy(to, m.bytes.data() + m.at, n);
  m.at += n;
  return n;
}
OPJ_BOOL seek(OPJ_OFF_T offset, void* handle) {
  Memory& m = *static_cast<Memory*>(handle);
  if (offset < 0 || static_cast<uint64_t>(offset) > m.bytes.size()) return OPJ_FALSE;
  m.at = static_cast<size_t>(offset);
  return OPJ_TRUE;
}
OPJ_OFF_T skip(OPJ_OFF_T count, void* handle) {
  Memory& m = *static_cast<Memory*>(handle);
  return seek(static_cast<OPJ_OFF_T>(m.at) + count, handle) ? count : -1;
}

// Sample (x, y) of a component, which may have fewer than the image, as 8 bits.
int sample(const opj_image_t& image, const opj_image_comp_t& c, int64_t x, int64_t y) {
  const int64_t at_x = std::min<int64_t>((image.x0 + x) / c.dx - (image.x0 + c.dx - 1) / c.dx, c.w - 1);
  const int64_t at_y = std::min<int64_t>((image.y0 + y) / c.dy - (image.y0 + c.dy - 1) / c.dy, c.h - 1);
  const int64_t value = c.data[std::max<int64_t>(at_y, 0) * c.w + std::max<int64_t>(at_x, 0)];
  const int64_t raised = value + (c.sgnd ? int64_t{1} << (c.prec - 1) : 0);
  const int64_t scaled = c.prec > 8 ? raised >> (c.prec - 8) : raised * 255 / ((int64_t{1} << c.prec) - 1);
  return static_cast<int>(std::clamp<int64_t>(scaled, 0, 255));
}

// https://www.itu.int/rec/T-REC-T.871
void from_ycc(uint8_t* p) {
  const double y = p[0], cb = p[1] - 128.0, cr = p[2] - 128.0;
  const auto byte = [](double v) { return static_cast<uint8_t>(std::clamp(v + 0.5, 0.0, 255.0)); };
  p[0] = byte(y + 1.402 * cr);
  p[1] = byte(y - 0.344136 * cb - 0.714136 * cr);
  p[2] = byte(y + 1.772 * cb);
}

}  // namespace

Result<Image> decode_jpeg2000(std::string_view bytes) {
  const auto failed = [] { return invalid_argument("the JPEG 2000 image cannot be read"); };
  const bool boxed = bytes.size() > 12 && bytes.substr(4, 4) == "jP  ";
  const std::unique_ptr<opj_codec_t, void (*)(opj_codec_t*)> codec(
      opj_create_decompress(boxed ? OPJ_CODEC_JP2 : OPJ_CODEC_J2K), opj_destroy_codec);
  const std::unique_ptr<opj_stream_t, void (*)(opj_stream_t*)> stream(opj_stream_create(size_t{1} << 16, OPJ_TRUE),
                                                                      opj_stream_destroy);
  LINNET_REQUIRE(codec && stream, failed());
  Memory memory{bytes};
  opj_stream_set_user_data(stream.get(), &memory, nullptr);
  opj_stream_set_user_data_length(stream.get(), bytes.size());
  opj_stream_set_read_function(stream.get(), read);
  opj_stream_set_seek_function(stream.get(), seek);
  opj_stream_set_skip_function(stream.get(), skip);
  opj_dparameters_t parameters;
  opj_set_default_decoder_parameters(&parameters);
  LINNET_REQUIRE(opj_setup_decoder(codec.get(), &parameters), failed());
  opj_image_t* header = nullptr;
  const bool started = opj_read_header(stream.get(), codec.get(), &header);
  const std::unique_ptr<opj_image_t, void (*)(opj_image_t*)> stored(header, opj_image_destroy);
  LINNET_REQUIRE(started && stored && stored->x1 > stored->x0 && stored->y1 > stored->y0, failed());
  const int channels = stored->numcomps >= 4 ? 4 : stored->numcomps == 3 ? 3 : 1;
  LINNET_ASSIGN(Image image, blank_image(stored->x1 - stored->x0, stored->y1 - stored->y0, channels));
  LINNET_REQUIRE(opj_decode(codec.get(), stream.get(), stored.get()), failed());
  for (int c = 0; c < channels; ++c) {
    const opj_image_comp_t& comp = stored->comps[c];
    LINNET_REQUIRE(
        comp.data && comp.w > 0 && comp.h > 0 && comp.dx > 0 && comp.dy > 0 && comp.prec > 0 && comp.prec <= 32,
        failed());
  }
  const bool ycc = channels >= 3 &&
                   (stored->color_space == OPJ_CLRSPC_SYCC || (stored->comps[0].dx == 1 && stored->comps[1].dx > 1));
  for (int64_t y = 0, at = 0; y < image.height; ++y)
    for (int64_t x = 0; x < image.width; ++x, at += channels) {
      uint8_t* pixel = &image.pixels[static_cast<size_t>(at)];
      for (int c = 0; c < channels; ++c) pixel[c] = static_cast<uint8_t>(sample(*stored, stored->comps[c], x, y));
      if (ycc) from_ycc(pixel);
    }
  return image;
}

}  // namespace linnet::codecs
