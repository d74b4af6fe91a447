#include "tools/stop_strings.hpp"

#include <algorithm>
#include <utility>

namespace ffmem::tools {
namespace {

/// Length of the longest end of `text` with which `stop` begins.
std::size_t begun(std::string_view text, std::string_view stop) {
  std::size_t length = std::min(text.size(), stop.size());
  while (!text.ends_with(stop.substr(0, length))) --length;
  return length;
}

}  // namespace

StopStrings::StopStrings(std::vector<std::string> stops) : stops_(std::move(stops)) { std::erase(stops_, ""); }

std::string StopStrings::push(std::string_view piece) {
  if (found_) return {};
  held_ += piece;
  std::size_t end = std::string::npos;  // of the stop that is complete first
  std::size_t begin = 0;
  std::size_t n_held = 0;
  for (const std::string& stop : stops_) {
    n_held = std::max(n_held, begun(held_, stop));
    const std::size_t at = held_.find(stop);
    if (at == std::string::npos || at + stop.size() > end || (at + stop.size() == end && at > begin)) continue;
    begin = at;
    end = at + stop.size();
  }
  found_ = end != std::string::npos;
  std::string shown = held_.substr(0, found_ ? begin : held_.size() - n_held);
  held_.erase(0, found_ ? held_.size() : shown.size());
  return shown;
}

std::string StopStrings::finish() { return std::exchange(held_, {}); }

}  // namespace ffmem::tools
