// Encoded images to pixels, by the optional component liblinnet_image.so (docs/dependencies.md).
// https://onnx.ai/onnx/operators/onnx__ImageDecoder.html
#include "base/shared_library.h"
#include "ops/element_types.h"
#include "ops/image_component.h"

namespace linnet {
namespace {

class ImageDecoder final : public Op {
 public:
  Status parse(NodeReader& reader) {
    const std::string format = reader.text("pixel_format", "RGB");
    LINNET_REQUIRE(format == "RGB" || format == "BGR" || format == "Grayscale",
                   invalid_model("pixel_format is '", format, "'; it must be RGB, BGR or Grayscale"));
    channels_ = format == "Grayscale" ? 1 : 3;
    bgr_ = format == "BGR";
    static const auto component =
        reinterpret_cast<LinnetDecodeImage>(function_of_component(kImageComponent, kDecodeImage));
    decode_ = component;
    LINNET_REQUIRE(decode_,
                   unsupported("decoding images needs ", kImageComponent, ", which is not in ", component_folder()));
    return {};
  }

  Status infer(InferContext& context) const override {
    LINNET_TRY(expect_type(context, 0, TypeSet{DType::u8}));
    LINNET_REQUIRE(!context.ranked(0) || context.shape(0).size() == 1,
                   invalid_argument("the input is not a list of bytes"));
    context.set(0, DType::u8, {Dim(), Dim(), channels_});
    return {};
  }

  Status run(RunContext& context) const override {
    const Tensor& bytes = context.in(0);
    Destination destination{&context, channels_, {}};
    const LinnetImageRequest request{
        bytes.data, bytes.bytes(), static_cast<int>(channels_), Destination::allocate, &destination, nullptr, 0};
    // What cannot be decoded gives an empty image, as the standard says.
    if (!decode_(&request)) return context.allocate(0, DType::u8, Shape{0, 0, channels_});
    LINNET_TRY(std::move(destination.status));
    if (bgr_) {
      uint8_t* pixels = context.out(0).ptr<uint8_t>();
      for (int64_t i = 0; i < context.out(0).count(); i += 3) std::swap(pixels[i], pixels[i + 2]);
    }
    return {};
  }

 private:
  struct Destination {
    RunContext* context;
    int64_t channels;
    Status status;

    static void* allocate(void* user, int64_t height, int64_t width) {
      Destination& d = *static_cast<Destination*>(user);
      d.status = d.context->allocate(0, DType::u8, Shape{height, width, d.channels});
      return d.status.ok() ? d.context->out(0).data : nullptr;
    }
  };

  int64_t channels_ = 3;
  bool bgr_ = false;
  LinnetDecodeImage decode_ = nullptr;
};

constexpr OpDef kDefs[] = {{"", "ImageDecoder", 20, 1, 1, 1, 1, create<ImageDecoder>, OpDef::kAllocates}};

}  // namespace

extern const std::span<const OpDef> kImageDecoderOps = kDefs;

}  // namespace linnet
