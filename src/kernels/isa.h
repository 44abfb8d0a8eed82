// Which instruction set the kernels of this process use.
//
// Every kernel has a plain reference and one Highway form, compiled for each target below. The best one that the
// machine has is chosen at the first use; LINNET_ISA=reference|sse4|avx2|avx2_vnni|avx512|avx512_vnni in the
// environment lowers the choice. The levels with VNNI (AVX-VNNI, AVX-512 VNNI) have
// other kernels that sum products of small integers, where avx512 takes those of avx2.
#pragma once

#include <optional>
#include <string_view>

namespace linnet {

// From plain C++ to the widest. A build for another architecture has other entries between.
enum class Isa : int { reference = 0, sse4 = 1, avx2 = 2, avx2_vnni = 3, avx512 = 4, avx512_vnni = 5 };
inline constexpr int kIsaCount = 6;
inline constexpr bool has_vnni(Isa isa) noexcept { return isa == Isa::avx2_vnni || isa == Isa::avx512_vnni; }

std::string_view isa_name(Isa isa) noexcept;
std::optional<Isa> parse_isa(std::string_view name) noexcept;
// The best that this machine can run.
Isa best_isa() noexcept;
// The one in use.
Isa current_isa() noexcept;
// For tests and benchmarks: lowers the choice, to avx2 where a machine with AVX-512 has no AVX-VNNI. Not while a run is
// under way.
void set_isa(Isa isa) noexcept;

}  // namespace linnet
