#include "loaders/checkpoint.hpp"

#include <doctest/doctest.h>

#include <string>

#include "tests/loaders/safetensors_bytes.hpp"
#include "tests/loaders/temporary_folder.hpp"
#include "tests/loaders/thrown.hpp"

namespace ffmem {
namespace {

constexpr const char* kIndex = "model.safetensors.index.json";

/// A shard of one-byte tensors with the letters of `names` for names and values.
std::string shard(const std::string& names) {
  std::string header = "{";
  for (std::size_t i = 0; i < names.size(); ++i) {
    header += concat(i > 0 ? "," : "", '"', names[i], R"(":{"dtype":"U8","shape":[1],"data_offsets":[)", i, ",", i + 1, "]}");
  }
  return safetensors_bytes(header + "}", names);
}

void write_index(const TemporaryFolder& folder, const std::string& weight_map) {
  folder.write(kIndex, concat(R"({"metadata":{"total_size":3},"weight_map":{)", weight_map, "}}"));
}

void check_index_refused(const TemporaryFolder& folder, const std::string& part) {
  const Error error = thrown([&] { Checkpoint{folder.path()}; });
  CAPTURE(error.what());
  CHECK(error.code() == ErrorCode::shard_index_invalid);
  CHECK(contains(error.what(), (folder.path() / kIndex).string() + ": "));
  CHECK(contains(error.what(), part));
}

}  // namespace

TEST_CASE("Checkpoint: a folder with one file has that file's tensors") {
  const TemporaryFolder folder;
  folder.write("model.safetensors", shard("ab"));
  const Checkpoint checkpoint(folder.path());
  CHECK(checkpoint.tensors().size() == 2);
  CHECK(checkpoint.at("b").data[0] == std::byte{'b'});
  CHECK(checkpoint.files().size() == 1);
  CHECK(checkpoint.file_bytes() == shard("ab").size());
  CHECK(checkpoint.find("c") == nullptr);
  const Error error = thrown([&] { checkpoint.at("c"); });
  CHECK(error.code() == ErrorCode::tensor_missing);
  CHECK(contains(error.what(), "model.safetensors: expected a tensor c"));
}

TEST_CASE("Checkpoint: shards are opened once each and tensors found in all of them") {
  const TemporaryFolder folder;
  folder.write("one.safetensors", shard("ab"));
  folder.write("two.safetensors", shard("c"));
  write_index(folder, R"("a":"one.safetensors","b":"one.safetensors","c":"two.safetensors")");
  const Checkpoint checkpoint(folder.path());
  CHECK(checkpoint.files().size() == 2);
  CHECK(checkpoint.tensors().size() == 3);
  CHECK(checkpoint.at("c").data[0] == std::byte{'c'});
  CHECK(checkpoint.at("c").file->filename() == "two.safetensors");
  CHECK(checkpoint.file_bytes() == shard("ab").size() + shard("c").size());
  CHECK(contains(thrown([&] { checkpoint.at("d"); }).what(), kIndex));
}

TEST_CASE("Checkpoint: a tensor of a listed shard counts although the index does not list it") {
  const TemporaryFolder folder;
  folder.write("one.safetensors", shard("ab"));
  folder.write("unlisted.safetensors", shard("c"));
  write_index(folder, R"("a":"one.safetensors")");
  const Checkpoint checkpoint(folder.path());
  CHECK(checkpoint.find("b") != nullptr);
  CHECK(checkpoint.find("c") == nullptr);
}

TEST_CASE("Checkpoint: model.safetensors goes before an index") {
  const TemporaryFolder folder;
  folder.write("model.safetensors", shard("a"));
  folder.write(kIndex, "not even JSON");
  CHECK(Checkpoint(folder.path()).tensors().size() == 1);
}

TEST_CASE("Checkpoint: a folder with neither, or no folder, is file_not_found") {
  const TemporaryFolder folder;
  for (const auto& path : {folder.path(), folder.path() / "none"}) {
    const Error error = thrown([&] { Checkpoint{path}; });
    CHECK(error.code() == ErrorCode::file_not_found);
    CHECK(contains(error.what(), path.string() + ": expected model.safetensors"));
  }
}

TEST_CASE("Checkpoint: an index that is not JSON is json_invalid") {
  const TemporaryFolder folder;
  folder.write(kIndex, "{");
  CHECK(thrown([&] { Checkpoint{folder.path()}; }).code() == ErrorCode::json_invalid);
}

TEST_CASE("Checkpoint: an index of another form is shard_index_invalid") {
  const TemporaryFolder folder;
  for (const char* text : {"[]", "{}", R"({"weight_map": null})", R"({"weight_map": ["a"]})"}) {
    folder.write(kIndex, text);
    check_index_refused(folder, "expected an object {\"weight_map\": {tensor: file}}");
  }
  write_index(folder, "");
  check_index_refused(folder, "expected a tensor, found none");
  write_index(folder, R"("a":1)");
  check_index_refused(folder, "a: expected a string, found number");
}

TEST_CASE("Checkpoint: shard names that leave the folder are refused") {
  const TemporaryFolder folder;
  folder.write("outside.safetensors", shard("a"));
  for (const char* name :
       {"../outside.safetensors", "/etc/passwd", "..", ".", "", "sub/x.safetensors", "x\\\\y", "x\\u0000y"}) {
    CAPTURE(name);
    write_index(folder, concat(R"("a":")", name, "\""));
    check_index_refused(folder, "a: expected the name of a file in the same folder");
  }
}

TEST_CASE("Checkpoint: a shard that does not exist is shard_index_invalid") {
  const TemporaryFolder folder;
  write_index(folder, R"("a":"one.safetensors")");
  check_index_refused(folder, "expected the file one.safetensors beside it");
}

TEST_CASE("Checkpoint: links to nothing are not taken for absent files") {
  for (const char* name : {"model.safetensors", kIndex, "one.safetensors"}) {
    const TemporaryFolder folder;
    if (name == std::string("one.safetensors")) write_index(folder, R"("a":"one.safetensors")");
    std::filesystem::create_symlink("nowhere", folder.path() / name);
    const Error error = thrown([&] { Checkpoint{folder.path()}; });
    CHECK(error.code() == ErrorCode::file_unreadable);
    CHECK(contains(error.what(), concat(name, ": cannot read: it is a link to nothing")));
  }
}

TEST_CASE("Checkpoint: a tensor must be in the stated shard and in no other") {
  const TemporaryFolder folder;
  folder.write("one.safetensors", shard("a"));
  folder.write("two.safetensors", shard("b"));
  write_index(folder, R"("a":"one.safetensors","b":"one.safetensors","x":"two.safetensors")");
  check_index_refused(folder, "b: expected it in one.safetensors, found it in two.safetensors");
  write_index(folder, R"("a":"one.safetensors","x":"two.safetensors")");
  check_index_refused(folder, "x: expected it in two.safetensors, found it in no shard");
  folder.write("two.safetensors", shard("ab"));
  write_index(folder, R"("a":"one.safetensors","b":"two.safetensors")");
  check_index_refused(folder, "a: expected it in one shard, found it in one.safetensors and two.safetensors");
}

TEST_CASE("Checkpoint: an error inside a shard names the shard") {
  const TemporaryFolder folder;
  folder.write("one.safetensors", "short");
  write_index(folder, R"("a":"one.safetensors")");
  const Error error = thrown([&] { Checkpoint{folder.path()}; });
  CHECK(error.code() == ErrorCode::header_too_small);
  CHECK(contains(error.what(), "one.safetensors: "));
}

}  // namespace ffmem
