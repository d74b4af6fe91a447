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
#include <system_error>
#include <vector>

namespace ffmem::tools {
namespace {

constexpr std::string_view kMark = ".tmp.";
constexpr int kMostProcess = 4'194'304;  // Linux's own limit of process ids; a date (20240101) is above it
constexpr int kMostNumber = 99;          // AtomicFile tries no other

/// Takes a number of 1 to `most` from the front of the text, written as this program writes it; 0 where there is none.
int take_number(std::string_view& text, int most) {
  if (text.empty() || text.front() == '0') return 0;
  int number = 0;
  const char* const behind = std::from_chars(text.data(), text.data() + text.size(), number).ptr;
  text.remove_prefix(static_cast<std::size_t>(behind - text.data()));
  return number >= 1 && number <= most ? number : 0;
}

/// TARGET of TARGET.tmp.PID and TARGET.tmp.PID.NUMBER where PID is no running process of this machine; empty for other names.
std::string_view target_of_leftover(std::string_view name) {
  const std::size_t mark = name.rfind(kMark);
  if (mark == std::string_view::npos) return {};
  const std::string_view target = name.substr(0, mark);
  name.remove_prefix(mark + kMark.size());
  const pid_t pid = take_number(name, kMostProcess);
  if (name.starts_with('.')) {
    name.remove_prefix(1);
    if (take_number(name, kMostNumber) == 0) return {};
  }
  return pid > 0 && name.empty() && ::kill(pid, 0) != 0 && errno == ESRCH ? target : std::string_view();
}

/// Whether some process, of any machine, is writing the file.
bool has_writer(const std::filesystem::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return false;
  const bool locked = ::flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  ::close(descriptor);
  return locked;
}

/// Of the wanted targets in `folder`. Gathered first: removing while iterating may skip entries.
template <class Wanted>
void remove_leftovers(const std::filesystem::path& folder, Wanted&& wanted) {
  std::vector<std::filesystem::path> found;
  std::error_code unlisted;  // a folder that is not there, or that one may write but not read
  for (const auto& entry : std::filesystem::directory_iterator(folder, unlisted)) {
    const std::string name = entry.path().filename().string();
    const std::string_view target = target_of_leftover(name);
    if (!target.empty() && wanted(target) && !has_writer(entry.path())) found.push_back(entry.path());
  }
  std::error_code unremoved;  // another user's, in a folder where each may remove one's own alone
  for (const auto& path : found) std::filesystem::remove(path, unremoved);
}

}  // namespace

void remove_leftovers(const std::filesystem::path& target) {
  const std::string name = target.filename().string();
  remove_leftovers(std::filesystem::absolute(target).parent_path(), [&](std::string_view found) { return found == name; });
}

void remove_leftovers_in(const std::filesystem::path& folder, std::span<const std::string_view> extensions) {
  remove_leftovers(folder, [&](std::string_view found) {
    return std::ranges::any_of(extensions, [&](std::string_view extension) { return found.ends_with(extension); });
  });
}

}  // namespace ffmem::tools
