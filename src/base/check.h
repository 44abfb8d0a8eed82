// CHECK is for what only a bug can cause; what a model, a file or a caller can cause is a Result.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace linnet {

[[noreturn]] inline void check_failed(const char* file, int line, const char* condition) noexcept {
  std::fprintf(stderr, "%s:%d: check failed: %s\n", file, line, condition);
  std::abort();
}

}  // namespace linnet

#define LINNET_CHECK(condition)                               \
  do {                                                        \
    if (!(condition)) [[unlikely]]                            \
      ::linnet::check_failed(__FILE__, __LINE__, #condition); \
  } while (false)

#ifdef NDEBUG
#define LINNET_DCHECK(condition) static_cast<void>(0)
#else
#define LINNET_DCHECK(condition) LINNET_CHECK(condition)
#endif
