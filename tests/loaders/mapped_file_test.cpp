#include "loaders/mapped_file.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <string>
#include <utility>

#include "tests/loaders/ordinary_rights.hpp"
#include "tests/loaders/temporary_folder.hpp"
#include "tests/loaders/thrown.hpp"

namespace ffmem {
namespace {

std::string text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

/// Both readers of whole files must refuse `path` alike.
void check_refused(const std::filesystem::path& path, ErrorCode code, const std::string& part) {
  for (const Error& error : {thrown([&] { MappedFile{path}; }), thrown([&] { read_text_file(path); })}) {
    CAPTURE(error.what());
    CHECK(error.code() == code);
    CHECK(contains(error.what(), path.string() + ": "));
    CHECK(contains(error.what(), part));
  }
}

}  // namespace

TEST_CASE("MappedFile: shows the file's bytes, zero bytes too") {
  const TemporaryFolder folder;
  const std::string text("a\0b\n\xff", 5);
  const auto path = folder.write("x", text);
  const MappedFile file(path);
  CHECK(text_of(file) == text);
  CHECK(file.path() == path);
  CHECK(read_text_file(path) == text);
}

TEST_CASE("read_parsed_file: a file of a terabyte is refused before it is read") {
  const TemporaryFolder folder;
  const auto path = folder.write("x", "hello");
  CHECK(read_parsed_file(path, ErrorCode::json_invalid) == "hello");
  std::filesystem::resize_file(path, std::uintmax_t{1} << 40);  // a hole, which takes no room
  const Error error = thrown([&] { read_parsed_file(path, ErrorCode::tokenizer_invalid); });
  CHECK(error.code() == ErrorCode::tokenizer_invalid);
  CHECK(contains(error.what(), path.string() + ": expected at most 268435456 bytes, found 1099511627776"));
}

TEST_CASE("MappedFile: an empty file has no bytes") {
  const TemporaryFolder folder;
  const auto path = folder.write("x", "");
  CHECK(MappedFile(path).bytes().empty());
  CHECK(read_text_file(path).empty());
}

TEST_CASE("MappedFile: moving keeps the bytes where they are") {
  const TemporaryFolder folder;
  MappedFile first(folder.write("x", "hello"));
  const auto* data = first.bytes().data();
  MappedFile second(std::move(first));
  CHECK(second.bytes().data() == data);
  MappedFile third(folder.write("y", "other"));
  third = std::move(second);
  CHECK(third.bytes().data() == data);
  CHECK(text_of(third) == "hello");
}

TEST_CASE("MappedFile: the mapping survives the removal of the file") {
  const TemporaryFolder folder;
  const auto path = folder.write("x", "hello");
  const MappedFile file(path);
  std::filesystem::remove(path);
  CHECK(text_of(file) == "hello");
}

TEST_CASE("MappedFile: missing files are file_not_found") {
  const TemporaryFolder folder;
  check_refused(folder.path() / "none", ErrorCode::file_not_found, "no such file");
  check_refused(folder.write("x", "") / "below-a-file", ErrorCode::file_not_found, "no such file");
}

TEST_CASE("MappedFile: folders, devices and pipes are file_unreadable, without waiting for a writer") {
  const TemporaryFolder folder;
  check_refused(folder.path(), ErrorCode::file_unreadable, "it is a directory");
  check_refused("/dev/null", ErrorCode::file_unreadable, "not a regular file");
  const auto pipe = folder.path() / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  check_refused(pipe, ErrorCode::file_unreadable, "not a regular file");
}

TEST_CASE("MappedFile: a link to nothing is there and file_unreadable") {
  const TemporaryFolder folder;
  const auto link = folder.path() / "link";
  std::filesystem::create_symlink("nowhere", link);
  CHECK(may_exist(link));
  CHECK(!may_exist(folder.path() / "nowhere"));
  check_refused(link, ErrorCode::file_unreadable, "it is a link to nothing");
}

TEST_CASE("MappedFile: a file without read permission is file_unreadable") {
  const TemporaryFolder folder;
  const auto path = folder.write("x", "hello");
  REQUIRE(::chmod(path.c_str(), 0) == 0);
  const OrdinaryRights rights;
  check_refused(path, ErrorCode::file_unreadable, "Permission denied");
}

}  // namespace ffmem
