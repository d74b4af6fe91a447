#include "loaders/safetensors.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "loaders/json_file.hpp"
#include "tests/loaders/safetensors_bytes.hpp"
#include "tests/loaders/temporary_folder.hpp"
#include "tests/loaders/thrown.hpp"

namespace ffmem {
namespace {

constexpr const char* kTwoTensors = R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                                    R"("a":{"dtype":"U8","shape":[],"data_offsets":[8,9]}})";

/// The error of reading these bytes; the test fails if it is not `code` or the message lacks the file or `part`.
void check_refused(const std::string& bytes, ErrorCode code, const std::string& part) {
  CAPTURE(part);
  const TemporaryFolder folder;
  const auto path = folder.write("x.safetensors", bytes);
  const Error error = thrown([&] { SafetensorsFile{path}; });
  CAPTURE(error.what());
  CHECK(error.code() == code);
  CHECK(contains(error.what(), path.string() + ": "));
  CHECK(contains(error.what(), part));
}

/// check_refused for the tensor "t" with these fields.
void check_tensor_refused(const std::string& fields, const std::string& data, ErrorCode code, const std::string& part) {
  check_refused(safetensors_bytes(concat(R"({"t":{)", fields, "}}"), data), code, part);
}

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2) bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return bytes;
}

}  // namespace

TEST_CASE("safetensors: tensors, shapes, bytes and metadata come out as they went in") {
  const TemporaryFolder folder;
  const float numbers[2] = {1.5F, -2.0F};
  std::string data(reinterpret_cast<const char*>(numbers), sizeof numbers);
  data += '\x07';
  const SafetensorsFile file(folder.write("x.safetensors", safetensors_bytes(kTwoTensors, data)));
  CHECK(file.tensors().size() == 2);
  CHECK(file.metadata() == std::map<std::string, std::string>{{"format", "pt"}});
  const StoredTensor& a = file.at("a");
  CHECK(a.dtype == DType::u8);
  CHECK(a.shape.empty());
  CHECK(a.n_elements == 1);
  CHECK(a.n_bytes == 1);
  CHECK(a.data[0] == std::byte{7});
  const StoredTensor& b = file.at("b");
  CHECK(b.name == "b");
  CHECK(b.shape == std::vector<std::size_t>{2});
  CHECK(b.n_bytes == 8);
  CHECK(std::string_view(reinterpret_cast<const char*>(b.data), b.n_bytes) == std::string_view(data).substr(0, sizeof numbers));
  CHECK(file.find("c") == nullptr);
}

TEST_CASE("safetensors: every decision of the reference reader is ours, but for the listed stricter ones") {
  const TemporaryFolder folder;
  const nlohmann::json golden = read_json_file(FFMEM_TEST_DATA "/safetensors/cases.json");
  REQUIRE(golden.at("cases").size() > 150);
  for (const auto& item : golden.at("cases")) {
    const std::string name = item.at("name").get<std::string>();
    const std::string reference = item.at("reference").get<std::string>();
    CAPTURE(name);
    CAPTURE(reference);
    const auto path = folder.write("x.safetensors", from_hex(item.at("file").get<std::string>()));
    std::string ours = "accept";
    try {
      const SafetensorsFile file(path);
    } catch (const Error& error) {
      ours = error.what();
    }
    CAPTURE(ours);
    CHECK((ours == "accept") == (reference == "accept" && !item.contains("stricter")));
  }
}

TEST_CASE("safetensors: a file under 8 bytes is header_too_small") {
  check_refused("", ErrorCode::header_too_small, "found 0");
  check_refused("1234567", ErrorCode::header_too_small, "found 7");
}

TEST_CASE("safetensors: a length over 100,000,000 is header_too_large") {
  check_refused(little_endian_64(100'000'001) + "{}", ErrorCode::header_too_large, "found a length of 100000001");
  check_refused(little_endian_64(~std::uint64_t{0}) + "{}", ErrorCode::header_too_large, "18446744073709551615");
}

TEST_CASE("safetensors: a length behind the end of the file is header_exceeds_file, at once") {
  const auto begin = std::chrono::steady_clock::now();
  check_refused(little_endian_64(100'000'000) + "{}", ErrorCode::header_exceeds_file, "expected 100000000 bytes");
  check_refused(little_endian_64(3) + "{}", ErrorCode::header_exceeds_file, "found 2");
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(5));
}

TEST_CASE("safetensors: a header that is not UTF-8 says where") {
  check_refused(safetensors_bytes("{\"a\xff\"}"), ErrorCode::header_not_utf8, "at 3");
  check_refused(safetensors_bytes("{}  \xc3"), ErrorCode::header_not_utf8, "at 4");
}

TEST_CASE("safetensors: broken JSON is header_not_json") {
  check_refused(safetensors_bytes(""), ErrorCode::header_not_json, "expected JSON");
  check_refused(safetensors_bytes("{} {}"), ErrorCode::header_not_json, "expected JSON, at its byte 4");
  check_refused(safetensors_bytes("\xef\xbb\xbf{}"), ErrorCode::header_not_json, "byte order mark");
  check_refused(safetensors_bytes(std::string_view("{}\0x", 4)), ErrorCode::header_not_json, "zero byte at 2");
}

TEST_CASE("safetensors: nesting over 127 levels is header_not_json, a million levels too") {
  for (const std::size_t depth : {std::size_t{126}, std::size_t{1'000'000}}) {
    check_refused(safetensors_bytes(R"({"t":{"x":)" + std::string(depth, '[')), ErrorCode::header_not_json,
                  "levels of nesting");
  }
  check_refused(safetensors_bytes(std::string(1'000'000, '[')), ErrorCode::header_not_an_object, "found an array");
}

TEST_CASE("safetensors: JSON of another form is header_not_an_object and names the place") {
  check_refused(safetensors_bytes("[]"), ErrorCode::header_not_an_object, "header: expected an object");
  check_refused(safetensors_bytes(R"({"t":5})"), ErrorCode::header_not_an_object, "t: expected an object with dtype");
  check_refused(safetensors_bytes(R"({"__metadata__":{"a":1}})"), ErrorCode::header_not_an_object,
                "__metadata__: expected a string, found 1");
  check_refused(safetensors_bytes(R"({"__metadata__":{},"__metadata__":{}})"), ErrorCode::header_not_an_object, "found two");
  check_tensor_refused(R"("dtype":"U8","shape":[1])", "x", ErrorCode::header_not_an_object,
                       "t: expected dtype, shape and "
                       "data_offsets, found no data_offsets");
  check_tensor_refused(R"("dtype":"U8","dtype":"U8")", "x", ErrorCode::header_not_an_object,
                       "t: expected one dtype, found two");
  check_tensor_refused(R"("dtype":1)", "x", ErrorCode::header_not_an_object, "t: expected the name of a type");
  check_tensor_refused(R"("shape":[1.0])", "x", ErrorCode::header_not_an_object, "whole numbers as shape, found 1.0");
  check_tensor_refused(R"("shape":[-1])", "x", ErrorCode::header_not_an_object, "found a negative number");
  check_tensor_refused(R"("data_offsets":[0])", "x", ErrorCode::header_not_an_object, "t: expected two whole numbers");
  check_tensor_refused(R"("data_offsets":[0,1,2])", "x", ErrorCode::header_not_an_object, "as data_offsets, found 2");
}

TEST_CASE("safetensors: a name that occurs twice is tensor_name_duplicate") {
  const std::string tensor = R"({"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
  check_refused(safetensors_bytes(concat(R"({"a":)", tensor, R"(,"\u0061":)", tensor, "}"), "x"),
                ErrorCode::tensor_name_duplicate, "a: expected one entry");
}

TEST_CASE("safetensors: an unknown dtype is named, and so is one that is only not supported") {
  check_tensor_refused(R"("dtype":"float32","shape":[1],"data_offsets":[0,4])", "xxxx", ErrorCode::tensor_dtype_unknown,
                       "found float32, which is no type of the format");
  check_tensor_refused(R"("dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1])", "x", ErrorCode::tensor_dtype_unknown,
                       "found F8_E4M3, which is not supported");
}

TEST_CASE("safetensors: a size beyond 64 bits is tensor_shape_overflow") {
  check_tensor_refused(R"("dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0])", "",
                       ErrorCode::tensor_shape_overflow, "t: expected a size of 64 bits, found shape [4294967296, 4294967296]");
  check_tensor_refused(R"("dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,4])", "xxxx",
                       ErrorCode::tensor_shape_overflow, "F32");
}

TEST_CASE("safetensors: a shape that does not fill its offsets is tensor_size_mismatch") {
  check_tensor_refused(R"("dtype":"F32","shape":[2],"data_offsets":[0,4])", "xxxx", ErrorCode::tensor_size_mismatch,
                       "t: expected 8 bytes for shape [2] of F32, found data_offsets [0, 4]");
}

TEST_CASE("safetensors: holes, overlaps and reversed offsets are tensor_offsets_invalid") {
  check_tensor_refused(R"("dtype":"U8","shape":[1],"data_offsets":[1,2])", "xx", ErrorCode::tensor_offsets_invalid,
                       "t: expected data_offsets [0, 0 or more], found [1, 2]");
  check_tensor_refused(R"("dtype":"U8","shape":[1],"data_offsets":[1,0])", "x", ErrorCode::tensor_offsets_invalid,
                       "found [1, 0]");
  const std::string reversed = R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                               R"("b":{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[2,1]}})";
  check_refused(safetensors_bytes(reversed, "xx"), ErrorCode::tensor_offsets_invalid, "found [2, 1]");
  const std::string overlap = R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                              R"("b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})";
  check_refused(safetensors_bytes(overlap, "xxx"), ErrorCode::tensor_offsets_invalid, "b: expected data_offsets [2, ");
}

TEST_CASE("safetensors: a file cut short or too long is data_size_mismatch with both sizes") {
  const std::string fields = R"("dtype":"U8","shape":[5],"data_offsets":[0,5])";
  check_tensor_refused(fields, "xxx", ErrorCode::data_size_mismatch, "expected 5 bytes of data behind the header, found 3");
  check_tensor_refused(fields, "xxxxxx", ErrorCode::data_size_mismatch, "found 6");
}

TEST_CASE("safetensors: names in messages are escaped and cut") {
  const std::string name(100'000, 'n');
  const TemporaryFolder folder;
  const auto path = folder.write("x", safetensors_bytes(concat(R"({"\u001b[31m)", name, R"(":1})")));
  const std::string message = thrown([&] { SafetensorsFile{path}; }).what();
  CHECK(message.size() < 500);
  CHECK_FALSE(contains(message, "\x1b"));
  CHECK(contains(message, "\\x1B[31mnnn"));
}

TEST_CASE("safetensors: values gives the stored type and refuses another, or unaligned data") {
  const TemporaryFolder folder;
  std::string header = R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                       R"("b":{"dtype":"F32","shape":[1],"data_offsets":[1,5]},)"
                       R"("c":{"dtype":"I64","shape":[0],"data_offsets":[5,5]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');  // the mapping begins at a page: "a" is aligned, "b" is not
  const SafetensorsFile file(folder.write("x.safetensors", safetensors_bytes(header, "\7xxxx")));
  REQUIRE(file.at("a").values<std::uint8_t>().size() == 1);
  CHECK(file.at("a").values<std::uint8_t>()[0] == 7);
  CHECK(file.at("c").values<std::int64_t>().empty());
  const Error wrong = thrown([&] { file.at("a").values<float>(); });
  CHECK(wrong.code() == ErrorCode::tensor_dtype);
  CHECK(contains(wrong.what(), "x.safetensors: a: expected F32, found U8"));
  const Error unaligned = thrown([&] { file.at("b").values<float>(); });
  CHECK(unaligned.code() == ErrorCode::tensor_dtype);
  CHECK(contains(unaligned.what(), "b: expected data aligned to 4 bytes"));
}

TEST_CASE("safetensors: a missing tensor is named") {
  const TemporaryFolder folder;
  const SafetensorsFile file(folder.write("x.safetensors", safetensors_bytes("{}")));
  const Error error = thrown([&] { file.at("wte.weight"); });
  CHECK(error.code() == ErrorCode::tensor_missing);
  CHECK(contains(error.what(), "x.safetensors: expected a tensor wte.weight"));
}

TEST_CASE("safetensors: tensors stay valid, and keep their file's name, when the file object moves") {
  const TemporaryFolder folder;
  const auto path = folder.write("x.safetensors", safetensors_bytes(kTwoTensors, "01234567x"));
  std::vector<SafetensorsFile> files;
  files.emplace_back(path);
  const StoredTensor* tensor = &files[0].at("a");
  const SafetensorsFile moved = std::move(files[0]);
  files.clear();
  CHECK(moved.find("a") == tensor);
  CHECK(*tensor->file == path);
  CHECK(tensor->data[0] == std::byte{'x'});
}

TEST_CASE("shape_text: scalars, matrices and shapes of very many dimensions") {
  CHECK(shape_text({}) == "[]");
  CHECK(shape_text({768, 3072}) == "[768, 3072]");
  CHECK(shape_text(std::vector<std::size_t>(1'000'000, 1)).size() < 100);
}

TEST_CASE("safetensors: mutated headers are refused or read, nothing else") {
  const TemporaryFolder folder;
  const std::string valid = safetensors_bytes(kTwoTensors, "012345678");
  const std::string alphabet = "{}[]\":,0123456789-.eE\\u tfnalrs_\xff\x80";
  std::mt19937 random(20240229);
  const auto below = [&random](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  std::size_t n_read = 0;
  std::size_t n_refused = 0;
  unsigned touched = 0;  // every byte that a tensor claims must be there
  for (int i = 0; i < 5000; ++i) {
    std::string bytes = valid;
    for (std::size_t n = 1 + below(4); n > 0; --n) {
      const std::size_t place = below(10) == 0 ? below(8) : 8 + below(bytes.size() - 8);
      switch (below(4)) {
        case 0:
          bytes.erase(place, 1 + below(8));
          break;
        case 1:
          bytes.insert(place, 1, alphabet[below(alphabet.size())]);
          break;
        case 2:
          bytes.insert(place, bytes.substr(below(bytes.size()), below(40)));
          break;
        default:
          bytes[place] = alphabet[below(alphabet.size())];
      }
      if (bytes.size() < 16) bytes = valid;
    }
    if (below(2) == 0 && bytes.size() > 17) bytes.replace(0, 8, little_endian_64(bytes.size() - 17));  // else most fail there
    try {
      const SafetensorsFile file(folder.write("x.safetensors", bytes));
      for (const auto& [name, tensor] : file.tensors()) {
        CHECK(tensor.n_bytes == tensor.n_elements * element_bytes(tensor.dtype));
        for (std::size_t b = 0; b < tensor.n_bytes; ++b) touched += std::to_integer<unsigned>(tensor.data[b]);
      }
      ++n_read;
    } catch (const Error& error) {
      CHECK(std::string(error.what()).size() < 1000);
      ++n_refused;
    }
  }
  CHECK(n_read > 10);
  CHECK(touched > 0);
  CHECK(n_refused > 1000);
}

}  // namespace ffmem
