#include "kernels/isa.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

namespace linnet {
namespace {

constexpr std::string_view kNames[kIsaCount] = {"reference", "sse4", "avx2", "avx2_vnni", "avx512", "avx512_vnni"};

// What LINNET_DISPATCH has entries for.
#if defined(__i386__)  // Highway compiles no AVX2 for 32 bits
constexpr Isa kWidestCompiled = Isa::sse4;
#elif defined(LINNET_WITHOUT_AVX512)
constexpr Isa kWidestCompiled = Isa::avx2_vnni;
#else
constexpr Isa kWidestCompiled = Isa::avx512_vnni;
#endif

bool has_avx_vnni() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & 1u << 4) != 0;
#else
  return false;
#endif
}

// The widest that this machine has, up to `wanted`.
Isa lowered(Isa wanted) noexcept {
  const Isa isa = std::min(wanted, best_isa());
  return isa == Isa::avx2_vnni && !has_avx_vnni() ? Isa::avx2 : isa;
}

Isa initial() noexcept {
  if (const char* wanted = std::getenv("LINNET_ISA"))
    if (const std::optional<Isa> isa = parse_isa(wanted)) return lowered(*isa);
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
    if (avx512 && kWidestCompiled >= Isa::avx512)
      return __builtin_cpu_supports("avx512vnni") ? Isa::avx512_vnni : Isa::avx512;
    return has_avx_vnni() ? Isa::avx2_vnni : Isa::avx2;
  }();
  return std::min(best, kWidestCompiled);
#else
  return Isa::reference;
#endif
}

Isa current_isa() noexcept { return choice().load(std::memory_order_relaxed); }

void set_isa(Isa isa) noexcept { choice().store(lowered(isa), std::memory_order_relaxed); }

}  // namespace linnet
