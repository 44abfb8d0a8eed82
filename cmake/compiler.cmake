# Flags that every target shares. The warnings that are off for GCC are those that GCC 12 raises falsely.
add_library(linnet_options INTERFACE)
target_compile_options(linnet_options INTERFACE
  -Wall -Wextra -Werror -Wconversion -Wno-sign-conversion
  $<$<CXX_COMPILER_ID:GNU>:-Wshadow=local -Wno-psabi -Wno-maybe-uninitialized -Wno-restrict -Wno-free-nonheap-object -Wno-array-bounds -Wno-stringop-overflow -Wno-stringop-overread>
  $<$<CXX_COMPILER_ID:Clang>:-Wno-pass-failed>
  -ffp-contract=off -fno-math-errno)
# Highway as headers only: up to three x86 targets, chosen at run time by src/kernels/dispatch.h.
target_compile_definitions(linnet_options INTERFACE
  HWY_IS_DEBUG_BUILD=0
  HWY_BASELINE_TARGETS=HWY_SSE4
  "HWY_DISABLED_TARGETS=(~(HWY_SSE4|HWY_AVX2$<$<BOOL:${LINNET_AVX512}>:|HWY_AVX3>))"
  $<$<NOT:$<BOOL:${LINNET_AVX512}>>:LINNET_WITHOUT_AVX512>)
if(LINNET_SANITIZE)
  target_compile_options(linnet_options INTERFACE -fsanitize=${LINNET_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -g1)
  target_link_options(linnet_options INTERFACE -fsanitize=${LINNET_SANITIZE})
endif()
