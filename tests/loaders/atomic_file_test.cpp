#include "loaders/atomic_file.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <vector>

#include "loaders/mapped_file.hpp"
#include "tests/loaders/ordinary_rights.hpp"
#include "tests/loaders/temporary_folder.hpp"
#include "tests/loaders/thrown.hpp"

namespace ffmem {
namespace {

std::size_t n_files(const TemporaryFolder& folder) {
  std::size_t n = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder.path())) ++n;
  return n;
}

void check_refused(const std::filesystem::path& target, const std::string& part) {
  const Error error = thrown([&] { AtomicFile{target}; });
  CAPTURE(error.what());
  CHECK(error.code() == ErrorCode::file_unwritable);
  CHECK(contains(error.what(), target.string() + ": cannot write: "));
  CHECK(contains(error.what(), part));
}

/// Files of this process cannot grow beyond `n_bytes` while it lives: a full disk, nearly.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t n_bytes) : old_handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &old_limit_);
    const rlimit limit{n_bytes, old_limit_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_limit_);
    std::signal(SIGXFSZ, old_handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  void (*old_handler_)(int);
  rlimit old_limit_{};
};

/// Makes `folder` the current one while it lives.
class WorkingFolder {
 public:
  explicit WorkingFolder(const std::filesystem::path& folder) : old_(std::filesystem::current_path()) {
    std::filesystem::current_path(folder);
  }
  ~WorkingFolder() { std::filesystem::current_path(old_); }
  WorkingFolder(const WorkingFolder&) = delete;
  WorkingFolder& operator=(const WorkingFolder&) = delete;

 private:
  std::filesystem::path old_;
};

}  // namespace

TEST_CASE("AtomicFile: the target appears at commit, whole, and nothing else stays") {
  const TemporaryFolder folder;
  const auto target = folder.path() / "out";
  AtomicFile file(target);
  file.write("hello ");
  file.write("world");
  CHECK_FALSE(std::filesystem::exists(target));
  file.commit();
  CHECK(read_text_file(target) == "hello world");
  CHECK(n_files(folder) == 1);
}

TEST_CASE("AtomicFile: without commit an old target stays as it was and the temporary file goes") {
  const TemporaryFolder folder;
  const auto target = folder.write("out", "old");
  {
    AtomicFile file(target);
    file.write("new");
    CHECK(n_files(folder) == 2);
  }
  CHECK(read_text_file(target) == "old");
  CHECK(n_files(folder) == 1);
}

TEST_CASE("AtomicFile: commit replaces an old target") {
  const TemporaryFolder folder;
  const auto target = folder.write("out", "a longer old text");
  AtomicFile file(target);
  file.commit();
  CHECK(read_text_file(target).empty());
}

TEST_CASE("AtomicFile: pieces around the buffer's size keep their order") {
  const TemporaryFolder folder;
  const auto target = folder.path() / "out";
  constexpr std::size_t kBuffer = std::size_t{1} << 18;
  std::string expected;
  AtomicFile file(target);
  char letter = 'a';
  for (const std::size_t n : {std::size_t{1}, kBuffer - 1, kBuffer, kBuffer + 1, std::size_t{0}, std::size_t{3}, kBuffer - 3,
                              3 * kBuffer, std::size_t{7}}) {
    const std::string piece(n, letter++);
    file.write(piece);
    expected += piece;
  }
  file.commit();
  CHECK(read_text_file(target) == expected);
}

TEST_CASE("AtomicFile: a path without a folder part is in the current folder") {
  const TemporaryFolder folder;
  const WorkingFolder here(folder.path());
  AtomicFile file("out");
  file.write("x");
  file.commit();
  CHECK(read_text_file(folder.path() / "out") == "x");
}

TEST_CASE("AtomicFile: two writers of one target do not mix; the last commit stays") {
  const TemporaryFolder folder;
  const auto target = folder.path() / "out";
  AtomicFile first(target);
  AtomicFile second(target);
  first.write("first");
  second.write("second");
  second.commit();
  first.commit();
  CHECK(read_text_file(target) == "first");
  CHECK(n_files(folder) == 1);
}

TEST_CASE("AtomicFile: a link stays a link and the file it leads to is replaced") {
  const TemporaryFolder folder;
  const auto real = folder.write("real", "old");
  const auto link = folder.path() / "link";
  std::filesystem::create_symlink("real", link);
  AtomicFile file(link);
  file.write("new");
  file.commit();
  CHECK(std::filesystem::is_symlink(link));
  CHECK(read_text_file(real) == "new");
}

TEST_CASE("AtomicFile: targets that cannot be renamed over are file_unwritable") {
  const TemporaryFolder folder;
  check_refused(folder.path(), "it is a directory");
  check_refused(folder.path() / "", "names no file");
  check_refused("", "names no file");
  check_refused(folder.path() / "none" / "out", "No such file or directory");
  check_refused(folder.write("file", "") / "out", "Not a directory");
  check_refused("/dev/null", "not a regular file");
  std::filesystem::create_symlink("nowhere", folder.path() / "link");
  check_refused(folder.path() / "link", "a link to nothing");
  const auto pipe = folder.path() / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  check_refused(pipe, "not a regular file");
}

TEST_CASE(
    "AtomicFile: a descriptor's name is file_unwritable, and the file that is open there stays; an open folder's is not") {
  const TemporaryFolder folder;
  const auto target = folder.write("out", "a log of what went before");
  const int file = ::open(target.c_str(), O_WRONLY | O_CLOEXEC);
  const int below = ::open(folder.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  REQUIRE(file >= 0);
  REQUIRE(below >= 0);
  const auto link = folder.path() / "link";
  std::filesystem::create_symlink(concat("/proc/self/fd/", file), link);
  std::filesystem::create_symlink("link", folder.path() / "link to it");
  const std::vector<std::filesystem::path> names{concat("/dev/fd/", file), concat("/proc/self/fd/", file),
                                                 concat("/proc/", ::getpid(), "/fd/", file), link,
                                                 folder.path() / "link to it"};
  for (const auto& name : names) check_refused(name, "a file that a process has open");
  CHECK(read_text_file(target) == "a log of what went before");
  write_file(concat("/proc/self/fd/", below, "/new"), "x");
  CHECK(read_text_file(folder.path() / "new") == "x");
  ::close(file);
  ::close(below);
}

TEST_CASE("AtomicFile: a folder without write permission is file_unwritable") {
  const TemporaryFolder folder;
  REQUIRE(::chmod(folder.path().c_str(), 0500) == 0);
  const OrdinaryRights rights;
  check_refused(folder.path() / "out", "Permission denied");
}

TEST_CASE("AtomicFile: a full disk is file_unwritable with the system's words, and leaves no file") {
  const TemporaryFolder folder;
  const auto target = folder.path() / "out";
  for (const std::size_t n_bytes : {std::size_t{5000}, std::size_t{1} << 20}) {  // found at commit, found at write
    CAPTURE(n_bytes);
    const FileSizeLimit limit(4096);
    const Error error = thrown([&] {
      AtomicFile file(target);
      file.write(std::string(n_bytes, 'x'));
      file.commit();
    });
    CHECK(error.code() == ErrorCode::file_unwritable);
    CHECK(contains(error.what(), target.string() + ": cannot write: File too large"));
  }
  CHECK(n_files(folder) == 0);
}

TEST_CASE("AtomicFile: after a write that failed in its middle nothing can be written or committed") {
  const TemporaryFolder folder;
  const auto target = folder.path() / "out";
  {
    AtomicFile file(target);
    const std::string large(std::size_t{1} << 20, 'x');
    {
      const FileSizeLimit limit(4096);
      CHECK(thrown([&] { file.write(large); }).code() == ErrorCode::file_unwritable);
    }
    CHECK(contains(thrown([&] { file.write(large); }).what(), "File too large"));
    CHECK(thrown([&] { file.commit(); }).code() == ErrorCode::file_unwritable);
  }
  CHECK(n_files(folder) == 0);
}

TEST_CASE("AtomicFile: a file that is replaced hands its permissions on") {
  const TemporaryFolder folder;
  const auto target = folder.path() / "out";
  write_file(target, "old");
  for (const mode_t mode : {mode_t{0600}, mode_t{0664}}) {
    REQUIRE(::chmod(target.c_str(), mode) == 0);
    write_file(target, "new");
    struct stat status {};
    REQUIRE(::stat(target.c_str(), &status) == 0);
    CHECK((status.st_mode & 07777U) == mode);
  }
}

TEST_CASE("AtomicFile: a target that becomes a folder before commit is file_unwritable") {
  const TemporaryFolder folder;
  const auto target = folder.path() / "out";
  AtomicFile file(target);
  std::filesystem::create_directory(target);
  CHECK(thrown([&] { file.commit(); }).code() == ErrorCode::file_unwritable);
}

TEST_CASE("AtomicFile: nothing can be written behind commit") {
  const TemporaryFolder folder;
  AtomicFile file(folder.path() / "out");
  file.commit();
  CHECK(thrown([&] { file.write("x"); }).code() == ErrorCode::argument_invalid);
  CHECK(thrown([&] { file.commit(); }).code() == ErrorCode::argument_invalid);
}

TEST_CASE("remove_file: a file goes, none is none, and what cannot be removed is file_unwritable") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "out";
  write_file(path, "x");
  remove_file(path);
  CHECK(n_files(folder) == 0);
  remove_file(path);
  make_folder(path / "inner");
  const Error error = thrown([&] { remove_file(path); });
  CHECK(error.code() == ErrorCode::file_unwritable);
  CHECK_MESSAGE(contains(error.what(), "out: cannot remove: "), error.what());
}

TEST_CASE("make_folder: a folder that cannot be made is file_unwritable") {
  const TemporaryFolder folder;
  write_file(folder.path() / "out", "x");
  const Error error = thrown([&] { make_folder(folder.path() / "out" / "inner"); });
  CHECK(error.code() == ErrorCode::file_unwritable);
  CHECK_MESSAGE(contains(error.what(), "inner: cannot make the folder: "), error.what());
}

}  // namespace ffmem
