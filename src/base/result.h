// Status and Result: how every fallible function of the engine reports failure. No exceptions.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include "base/check.h"

namespace linnet {

// The values are those of linnet_status_code in linnet.h and never change.
enum class Code : int {
  ok = 0,
  invalid_argument = 1,   // the caller's inputs, names, shapes or options
  invalid_model = 2,      // the model contradicts the ONNX standard or itself
  unsupported = 3,        // valid, but this build cannot run it
  not_found = 4,          // a file, name or input that is not there
  io = 5,                 // reading or writing failed
  out_of_memory = 6,      // the allocator or the configured limit refused
  cancelled = 7,          // a stop token asked for it
  deadline_exceeded = 8,  // the run's deadline passed
  internal = 9,           // a defect of Linnet
  closed = 10,            // a handle that is closed or was never one
  callback_failed = 11,   // a function that the caller supplied threw, or did not do what it must
};

std::string_view code_name(Code code) noexcept;

class [[nodiscard]] Status {
 public:
  Status() noexcept = default;  // ok
  Status(Code code, std::string message) : error_(std::make_unique<Error>(Error{code, std::move(message), {}, {}})) {}

  bool ok() const noexcept { return !error_; }
  Code code() const noexcept { return error_ ? error_->code : Code::ok; }
  std::string_view message() const noexcept { return error_ ? std::string_view(error_->message) : std::string_view(); }

  // Where a node failed: its path, and its inputs' types and shapes as text. Empty when no node did.
  std::string_view node() const noexcept { return error_ ? std::string_view(error_->node) : std::string_view(); }
  std::string_view inputs() const noexcept { return error_ ? std::string_view(error_->inputs) : std::string_view(); }

  // The same error with "context: " before its message. Ok stays ok.
  Status within(std::string_view context) && {
    if (error_) error_->message.insert(0, std::string(context) + ": ");
    return std::move(*this);
  }
  // The same error, of a node. Around a node in a subgraph the inner one stays the one that failed.
  Status at_node(std::string_view path, std::string_view inputs = {}) &&;
  Status copy() const { return error_ ? Status(std::make_unique<Error>(*error_)) : Status(); }

 private:
  struct Error {
    Code code;
    std::string message, node, inputs;
  };
  explicit Status(std::unique_ptr<Error> error) noexcept : error_(std::move(error)) {}
  std::unique_ptr<Error> error_;
};

namespace detail {
inline void append(std::string& out, std::string_view s) { out += s; }
inline void append(std::string& out, const char* s) { out += s; }
inline void append(std::string& out, char c) { out += c; }
template <class T>
  requires(std::is_arithmetic_v<T> && !std::is_same_v<T, char>)
void append(std::string& out, T value) {
  out += std::to_string(value);
}
template <class T>
  requires requires(const T& t) { t.to_string(); }
void append(std::string& out, const T& value) {
  out += value.to_string();
}
}  // namespace detail

// The parts joined into one string: text, numbers, and anything with to_string().
template <class... Parts>
std::string concat(const Parts&... parts) {
  std::string out;
  (detail::append(out, parts), ...);
  return out;
}

template <class... Parts>
Status error(Code code, const Parts&... parts) {
  return Status(code, concat(parts...));
}
template <class... Parts>
Status invalid_model(const Parts&... parts) {
  return error(Code::invalid_model, parts...);
}
template <class... Parts>
Status invalid_argument(const Parts&... parts) {
  return error(Code::invalid_argument, parts...);
}
template <class... Parts>
Status unsupported(const Parts&... parts) {
  return error(Code::unsupported, parts...);
}

// A value or the error that stood in its way.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<1>, std::move(value)) {}        // NOLINT(google-explicit-constructor)
  Result(Status status) : state_(std::in_place_index<0>, std::move(status)) {  // NOLINT(google-explicit-constructor)
    LINNET_CHECK(!std::get<0>(state_).ok());
  }
  template <class U>
    requires(std::is_convertible_v<U &&, T> && !std::is_same_v<std::remove_cvref_t<U>, T> &&
             !std::is_same_v<std::remove_cvref_t<U>, Status>)
  Result(U&& value) : state_(std::in_place_index<1>, std::forward<U>(value)) {}  // NOLINT(google-explicit-constructor)

  bool ok() const noexcept { return state_.index() == 1; }
  T& value() & {
    LINNET_CHECK(ok());
    return *std::get_if<1>(&state_);
  }
  const T& value() const& {
    LINNET_CHECK(ok());
    return *std::get_if<1>(&state_);
  }
  T&& value() && {
    LINNET_CHECK(ok());
    return std::move(*std::get_if<1>(&state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  Status status() const& { return ok() ? Status() : std::get<0>(state_).copy(); }
  Status status() && { return ok() ? Status() : std::move(std::get<0>(state_)); }

 private:
  std::variant<Status, T> state_;
};

}  // namespace linnet

#define LINNET_JOIN_(a, b) a##b
#define LINNET_JOIN(a, b) LINNET_JOIN_(a, b)

// Returns from the function when `expression`, a Status, is an error.
#define LINNET_TRY(expression)                                               \
  do {                                                                       \
    if (::linnet::Status status_ = (expression); !status_.ok()) [[unlikely]] \
      return status_;                                                        \
  } while (false)

// LINNET_ASSIGN(auto x, f()): x takes the value of a Result, or the function returns its error.
#define LINNET_ASSIGN(target, expression) LINNET_ASSIGN_(LINNET_JOIN(result_, __LINE__), target, expression)
#define LINNET_ASSIGN_(result, target, expression) \
  auto result = (expression);                      \
  if (!result.ok()) [[unlikely]]                   \
    return std::move(result).status();             \
  target = std::move(result).value()

// Returns the given Status when the condition does not hold.
#define LINNET_REQUIRE(condition, status) \
  do {                                    \
    if (!(condition)) [[unlikely]]        \
      return (status);                    \
  } while (false)
