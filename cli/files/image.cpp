#include "files/image.h"

#include "base/shared_library.h"
#include "files/store_number.h"
#include "ops/image_component.h"

namespace linnet::cli {
namespace {

// Where the axes of the tensor are; -1: not there.
struct Layout {
  int channel = -1, height = -1, width = -1;
};

bool is_channel_count(int64_t size) { return size == 1 || size == 3 || size == 4; }

std::optional<Layout> layout_of(const TensorSpec& spec) {
  if (spec.any_rank) return Layout{1, 2, 3};
  const int rank = static_cast<int>(spec.shape.rank());
  if (rank == 2) return Layout{-1, 0, 1};
  if (rank != 3 && rank != 4) return std::nullopt;
  if (rank == 4 && spec.shape[0] > 1) return std::nullopt;
  const int first = rank - 3;
  const Layout channels_first{first, first + 1, first + 2}, channels_last{first + 2, first, first + 1};
  const int64_t before = spec.shape[static_cast<size_t>(first)], after = spec.shape[static_cast<size_t>(first) + 2];
  if (is_channel_count(before)) return channels_first;
  if (is_channel_count(after)) return channels_last;
  if (before < 0) return channels_first;
  if (after < 0) return channels_last;
  return std::nullopt;
}

struct Image {
  int64_t width = 0, height = 0;
  int channels = 0;
  std::vector<uint8_t> pixels;  // rows from the top, channels interleaved

  static void* allocate(void* user, int64_t height, int64_t width) {
    Image& image = *static_cast<Image*>(user);
    image.height = height;
    image.width = width;
    image.pixels.resize(static_cast<size_t>(height * width * image.channels));
    return image.pixels.data();
  }
};

// The libraries behind it are loaded by the first image only: they would take longer to load than small models to run.
Result<Image> decode_image(std::string_view bytes, int channels) {
  static const auto decode = reinterpret_cast<LinnetDecodeImage>(function_of_component(kImageComponent, kDecodeImage));
  LINNET_REQUIRE(decode,
                 unsupported("reading images needs ", kImageComponent, ", which is not in ", component_folder()));
  Image image;
  image.channels = channels;
  char message[256] = "the memory does not suffice";
  const LinnetImageRequest request{bytes.data(), bytes.size(), channels,      Image::allocate,
                                   &image,       message,      sizeof message};
  LINNET_REQUIRE(decode(&request), invalid_argument(message));
  return image;
}

Status check_size(const TensorSpec& spec, int axis, int64_t size, const Image& image) {
  const int64_t wanted = spec.any_rank ? -1 : spec.shape[static_cast<size_t>(axis)];
  LINNET_REQUIRE(wanted < 0 || wanted == size,
                 invalid_argument("the image is ", image.width, "x", image.height, " (width x height), but input '",
                                  spec.name, "' is ", spec.shape, ": resize the image first"));
  return {};
}

}  // namespace

Result<Tensor> image_tensor(std::string_view bytes, const TensorSpec& spec) {
  const DType dtype = spec.dtype == DType::undefined ? DType::f32 : spec.dtype;
  LINNET_REQUIRE(
      dtype == DType::u8 || dtype == DType::f32 || dtype == DType::f16,
      unsupported("input '", spec.name, "' takes ", dtype_name(dtype), ", not an image's uint8, float or float16"));
  const std::optional<Layout> layout = layout_of(spec);
  LINNET_REQUIRE(layout, unsupported("input '", spec.name, "' of shape ", spec.shape, " does not look like one image"));
  int channels = layout->channel < 0 ? 1 : 3;
  if (layout->channel >= 0 && !spec.any_rank && is_channel_count(spec.shape[static_cast<size_t>(layout->channel)])) {
    channels = static_cast<int>(spec.shape[static_cast<size_t>(layout->channel)]);
  }

  LINNET_ASSIGN(const Image image, decode_image(bytes, channels));
  LINNET_TRY(check_size(spec, layout->height, image.height, image));
  LINNET_TRY(check_size(spec, layout->width, image.width, image));
  Shape shape(spec.any_rank ? 4 : spec.shape.rank(), 1);
  shape[static_cast<size_t>(layout->height)] = image.height;
  shape[static_cast<size_t>(layout->width)] = image.width;
  if (layout->channel >= 0) shape[static_cast<size_t>(layout->channel)] = channels;

  LINNET_ASSIGN(Tensor tensor, make_tensor_uninitialized(dtype, shape));
  const Shape strides = strides_of(shape);
  const int64_t channel_stride = layout->channel < 0 ? 0 : strides[static_cast<size_t>(layout->channel)];
  const int64_t pixel_stride = strides[static_cast<size_t>(layout->width)];
  for (int64_t pixel = 0; pixel < image.height * image.width; ++pixel) {
    for (int channel = 0; channel < channels; ++channel) {
      const uint8_t value = image.pixels[static_cast<size_t>(pixel * channels + channel)];
      const int64_t at = pixel * pixel_stride + channel * channel_stride;
      store_number(tensor, at, dtype == DType::u8 ? value : value / 255.0);
    }
  }
  return tensor;
}

}  // namespace linnet::cli
