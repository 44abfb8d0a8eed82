#include "kernels/isa.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>

namespace linnet {
namespace {

constexpr std::string_view kNames[kIsaCount] = {"reference", "sse4", "avx2", "avx512", "avx512_vnni"};

// What LINNET_DISPATCH has entries for.
#if defined(__i386__)  // Highway compiles no AVX2 for 32 bits
constexpr Isa kWidestCompiled = Isa::sse4;
#elif defined(LINNET_WITHOUT_AVX512)
constexpr Isa kWidestCompiled = Isa::avx2;
#else
constexpr Isa kWidestCompiled = Isa::avx512_vnni;
#endif

Isa initial() noexcept {
  if (const char* wanted = std::getenv("LINNET_ISA"))
    if (const std::optional<Isa> isa = parse_isa(wanted)) return std::min(*isa, best_isa());
  return best_isa();
}

std::atomic<Isa>& choice() noexcept {
  static std::atomic<Isa> isa{initial()};
  return isa;
}

}  // namespace

std::string_view isa_name(Isa isa) noexcept { return kNames[static_cast<int>(isa)]; }

std::optional<Isa> parse_isa(std::string_view name) noexcept {
  for (int i = 0; i < kIsaCount; ++i)
    if (kNames[i] == name) return static_cast<Isa>(i);
  return std::nullopt;
}

Isa best_isa() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  static const Isa best = [] {
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("sse4.1") || !__builtin_cpu_supports("ssse3")) return Isa::reference;
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("bmi2"))
      return Isa::sse4;
    const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                        __builtin_cpu_supports("avx512cd");
    if (!avx512) return Isa::avx2;
    return __builtin_cpu_supports("avx512vnni") ? Isa::avx512_vnni : Isa::avx512;
  }();
  return std::min(best, kWidestCompiled);
#else
  return Isa::reference;
#endif
}

Isa current_isa() noexcept { return choice().load(std::memory_order_relaxed); }

void set_isa(Isa isa) noexcept { choice().store(std::min(isa, best_isa()), std::memory_order_relaxed); }

}  // namespace linnet
