// The files beside these tests, made by make_fixtures.py.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "base/mapped_file.h"

namespace linnet::cli {

inline std::string fixture(const char* name) {
  const Result<std::shared_ptr<const MappedFile>> file =
      MappedFile::open(std::filesystem::path(LINNET_FIXTURES) / name);
  EXPECT_TRUE(file.ok()) << file.status().message();
  if (!file.ok()) return {};
  const std::span<const std::byte> bytes = file.value()->bytes();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace linnet::cli
