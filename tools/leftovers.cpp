#include "tools/leftovers.hpp"

#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <string>
#include <string_view>
#include <vector>

namespace ffmem::tools {
namespace {

constexpr std::string_view kMark = ".tmp.";

/// True for TARGET.tmp.PID and TARGET.tmp.PID.NUMBER where PID is no running process.
bool is_leftover(std::string_view name) {
  const std::size_t mark = name.rfind(kMark);
  if (mark == std::string_view::npos || mark == 0) return false;
  name.remove_prefix(mark + kMark.size());
  pid_t pid = 0;
  const char* const end = name.data() + name.size();
  const char* behind = std::from_chars(name.data(), end, pid).ptr;
  if (behind != end && *behind == '.') behind = std::find_if_not(behind + 1, end, [](char c) { return c >= '0' && c <= '9'; });
  return behind == end && pid > 0 && ::kill(pid, 0) != 0 && errno == ESRCH;
}

/// Gathered first: removing while iterating may skip entries.
template <class Iterator, class Wanted>
void remove_files(Iterator entries, Wanted wanted) {
  std::vector<std::filesystem::path> found;
  for (const auto& entry : entries) {
    if (wanted(entry.path().filename().string())) found.push_back(entry.path());
  }
  for (const auto& path : found) std::filesystem::remove(path);
}

}  // namespace

void remove_leftovers(const std::filesystem::path& target) {
  const std::string prefix = target.filename().string().append(kMark);
  remove_files(std::filesystem::directory_iterator(std::filesystem::absolute(target).parent_path()),
               [&](const std::string& name) { return name.starts_with(prefix) && is_leftover(name); });
}

void remove_leftovers_in(const std::filesystem::path& folder) {
  if (std::filesystem::is_directory(folder)) remove_files(std::filesystem::directory_iterator(folder), is_leftover);
}

}  // namespace ffmem::tools
