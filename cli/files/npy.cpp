#include "files/npy.h"

#include <algorithm>
#include <bit>
#include <cctype>

#include "base/aligned_buffer.h"
#include "files/byte_reader.h"
#include "files/utf8.h"

namespace linnet::cli {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
static_assert(std::endian::native == std::endian::little, "arrays are written as they lie in memory");

struct Header {
  std::string descr;
  bool fortran_order = false;
  Shape shape;
};

// The header is a Python literal: a dictionary of a string, a boolean and a tuple of integers.
class HeaderParser {
 public:
  explicit HeaderParser(std::string_view text) : text_(text) {}

  std::optional<Header> parse() {
    Header header;
    if (!take('{')) return std::nullopt;
    while (!take('}')) {
      const std::optional<std::string_view> key = string();
      if (!key || !take(':')) return std::nullopt;
      if (*key == "descr") {
        const std::optional<std::string_view> descr = string();
        if (!descr) return std::nullopt;
        header.descr = *descr;
      } else if (*key == "fortran_order") {
        header.fortran_order = word("True");
        if (!header.fortran_order && !word("False")) return std::nullopt;
      } else if (*key == "shape") {
        if (!tuple(header.shape)) return std::nullopt;
      } else {
        return std::nullopt;
      }
      take(',');
    }
    return header;
  }

 private:
  void skip_space() {
    while (!text_.empty() && std::isspace(static_cast<unsigned char>(text_.front()))) text_.remove_prefix(1);
  }
  bool word(std::string_view expected) {
    skip_space();
    if (!text_.starts_with(expected)) return false;
    text_.remove_prefix(expected.size());
    return true;
  }
  bool take(char expected) { return word({&expected, 1}); }
  std::optional<std::string_view> string() {
    skip_space();
    if (text_.empty() || (text_.front() != '\'' && text_.front() != '"')) return std::nullopt;
    const size_t end = text_.find(text_.front(), 1);
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view content = text_.substr(1, end - 1);
    text_.remove_prefix(end + 1);
    return content;
  }
  bool tuple(Shape& shape) {
    shape.clear();
    if (!take('(')) return false;
    while (!take(')')) {
      skip_space();
      int64_t size = 0;
      const size_t digits = text_.find_first_not_of("0123456789");
      if (digits == 0 || digits == std::string_view::npos || digits > 18) return false;
      for (const char c : text_.substr(0, digits)) size = size * 10 + (c - '0');
      text_.remove_prefix(digits);
      shape.push_back(size);
      take('L');
      take(',');
    }
    return true;
  }

  std::string_view text_;
};

struct NumpyType {
  char kind;
  size_t size;
  DType dtype;
};
constexpr NumpyType kTypes[] = {
    {'f', 4, DType::f32}, {'f', 8, DType::f64}, {'f', 2, DType::f16},   {'i', 1, DType::i8},      {'i', 2, DType::i16},
    {'i', 4, DType::i32}, {'i', 8, DType::i64}, {'u', 1, DType::u8},    {'u', 2, DType::u16},     {'u', 4, DType::u32},
    {'u', 8, DType::u64}, {'c', 8, DType::c64}, {'c', 16, DType::c128}, {'b', 1, DType::boolean},
};

// "<f4": byte order, kind, bytes of an element ('U': of UTF-32 units).
struct ElementFormat {
  bool swapped = false;
  char kind = 0;
  size_t size = 0;  // in bytes
  DType dtype = DType::undefined;
};

std::optional<ElementFormat> parse_descr(std::string_view descr) {
  if (descr.size() < 3 || descr.size() > 12) return std::nullopt;
  ElementFormat format;
  format.swapped = descr[0] == '>';
  format.kind = descr[1];
  for (const char c : descr.substr(2)) {
    if (c < '0' || c > '9' || format.size > 100'000'000) return std::nullopt;
    format.size = format.size * 10 + static_cast<size_t>(c - '0');
  }
  if (format.kind == 'U' || format.kind == 'S') {
    format.dtype = DType::string;
    if (format.kind == 'U') format.size *= 4;
    return format.size ? std::optional(format) : std::nullopt;
  }
  const NumpyType* type = std::find_if(std::begin(kTypes), std::end(kTypes), [&](const NumpyType& t) {
    return t.kind == format.kind && t.size == format.size;
  });
  if (type == std::end(kTypes)) return std::nullopt;
  format.dtype = type->dtype;
  return format;
}

// Calls visit(position in the file) for the elements in C order.
template <class Visit>
void for_each_element(const Header& header, int64_t count, Visit visit) {
  if (!header.fortran_order || header.shape.rank() < 2) {
    for (int64_t i = 0; i < count; ++i) visit(i);
    return;
  }
  const size_t rank = header.shape.rank();
  Shape stride(rank), index(rank);
  int64_t step = 1, position = 0;
  for (size_t axis = 0; axis < rank; ++axis) {
    stride[axis] = step;
    step *= header.shape[axis];
  }
  for (int64_t i = 0; i < count; ++i) {
    visit(position);
    for (size_t axis = rank; axis-- > 0;) {
      position += stride[axis];
      if (++index[axis] < header.shape[axis]) break;
      position -= stride[axis] * header.shape[axis];
      index[axis] = 0;
    }
  }
}

std::string decode_string(std::string_view element, const ElementFormat& format) {
  std::string text;
  if (format.kind == 'S') {
    text = element;
  } else {
    for (size_t i = 0; i < element.size(); i += 4) {
      uint32_t unit = 0;
      for (size_t b = 0; b < 4; ++b) {
        unit |= static_cast<uint32_t>(static_cast<uint8_t>(element[i + b])) << (8 * (format.swapped ? 3 - b : b));
      }
      append_utf8(text, unit);
    }
  }
  text.erase(text.find_last_not_of('\0') + 1);
  return text;
}

void copy_number(std::string_view element, const ElementFormat& format, char* to) {
  const size_t part = format.kind == 'c' ? format.size / 2 : format.size;
  std::copy(element.begin(), element.end(), to);
  if (!format.swapped) return;
  for (size_t i = 0; i < format.size; i += part) std::reverse(to + i, to + i + part);
}

// The tensor in a type that NumPy can name.
Result<Tensor> widened(const Tensor& tensor) {
  DType wide;
  if (is_packed(tensor.dtype) && tensor.dtype != DType::f4e2m1) {
    wide = tensor.dtype == DType::i4 || tensor.dtype == DType::i2 ? DType::i8 : DType::u8;
  } else if (is_float8(tensor.dtype) || tensor.dtype == DType::bf16 || tensor.dtype == DType::f4e2m1) {
    wide = DType::f32;
  } else {
    return tensor;
  }
  LINNET_ASSIGN(Tensor out, make_tensor_uninitialized(wide, tensor.shape));
  for (int64_t i = 0; i < tensor.count(); ++i) {
    const double number = number_at(tensor, i);
    if (wide == DType::f32) {
      out.ptr<float>()[i] = static_cast<float>(number);
    } else {
      out.ptr<uint8_t>()[i] = static_cast<uint8_t>(static_cast<int>(number));
    }
  }
  return out;
}

std::string header_bytes(std::string_view descr, const Shape& shape) {
  std::string sizes;
  for (const int64_t size : shape) sizes += concat(size, ", ");
  if (shape.rank() > 1) sizes.resize(sizes.size() - 2);
  std::string text = concat("{'descr': '", descr, "', 'fortran_order': False, 'shape': (", sizes, "), }");
  const size_t prefix = kMagic.size() + 4;
  text.append(63 - (prefix + text.size()) % 64, ' ');  // with the line end, the data start at a multiple of 64
  text += '\n';
  std::string out(kMagic);
  out += {'\x01', '\x00', static_cast<char>(text.size() & 0xff), static_cast<char>(text.size() >> 8)};
  return out + text;
}

Result<std::string> string_npy_bytes(const Tensor& tensor) {
  std::vector<std::u32string> texts;
  size_t longest = 1;
  for (const std::string& element : tensor.as<std::string>()) {
    std::optional<std::u32string> text = decode_utf8(element);
    LINNET_REQUIRE(text,
                   unsupported("element ", texts.size(), " is not UTF-8 text, which is all a .npy file can hold"));
    longest = std::max(longest, text->size());
    texts.push_back(std::move(*text));
  }
  std::string out = header_bytes(concat("<U", longest), tensor.shape);
  for (std::u32string& text : texts) {
    text.resize(longest);
    out.append(reinterpret_cast<const char*>(text.data()), longest * 4);
  }
  return out;
}

}  // namespace

Result<Tensor> parse_npy(std::string_view bytes, std::shared_ptr<const void> owner) {
  ByteReader reader(bytes);
  if (reader.bytes(kMagic.size()) != kMagic)
    return invalid_argument("not a .npy file: it does not start with \\x93NUMPY");
  const std::optional<uint8_t> major = reader.integer<uint8_t>();
  const std::optional<uint8_t> minor = reader.integer<uint8_t>();
  LINNET_REQUIRE(major && minor && *major >= 1 && *major <= 3,
                 unsupported(".npy versions 1 to 3 are known, not this one"));
  const std::optional<uint32_t> length =
      *major == 1 ? std::optional<uint32_t>(reader.integer<uint16_t>()) : reader.integer<uint32_t>();
  const std::optional<std::string_view> text = length ? reader.bytes(*length) : std::nullopt;
  LINNET_REQUIRE(text, invalid_argument("the .npy header is cut off"));
  const std::optional<Header> header = HeaderParser(*text).parse();
  LINNET_REQUIRE(header,
                 invalid_argument("the .npy header is not a dictionary of a simple type, an order and a shape"));
  const std::optional<ElementFormat> format = parse_descr(header->descr);
  LINNET_REQUIRE(format, unsupported("the .npy element type '", header->descr, "' is not one that a tensor can hold"));

  const std::optional<int64_t> count = header->shape.checked_count();
  const std::optional<uint64_t> size =
      count ? checked_mul<uint64_t>(static_cast<uint64_t>(*count), format->size) : std::nullopt;
  const std::optional<std::string_view> data = size ? reader.bytes(*size) : std::nullopt;
  LINNET_REQUIRE(data, invalid_argument("the .npy file is too short for a shape of ", header->shape, ": it holds ",
                                        reader.rest().size(), " bytes of data"));

  const bool as_it_lies =
      format->dtype != DType::string && !format->swapped && (!header->fortran_order || header->shape.rank() < 2);
  if (owner && as_it_lies && format->dtype != DType::boolean && !data->empty() &&
      reinterpret_cast<uintptr_t>(data->data()) % AlignedBuffer::kAlignment == 0) {
    return Tensor{format->dtype, header->shape, const_cast<char*>(data->data()),
                  std::const_pointer_cast<void>(std::move(owner))};
  }
  LINNET_ASSIGN(Tensor tensor, make_tensor_uninitialized(format->dtype, header->shape));
  char* to = tensor.ptr<char>();
  std::string* string_to = tensor.ptr<std::string>();
  if (as_it_lies) to = std::copy(data->begin(), data->end(), to);
  for_each_element(*header, as_it_lies ? 0 : *count, [&](int64_t position) {
    const std::string_view element = data->substr(static_cast<size_t>(position) * format->size, format->size);
    if (format->dtype == DType::string) {
      *string_to++ = decode_string(element, *format);
    } else {
      copy_number(element, *format, to);
      to += format->size;
    }
  });
  if (format->dtype == DType::boolean) {  // any non-zero byte is true; a C++ bool may hold 0 and 1 only
    for (uint8_t* b = tensor.ptr<uint8_t>(); b != reinterpret_cast<uint8_t*>(to); ++b) *b = *b != 0;
  }
  return tensor;
}

Result<std::string> npy_bytes(const Tensor& tensor) {
  if (tensor.dtype == DType::string) return string_npy_bytes(tensor);
  LINNET_ASSIGN(const Tensor wide, widened(tensor));
  const NumpyType* type =
      std::find_if(std::begin(kTypes), std::end(kTypes), [&](const NumpyType& t) { return t.dtype == wide.dtype; });
  LINNET_REQUIRE(type != std::end(kTypes), unsupported("a .npy file cannot hold ", wide));
  const std::string descr = concat(type->size == 1 ? '|' : '<', type->kind, type->size);
  std::string out = header_bytes(descr, wide.shape);
  LINNET_REQUIRE(out.size() < 65536, unsupported("a shape of rank ", wide.shape.rank(), " does not fit a .npy header"));
  out.append(wide.ptr<char>(), wide.bytes());
  return out;
}

}  // namespace linnet::cli
