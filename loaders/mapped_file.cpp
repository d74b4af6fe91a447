#include "loaders/mapped_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "loaders/file_errors.hpp"
#include "ops/error.hpp"

namespace ffmem {
namespace {

[[noreturn]] void fail_unreadable(const std::filesystem::path& path, const std::string& reason) {
  fail(ErrorCode::file_unreadable, path.string(), ": cannot read: ", reason);
}

/// An open regular file.
class OpenFile {
 public:
  explicit OpenFile(const std::filesystem::path& path) {
    // Without O_NONBLOCK, opening a named pipe would wait for a writer before it could be refused.
    descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor_ < 0) {
      const int error = errno;
      if (error != ENOENT && error != ENOTDIR) fail_unreadable(path, system_text(error));
      if (may_exist(path)) fail_unreadable(path, "it is a link to nothing");
      fail(ErrorCode::file_not_found, path.string(), ": no such file");
    }
    try {
      measure(path);
    } catch (...) {
      ::close(descriptor_);
      throw;
    }
  }
  ~OpenFile() { ::close(descriptor_); }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  int descriptor() const noexcept { return descriptor_; }
  std::size_t size() const noexcept { return size_; }

 private:
  void measure(const std::filesystem::path& path) {
    struct stat facts {};
    if (::fstat(descriptor_, &facts) != 0) fail_unreadable(path, system_text(errno));
    if (S_ISDIR(facts.st_mode)) fail_unreadable(path, "it is a directory");
    if (!S_ISREG(facts.st_mode)) fail_unreadable(path, "it is not a regular file");
    size_ = static_cast<std::size_t>(facts.st_size);
  }

  int descriptor_ = -1;
  std::size_t size_ = 0;
};

/// Read, not mapped: a file that another program shortens meanwhile gives a short text, not a SIGBUS.
std::string read_all(const OpenFile& file, const std::filesystem::path& path) {
  std::string text(file.size(), '\0');
  std::size_t n_read = 0;
  while (n_read < text.size()) {
    const ssize_t n = ::read(file.descriptor(), text.data() + n_read, text.size() - n_read);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_unreadable(path, system_text(errno));
    if (n == 0) break;
    n_read += static_cast<std::size_t>(n);
  }
  text.resize(n_read);
  return text;
}

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path) : path_(path) {
  const OpenFile file(path);
  if (file.size() == 0) return;  // mmap refuses to map nothing
  void* address = ::mmap(nullptr, file.size(), PROT_READ, MAP_PRIVATE, file.descriptor(), 0);
  if (address == MAP_FAILED) fail_unreadable(path, system_text(errno));
  data_ = static_cast<const std::byte*>(address);
  size_ = file.size();
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

bool may_exist(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::symlink_status(path, ignored).type() != std::filesystem::file_type::not_found;
}

std::string read_text_file(const std::filesystem::path& path) { return read_all(OpenFile(path), path); }

std::string read_parsed_file(const std::filesystem::path& path, ErrorCode too_large, std::size_t max_bytes) {
  const OpenFile file(path);
  if (file.size() > max_bytes) {
    fail(too_large, path.string(), ": expected at most ", max_bytes, " bytes, found ", file.size());
  }
  return read_all(file, path);
}

}  // namespace ffmem
