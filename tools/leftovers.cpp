#include "tools/leftovers.hpp"

#include <fcntl.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): has kill()
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <string>
#include <string_view>
#include <vector>

namespace ffmem::tools {
namespace {

constexpr std::string_view kMark = ".tmp.";

/// True for TARGET.tmp.PID and TARGET.tmp.PID.NUMBER where PID is no running process of this machine.
bool is_named_as_leftover(std::string_view name) {
  const std::size_t mark = name.rfind(kMark);
  if (mark == std::string_view::npos || mark == 0) return false;
  name.remove_prefix(mark + kMark.size());
  pid_t pid = 0;
  const char* const end = name.data() + name.size();
  const char* behind = std::from_chars(name.data(), end, pid).ptr;
  if (behind != end && *behind == '.') behind = std::find_if_not(behind + 1, end, [](char c) { return c >= '0' && c <= '9'; });
  return behind == end && pid > 0 && ::kill(pid, 0) != 0 && errno == ESRCH;
}

/// Whether some process, of any machine, is writing the file.
bool has_writer(const std::filesystem::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return false;
  const bool locked = ::flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  ::close(descriptor);
  return locked;
}

/// Of the files of `folder` whose names begin with `prefix`. Gathered first: removing while iterating may skip entries.
void remove_leftovers(const std::filesystem::path& folder, std::string_view prefix) {
  std::vector<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(prefix) && is_named_as_leftover(name) && !has_writer(entry.path())) found.push_back(entry.path());
  }
  for (const auto& path : found) std::filesystem::remove(path);
}

}  // namespace

void remove_leftovers(const std::filesystem::path& target) {
  remove_leftovers(std::filesystem::absolute(target).parent_path(), target.filename().string().append(kMark));
}

void remove_leftovers_in(const std::filesystem::path& folder) {
  if (std::filesystem::is_directory(folder)) remove_leftovers(folder, "");
}

}  // namespace ffmem::tools
