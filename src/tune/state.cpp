#include "tune/state.h"

#include <charconv>

#include "base/file.h"
#include "base/mapped_file.h"

namespace linnet {
namespace {

constexpr std::string_view kFirstLine = "linnet tune 1";

// A field of a line: tabs, line ends and backslashes stand behind a backslash.
void append_field(std::string& out, std::string_view text) {
  out += '\t';
  for (const char c : text) {
    const size_t at = std::string_view("\t\n\\").find(c);
    if (at == std::string_view::npos) {
      out += c;
    } else {
      out += '\\';
      out += "tn\\"[at];
    }
  }
}

void append_field(std::string& out, double number) {
  char text[32];
  const auto [end, failed] = std::to_chars(text, text + sizeof text, number);
  append_field(out, std::string_view(text, failed == std::errc() ? static_cast<size_t>(end - text) : 0));
}

void append_field(std::string& out, uint64_t number) { append_field(out, std::string_view(std::to_string(number))); }

template <class T>
void append_field(std::string& out, const std::optional<T>& number) {
  if (number) return append_field(out, *number);
  append_field(out, std::string_view());
}

std::vector<std::string> fields_of(std::string_view line) {
  std::vector<std::string> fields(1);
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '\t') {
      fields.emplace_back();
    } else if (line[i] == '\\' && i + 1 < line.size()) {
      const char c = line[++i];
      fields.back() += c == 't' ? '\t' : c == 'n' ? '\n' : c;
    } else {
      fields.back() += line[i];
    }
  }
  return fields;
}

template <class T>
bool read_number(const std::string& text, T& number) {
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
  return failed == std::errc() && end == text.data() + text.size();
}

template <class T>
bool read_number(const std::string& text, std::optional<T>& number) {
  return text.empty() || read_number(text, number.emplace());
}

}  // namespace

Status TuneState::begin() {
  std::error_code failed;
  if (!std::filesystem::exists(path_, failed)) return save(false);
  std::optional<bool> finished;
  read(finished).ok();  // what cannot be read is replaced, unless it says that somebody waits for it
  records.clear();
  rankings.clear();
  LINNET_REQUIRE(finished.value_or(true),
                 invalid_argument(
                     "'", path_.parent_path().string(),
                     "' has a search that was interrupted: the option resume goes on with it; to begin anew, delete '",
                     path_.string(), "'"));
  return save(false);
}

Status TuneState::resume() {
  std::error_code failed;
  LINNET_REQUIRE(std::filesystem::exists(path_, failed),
                 error(Code::not_found, "there is no search to resume in '", path_.parent_path().string(), "'"));
  std::optional<bool> finished;
  LINNET_TRY(read(finished));
  return save(false);
}

Status TuneState::save(bool finished) const {
  std::string text = concat(kFirstLine, finished ? "\tfinished" : "\tunfinished", '\n', "of");
  append_field(text, identity_);
  text += '\n';
  for (const auto& [key, record] : records) {
    text += "candidate";
    append_field(text, key);
    append_field(text, record.failure);
    append_field(text, record.bytes);
    append_field(text, record.quantized);
    append_field(text, record.sha256);
    append_field(text, record.loss);
    append_field(text, record.quality);
    append_field(text, record.memory);
    append_field(text, record.memory_threads);
    text += '\n';
  }
  for (const auto& [key, names] : rankings) {
    text += "ranking";
    append_field(text, key);
    for (const std::string& name : names) append_field(text, name);
    text += '\n';
  }
  return write_file(path_, std::as_bytes(std::span(text)));
}

Status TuneState::read(std::optional<bool>& finished) {
  LINNET_ASSIGN(const auto file, MappedFile::open(path_, MappedFile::Mode::copy));
  const auto* chars = reinterpret_cast<const char*>(file->bytes().data());
  return parse({chars, file->bytes().size()}, finished);
}

Status TuneState::parse(std::string_view text, std::optional<bool>& finished) {
  const auto damaged = [&](size_t line) {
    return invalid_argument("'", path_.string(), "' is not the state of a search: line ", line,
                            " is not understood; delete it to begin anew");
  };
  size_t number = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::vector<std::string> fields = fields_of(text.substr(at, end - at));
    at = end + 1;
    if (++number == 1) {
      LINNET_REQUIRE(fields.size() == 2 && fields[0] == kFirstLine, damaged(1));
      finished = fields[1] == "finished";
    } else if (number == 2) {
      LINNET_REQUIRE(fields.size() == 2 && fields[0] == "of", damaged(2));
      LINNET_REQUIRE(fields[1] == identity_,
                     invalid_argument("'", path_.string(),
                                      "' is of another search: the model, the samples, the measure or the version of "
                                      "Linnet differ; choose another folder, or begin anew without resuming"));
    } else if (fields[0] == "candidate") {
      TuneRecord record;
      LINNET_REQUIRE(fields.size() == 10 && read_number(fields[3], record.bytes) &&
                         read_number(fields[4], record.quantized) && read_number(fields[6], record.loss) &&
                         read_number(fields[8], record.memory) && read_number(fields[9], record.memory_threads),
                     damaged(number));
      record.failure = fields[2];
      record.sha256 = fields[5];
      record.quality = fields[7];
      records[fields[1]] = std::move(record);
    } else {
      LINNET_REQUIRE(fields[0] == "ranking" && fields.size() >= 2, damaged(number));
      rankings[fields[1]].assign(fields.begin() + 2, fields.end());
    }
  }
  LINNET_REQUIRE(number >= 2, damaged(number + 1));
  return {};
}

}  // namespace linnet
