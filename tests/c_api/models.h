// Models for the tests of the C interface, as bytes of ONNX files. Knows nothing of the engine, so that linnet.hpp fits
// beside it.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace models {

using Bytes = std::vector<std::byte>;

Bytes sum();                  // float a[n,2], b[n,2] -> inner = a + b, y = inner * 2 (an initializer "two")
Bytes endless();              // float x[1] -> y: a Loop that never ends
Bytes identity_of_strings();  // string x[n] -> y[n]
Bytes sequence();             // float a[n], b[n] -> a sequence of both
Bytes concatenation();        // a sequence of float tensors -> their concatenation
Bytes from_map();             // a map of int64 to float -> float[1,2], the entries 1 and 2
Bytes optional();             // an optional float tensor -> bool, whether it holds one
Bytes external();             // float x[2] -> y = x + w, whose payload is external data "weights.bin" (8 bytes)
Bytes reshaped();             // float x[n], int64 shape[2] -> y[?, ?]
// float x[n] -> y, through one node of operator `name` of domain "mine" with attributes factor = 3 and text = "hi".
Bytes custom(const std::string& name);
Bytes relu();            // float x[n] -> y[n]
Bytes product();         // float x[n,64] -> y[n,64], by a constant matrix
Bytes custom_strings();  // string x[n] -> y, through mine.Upper

}  // namespace models
