// Runs any model on zeros and prints what comes out: the shortest program over linnet.hpp.
#include <algorithm>
#include <cstdio>

#include "linnet/linnet.hpp"

int main(int argc, char** argv) try {
  const linnet::Model model(argc > 1 ? argv[1] : "model.onnx");
  linnet::NamedTensors inputs;
  for (const linnet::Port& port : model.inputs()) {
    std::vector<int64_t> shape = port.shape;
    std::replace(shape.begin(), shape.end(), int64_t{-1}, int64_t{1});  // open sizes
    inputs.emplace(port.name, linnet::Tensor::zeros(port.dtype, shape));
  }
  for (const auto& [name, value] : model.run(inputs)) {
    std::printf("%s:", name.c_str());
    for (const int64_t size : value.shape()) std::printf(" %lld", static_cast<long long>(size));
    if (value.kind() != LINNET_TENSOR) {  // at(i) gives the parts of a sequence or map
      std::printf(" no tensor, count %lld", static_cast<long long>(value.count()));
    } else if (value.dtype() == LINNET_FLOAT && value.count() > 0) {
      std::printf("  first %g", static_cast<double>(value.data<float>()[0]));
    }
    std::printf("\n");
  }
} catch (const linnet::Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
