#include "files/random_tensor.h"

#include "files/store_number.h"

namespace linnet::cli {
namespace {

// SplitMix64: https://prng.di.unimi.it/splitmix64.c
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  double signed_unit() { return static_cast<double>(next() >> 11) * 0x1p-52 - 1.0; }

 private:
  uint64_t state_;
};

}  // namespace

Result<Tensor> random_tensor(DType dtype, const Shape& shape, uint64_t seed) {
  LINNET_ASSIGN(Tensor tensor, make_tensor(dtype, shape));
  Random random(seed);
  if (dtype == DType::string) {
    for (std::string& text : tensor.as<std::string>()) text.assign(1, static_cast<char>('a' + random.next() % 26));
    return tensor;
  }
  if (dtype == DType::c64 || dtype == DType::c128) {
    for (int64_t i = 0; i < 2 * tensor.count(); ++i) {
      const double part = random.signed_unit();
      if (dtype == DType::c64) {
        tensor.ptr<float>()[i] = static_cast<float>(part);
      } else {
        tensor.ptr<double>()[i] = part;
      }
    }
    return tensor;
  }
  const bool real = is_float(dtype) || is_float8(dtype) || dtype == DType::f4e2m1;
  for (int64_t i = 0; i < tensor.count(); ++i) {
    if (real) {
      store_number(tensor, i, random.signed_unit());
    } else {
      store_integer(tensor, i, static_cast<int64_t>(random.next() >> 63));
    }
  }
  return tensor;
}

}  // namespace linnet::cli
