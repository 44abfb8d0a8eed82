#include <cstring>
#include <limits>

#include "support.h"

namespace {

TEST(Value, OwnsZeroedMemoryOfEveryType) {
  const int64_t shape[] = {3, 5};
  for (int dtype = LINNET_FLOAT; dtype <= LINNET_INT2; ++dtype) {
    const auto value = make<linnet_value>(
        [&](linnet_value** v) { return linnet_value_create_tensor(static_cast<linnet_dtype>(dtype), shape, 2, v); });
    const linnet_view view = view_of(value.get());
    EXPECT_EQ(view.kind, LINNET_TENSOR);
    EXPECT_EQ(view.dtype, dtype);
    EXPECT_EQ(view.rank, 2u);
    EXPECT_EQ(view.shape[1], 5);
    EXPECT_EQ(view.count, 15);
    if (dtype == LINNET_STRING) {
      EXPECT_EQ(view.data, nullptr);
      EXPECT_STREQ(linnet_value_string(value.get(), 14, nullptr), "");
      EXPECT_EQ(linnet_value_string(value.get(), 15, nullptr), nullptr);
    } else {
      for (size_t i = 0; i < view.bytes; ++i) EXPECT_EQ(static_cast<const unsigned char*>(view.data)[i], 0);
    }
  }
  linnet_value* none = nullptr;
  for (const int dtype : {-1, 0, 27, 1000})
    EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_value_create_tensor(static_cast<linnet_dtype>(dtype), shape, 2, &none));
}

TEST(Value, RefusesImpossibleShapes) {
  linnet_value* value = nullptr;
  const int64_t negative[] = {2, -1};
  const int64_t huge[] = {std::numeric_limits<int64_t>::max(), 2};
  const int64_t large[] = {int64_t{1} << 62};
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_value_create_tensor(LINNET_FLOAT, negative, 2, &value));
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_value_create_tensor(LINNET_FLOAT, huge, 2, &value));
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_value_create_tensor(LINNET_FLOAT, large, 1, &value));
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_value_create_tensor(LINNET_FLOAT, nullptr, 1, &value));
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_value_create_tensor(LINNET_FLOAT, negative, 100000, &value));
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_value_create_tensor(LINNET_FLOAT, nullptr, 0, nullptr));
  EXPECT_EQ(value, nullptr);
}

void count_release(void* user) { ++*static_cast<int*>(user); }

TEST(Value, BorrowsAndReleases) {
  float data[6] = {1, 2, 3, 4, 5, 6};
  const int64_t shape[] = {2, 3};
  int released = 0;
  linnet_value* value = nullptr;
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_value_borrow_tensor(LINNET_FLOAT, shape, 2, data, sizeof data - 1,
                                                                  count_release, &released, &value));
  EXPECT_CODE(LINNET_INVALID_ARGUMENT,
              linnet_value_borrow_tensor(LINNET_FLOAT, shape, 2, reinterpret_cast<char*>(data) + 1, 100, count_release,
                                         &released, &value));
  EXPECT_CODE(LINNET_INVALID_ARGUMENT,
              linnet_value_borrow_tensor(LINNET_STRING, shape, 2, data, sizeof data, count_release, &released, &value));
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_value_borrow_tensor(LINNET_FLOAT, shape, 2, nullptr, sizeof data,
                                                                  count_release, &released, &value));
  EXPECT_EQ(released, 0);  // what fails does not release
  EXPECT_OK(linnet_value_borrow_tensor(LINNET_FLOAT, shape, 2, data, sizeof data, count_release, &released, &value));
  EXPECT_EQ(view_of(value).data, data);
  linnet_value* sequence = nullptr;
  EXPECT_OK(linnet_value_create_sequence(LINNET_FLOAT, &value, 1, &sequence));
  linnet_release(value);
  EXPECT_EQ(released, 0);  // the sequence still has it
  linnet_value* element = nullptr;
  EXPECT_OK(linnet_value_at(sequence, 0, &element));
  EXPECT_EQ(view_of(element).data, data);
  linnet_release(sequence);
  EXPECT_EQ(released, 0);
  linnet_release(element);
  EXPECT_EQ(released, 1);
}

TEST(Value, EmptyTensorsHaveMemory) {
  const int64_t shape[] = {0};
  const auto value = make<linnet_value>([&](linnet_value** v) {
    return linnet_value_borrow_tensor(LINNET_FLOAT, shape, 1, nullptr, 0, nullptr, nullptr, v);
  });
  EXPECT_NE(view_of(value.get()).data, nullptr);
  EXPECT_EQ(view_of(value.get()).bytes, 0u);
}

TEST(Value, StringsKeepTheirBytes) {
  const char* const texts[] = {"a", "b\0c", "", "\xff"};
  const size_t lengths[] = {1, 3, 0, 1};
  const int64_t shape[] = {4};
  const auto value =
      make<linnet_value>([&](linnet_value** v) { return linnet_value_create_strings(texts, lengths, shape, 1, v); });
  for (size_t i = 0; i < 4; ++i) {
    size_t length = 0;
    const char* const text = linnet_value_string(value.get(), i, &length);
    EXPECT_EQ(std::string(text, length), std::string(texts[i], lengths[i]));
    EXPECT_EQ(text[length], 0);
  }
  const char* const missing[] = {"a", nullptr, "", ""};
  linnet_value* none = nullptr;
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_value_create_strings(missing, nullptr, shape, 1, &none));
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_value_create_strings(nullptr, nullptr, shape, 1, &none));
}

TEST(Value, MapsAndSequencesOfThem) {
  const int64_t shape[] = {2};
  const char* const texts[] = {"x", "y"};
  const auto keys =
      make<linnet_value>([&](linnet_value** v) { return linnet_value_create_strings(texts, nullptr, shape, 1, v); });
  const auto values = floats({2}, {1, 2});
  const auto map =
      make<linnet_value>([&](linnet_value** v) { return linnet_value_create_map(keys.get(), values.get(), v); });
  const linnet_view view = view_of(map.get());
  EXPECT_EQ(view.kind, LINNET_MAP);
  EXPECT_EQ(view.dtype, LINNET_FLOAT);
  EXPECT_EQ(view.count, 2);
  const auto back = make<linnet_value>([&](linnet_value** v) { return linnet_value_at(map.get(), 1, v); });
  EXPECT_EQ(elements_of(back.get()), (std::vector<float>{1, 2}));
  linnet_value* none = nullptr;
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_value_at(map.get(), 2, &none));
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_value_create_map(values.get(), values.get(), &none));
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_value_create_map(keys.get(), floats({3}, {1, 2, 3}).get(), &none));

  const linnet_value* const maps[] = {map.get(), map.get()};
  const auto sequence =
      make<linnet_value>([&](linnet_value** v) { return linnet_value_create_sequence(LINNET_FLOAT, maps, 2, v); });
  EXPECT_EQ(view_of(sequence.get()).count, 2);
  const linnet_value* const mixed[] = {map.get(), values.get()};
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_value_create_sequence(LINNET_FLOAT, mixed, 2, &none));
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_value_create_sequence(LINNET_INT64, maps, 2, &none));
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_value_create_sequence(LINNET_FLOAT, nullptr, 2, &none));
}

// The rule of struct_size: shorter structs get what they have room for, longer ones may not ask for what is unknown.
TEST(Structs, OfOlderAndNewerCallers) {
  const auto value = floats({2}, {1, 2});
  struct {
    size_t struct_size;
    linnet_kind kind;
    char behind[sizeof(linnet_view)];
  } older{};
  std::memset(older.behind, 7, sizeof older.behind);
  older.struct_size = offsetof(linnet_view, dtype);
  EXPECT_OK(linnet_value_view(value.get(), reinterpret_cast<linnet_view*>(&older)));
  EXPECT_EQ(older.kind, LINNET_TENSOR);
  for (const char c : older.behind) EXPECT_EQ(c, 7);

  linnet_view unset{};
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_value_view(value.get(), &unset));
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_value_view(value.get(), nullptr));

  struct {
    linnet_run_options known;
    int64_t unknown;
  } newer{};
  newer.known.struct_size = sizeof newer;
  const Loaded loaded(models::relu());
  linnet_value* out = nullptr;
  EXPECT_OK(loaded.run({value.get()}, &out, 1, &newer.known));
  linnet_release(out);
  out = nullptr;
  newer.unknown = 1;
  EXPECT_CODE(LINNET_UNSUPPORTED, loaded.run({value.get()}, &out, 1, &newer.known));
}

TEST(Value, AnotherHandle) {
  auto value = floats({2}, {1, 2});
  const auto shared = make<linnet_value>([&](linnet_value** v) { return linnet_value_share(value.get(), v); });
  EXPECT_NE(shared.get(), value.get());
  value.reset();
  EXPECT_EQ(elements_of(shared.get()), (std::vector<float>{1, 2}));
  linnet_value* none = nullptr;
  EXPECT_CODE(LINNET_CLOSED, linnet_value_share(nullptr, &none));
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_value_share(shared.get(), nullptr));
}

}  // namespace
