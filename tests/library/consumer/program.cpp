#include <cstdio>
#include <linnet/linnet.hpp>

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  const linnet::Model model(argv[1]);
  for (const float y : model.run({{"x", linnet::Tensor::of<float>({1, 2}, {1, 2})}}).at("y").data<float>())
    std::printf("%g\n", y);
}
