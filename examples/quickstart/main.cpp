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
  for (const auto& [name, tensor] : model.run(inputs)) {
    std::printf("%s:", name.c_str());
    for (const int64_t size : tensor.shape()) std::printf(" %lld", static_cast<long long>(size));
    if (tensor.dtype() == LINNET_FLOAT && !tensor.data<float>().empty())
      std::printf("  first %g", static_cast<double>(tensor.data<float>()[0]));
    std::printf("\n");
  }
} catch (const linnet::Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
