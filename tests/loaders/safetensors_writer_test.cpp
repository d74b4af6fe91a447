#include "loaders/safetensors_writer.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "loaders/safetensors.hpp"
#include "tests/loaders/safetensors_bytes.hpp"
#include "tests/loaders/temporary_folder.hpp"
#include "tests/loaders/thrown.hpp"

namespace ffmem {
namespace {

using Declarations = std::vector<SafetensorsWriter::Declaration>;

void check_refused(const Declarations& tensors, const std::map<std::string, std::string>& metadata, const std::string& part) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "out.safetensors";
  const Error error = thrown([&] { SafetensorsWriter(path, tensors, metadata); });
  CAPTURE(error.what());
  CHECK(error.code() == ErrorCode::argument_invalid);
  CHECK(contains(error.what(), path.string() + ": "));
  CHECK(contains(error.what(), part));
  CHECK(std::filesystem::is_empty(folder.path()));
}

}  // namespace

TEST_CASE("SafetensorsWriter: the bytes are the declared ones, the header padded to 8") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "out.safetensors";
  SafetensorsWriter writer(path, {{"b", DType::u16, {1, 2}}, {"a", DType::u8, {}}}, {{"y", "2"}, {"x", "1"}});
  writer.append("12", 2);
  writer.append("345", 3);
  writer.commit();
  const std::string header = R"({"__metadata__":{"x":"1","y":"2"},"b":{"dtype":"U16","shape":[1,2],"data_offsets":[0,4]},)"
                             R"("a":{"dtype":"U8","shape":[],"data_offsets":[4,5]}})";
  const std::string padded = header + std::string((8 - header.size() % 8) % 8, ' ');
  CHECK(read_text_file(path) == safetensors_bytes(padded, "12345"));
}

TEST_CASE("SafetensorsWriter: no tensors, no metadata") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "out.safetensors";
  write_safetensors(path, {});
  CHECK(read_text_file(path) == safetensors_bytes("{}      "));
  CHECK(SafetensorsFile(path).tensors().empty());
}

TEST_CASE("SafetensorsWriter: any UTF-8 is a name and reads back") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "out.safetensors";
  const std::vector<std::string> names = {
      "", "\"quoted\\\"", std::string("zero\0", 5), "\n\t\x01\x7f", "gewi\u00e7ht \U0001f600", "{}"};
  std::vector<TensorToWrite> tensors;
  tensors.reserve(names.size());
  for (const std::string& name : names) tensors.push_back({name, DType::u8, {1}, "x"});
  write_safetensors(path, tensors, {{names[1], names[4]}});
  const SafetensorsFile file(path);
  CHECK(file.tensors().size() == names.size());
  for (const std::string& name : names) CHECK(file.find(name) != nullptr);
  CHECK(file.metadata().at(names[1]) == names[4]);
}

TEST_CASE("write_safetensors: wider types first, so that each tensor is aligned; otherwise as given") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "out.safetensors";
  const std::uint8_t bytes[3] = {1, 2, 3};
  const float numbers[2] = {0.5F, 2.0F};
  const std::int64_t large = -5;
  write_safetensors(path, {{"z", DType::u8, {3}, bytes},
                           {"y", DType::f32, {2}, numbers},
                           {"empty", DType::f32, {0, 7}, nullptr},
                           {"x", DType::f32, {1}, numbers},
                           {"w", DType::i64, {}, &large}});
  const SafetensorsFile file(path);
  CHECK(file.at("w").values<std::int64_t>()[0] == -5);
  CHECK(file.at("y").values<float>()[1] == 2.0F);
  CHECK(file.at("x").values<float>()[0] == 0.5F);
  CHECK(file.at("z").values<std::uint8_t>()[2] == 3);
  CHECK(file.at("empty").shape == std::vector<std::size_t>{0, 7});
  CHECK(file.at("w").data < file.at("y").data);
  CHECK(file.at("y").data < file.at("x").data);
  CHECK(file.at("x").data < file.at("z").data);
}

TEST_CASE("SafetensorsWriter: what a reader would refuse is argument_invalid and leaves no file") {
  check_refused({{"a", DType::u8, {1}}, {"b", DType::u8, {1}}, {"a", DType::f32, {1}}}, {}, "a: expected a name of its own");
  check_refused({{"__metadata__", DType::u8, {1}}}, {}, "__metadata__: expected a name");
  check_refused({{"a\xff", DType::u8, {1}}}, {}, "in UTF-8");
  check_refused({}, {{"key", "\xc3("}}, "in UTF-8");
  check_refused({}, {{"\xc3(", "value"}}, "in UTF-8");
  const std::size_t half = std::size_t{1} << 32;
  check_refused({{"a", DType::u8, {half, half}}}, {}, "a: expected a file size of 63 bits");
  check_refused({{"a", DType::f32, {half, half / 8, 0}}}, {}, "a: expected a file size of 63 bits");
  check_refused({{"a", DType::u8, {half, half / 4}}, {"b", DType::u8, {half, half / 4}}}, {}, "b: expected a file size");
}

TEST_CASE("SafetensorsWriter: a header over 100,000,000 bytes is argument_invalid") {
  std::string value;
  value.resize(100'000'001, 'x');
  check_refused({}, {{"key", value}}, "expected a header of at most 100000000 bytes");
}

TEST_CASE("SafetensorsWriter: bytes too many or too few are argument_invalid and leave no file") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "out.safetensors";
  {
    SafetensorsWriter writer(path, {{"a", DType::f32, {2}}});
    writer.append("1234567", 7);
    const Error few = thrown([&] { writer.commit(); });
    CHECK(few.code() == ErrorCode::argument_invalid);
    CHECK(contains(few.what(), "expected 8 bytes of data, found 1 fewer"));
    const Error many = thrown([&] { writer.append("89", 2); });
    CHECK(many.code() == ErrorCode::argument_invalid);
    CHECK(contains(many.what(), "expected 8 bytes of data, found 1 more"));
  }
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("write_safetensors: a tensor without data is argument_invalid") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "out.safetensors";
  const Error error = thrown([&] { write_safetensors(path, {{"a", DType::u8, {1}, nullptr}}); });
  CHECK(error.code() == ErrorCode::argument_invalid);
  CHECK(contains(error.what(), "a: expected data, found null"));
}

}  // namespace ffmem
