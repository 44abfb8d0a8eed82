// Where models come from: a path, the caller's memory, or functions that read for us.
#include "base/aligned_buffer.h"
#include "c_api/handles.h"

namespace linnet::c_api {
namespace {

struct Reader {
  linnet_source functions;
  std::shared_ptr<Lent> lent;

  Result<onnx::SharedBytes> read(std::string_view location) const {
    const std::string name(location);
    const std::string what = name.empty() ? "the model" : concat("external data '", name, "'");
    uint64_t size = 0;
    const auto length = [&] { return functions.length(functions.user, name.c_str(), &size); };
    LINNET_TRY(called("the source's length", length).within(what));
    const auto buffer = std::make_shared<AlignedBuffer>(size <= PTRDIFF_MAX ? static_cast<size_t>(size) : 0);
    LINNET_REQUIRE(buffer->data() || size == 0,
                   error(Code::out_of_memory, "cannot allocate ", size, " bytes for ", what));
    if (size) {
      const auto read = [&] { return functions.read(functions.user, name.c_str(), 0, buffer->data(), buffer->size()); };
      LINNET_TRY(called("the source's read", read).within(what));
    }
    return onnx::SharedBytes{{buffer->data(), buffer->size()}, buffer};
  }
};

}  // namespace

Result<ModelSource> source_of(const linnet_source* source, std::shared_ptr<Lent>& lent) {
  LINNET_TRY(require(source, "source"));
  LINNET_ASSIGN(const linnet_source given, read_struct(source, "source"));
  const int kinds = (given.path != nullptr) + (given.data != nullptr) + (given.length || given.read);
  LINNET_REQUIRE(kinds == 1, invalid_argument("a model comes from one of path, data and functions; the source has ",
                                              kinds ? "several" : "none"));
  LINNET_REQUIRE(!given.length == !given.read, invalid_argument("a source needs both functions, length and read"));
  lent = std::make_shared<Lent>(given.release, given.user);
  ModelSource made;
  if (given.path) {
    LINNET_ASSIGN(made.path, path_of(given.path, "path"));
  } else if (given.data) {
    made.bytes = {static_cast<const std::byte*>(given.data), given.size};
    made.owner = lent;
  } else {
    const auto reader = std::make_shared<Reader>(Reader{given, lent});
    made.open = [reader](std::string_view location) { return reader->read(location); };
  }
  return made;
}

Status read_now(ModelSource& source) {
  if (!source.open) return {};
  LINNET_ASSIGN(const onnx::SharedBytes read, source.open(""));
  source.bytes = read.bytes;
  source.owner = read.owner;
  return {};
}

}  // namespace linnet::c_api
