// The files beside these tests, made by make_fixtures.py.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "files/tensor_file.h"

namespace linnet::cli {

inline std::string fixture(const char* name) {
  const Result<std::string> bytes = read_file(std::filesystem::path(LINNET_FIXTURES) / name);
  EXPECT_TRUE(bytes.ok()) << bytes.status().message();
  return bytes.ok() ? *bytes : std::string();
}

}  // namespace linnet::cli
