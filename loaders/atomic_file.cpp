#include "loaders/atomic_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "loaders/file_errors.hpp"
#include "ops/error.hpp"

namespace ffmem {
namespace {

constexpr std::size_t kBufferBytes = std::size_t{1} << 18;
constexpr int kMaxNames = 100;

[[noreturn]] void fail_unwritable(const std::filesystem::path& target, const std::string& reason) {
  fail(ErrorCode::file_unwritable, target.string(), ": cannot write: ", reason);
}

/// Whether a path leads through a link of /proc, as /dev/stdout and /dev/fd/3 do: it means a file that a process has open,
/// which renaming over the file's name would take away from it.
bool is_open_file(std::filesystem::path path) {
  constexpr int kMaxLinks = 40;  // the system's own limit
  std::error_code error;
  for (int i = 0; i < kMaxLinks && std::filesystem::is_symlink(std::filesystem::symlink_status(path, error)); ++i) {
    const auto folder = std::filesystem::canonical(std::filesystem::absolute(path, error).parent_path(), error);
    if (folder.native().starts_with("/proc/")) return true;
    path = folder / std::filesystem::read_symlink(path, error);
  }
  return false;
}

/// Where the file will stand: `target`, or what a symbolic link there leads to (renaming over the link would cut it off).
std::filesystem::path resolve_target(const std::filesystem::path& target) {
  if (target.filename().empty()) fail_unwritable(target, "the path names no file");
  if (is_open_file(target)) fail_unwritable(target, "it is a file that a process has open, not a name in a folder");
  std::error_code error;
  const auto link = std::filesystem::symlink_status(target, error);
  std::filesystem::path resolved = target;
  if (std::filesystem::is_symlink(link)) {
    resolved = std::filesystem::canonical(target, error);
    if (error) fail_unwritable(target, "it is a link to nothing that can be reached");
  }
  const auto status = std::filesystem::status(resolved, error);
  if (std::filesystem::is_directory(status)) fail_unwritable(target, "it is a directory");
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    fail_unwritable(target, "it is not a regular file");
  }
  return resolved;
}

void sync_folder(const std::filesystem::path& target) {
  const std::filesystem::path folder = target.has_parent_path() ? target.parent_path() : ".";
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) {
    if (errno == EACCES) return;  // a folder one may write but not read can't be synced; the file itself is
    fail_unwritable(target, system_text(errno));
  }
  const int error = ::fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  if (error != 0 && error != EINVAL) fail_unwritable(target, system_text(error));  // EINVAL: the file system has no such sync
}

void keep_permissions(int descriptor, const std::filesystem::path& target) {
  struct stat old {};
  if (::stat(target.c_str(), &old) == 0) static_cast<void>(::fchmod(descriptor, old.st_mode & 07777U));
}

}  // namespace

AtomicFile::AtomicFile(const std::filesystem::path& target) : target_(resolve_target(target)) {
  buffer_.reserve(kBufferBytes);
  const std::string base = target_.string() + ".tmp." + std::to_string(::getpid());
  for (int i = 0; i < kMaxNames; ++i) {
    temporary_ = i == 0 ? base : base + "." + std::to_string(i);
    descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor_ >= 0) {
      keep_permissions(descriptor_, target_);
      ::flock(descriptor_, LOCK_EX | LOCK_NB);  // tells other machines that share the folder that the file has a writer
      return;
    }
    if (errno != EEXIST) fail_unwritable(target, system_text(errno));
  }
  fail_unwritable(target, concat("expected a free temporary name, found ", base, " and ", kMaxNames - 1, " more"));
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::fail_for_good(int error) {
  failure_ = system_text(error);
  fail_unwritable(target_, failure_);
}

void AtomicFile::write_out(const char* data, std::size_t n_bytes) {
  while (n_bytes > 0) {
    const ssize_t n = ::write(descriptor_, data, n_bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_for_good(errno);
    data += n;
    n_bytes -= static_cast<std::size_t>(n);
  }
}

void AtomicFile::write(const void* data, std::size_t n_bytes) {
  if (descriptor_ < 0) fail(ErrorCode::argument_invalid, target_.string(), ": expected no write behind commit(), found one");
  if (!failure_.empty()) fail_unwritable(target_, failure_);
  const auto* bytes = static_cast<const char*>(data);
  if (buffer_.size() + n_bytes > kBufferBytes) {
    write_out(buffer_.data(), buffer_.size());
    buffer_.clear();
  }
  if (n_bytes < kBufferBytes) {
    buffer_.insert(buffer_.end(), bytes, bytes + n_bytes);
  } else {
    write_out(bytes, n_bytes);
  }
}

void AtomicFile::commit() {
  if (descriptor_ < 0) fail(ErrorCode::argument_invalid, target_.string(), ": expected one commit(), found another");
  if (!failure_.empty()) fail_unwritable(target_, failure_);
  write_out(buffer_.data(), buffer_.size());
  if (::fsync(descriptor_) != 0) fail_for_good(errno);  // a second one would not tell what the first one lost
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) fail_unwritable(target_, system_text(errno));
  temporary_.clear();
  ::close(std::exchange(descriptor_, -1));  // ends the lock; all is synced, so nothing can fail here any more
  sync_folder(target_);
}

void write_file(const std::filesystem::path& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

void make_folder(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) fail(ErrorCode::file_unwritable, folder.string(), ": cannot make the folder: ", error.message());
}

void remove_file(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::remove(path, error);
  if (error) fail(ErrorCode::file_unwritable, path.string(), ": cannot remove: ", error.message());
}

}  // namespace ffmem
