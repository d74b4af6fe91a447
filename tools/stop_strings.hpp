// Ends a stream of text before the string, of some, that is complete first (of several then: the one that begins first),
// however the stream is cut into pieces; holds back what may be the beginning of one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ffmem::tools {

class StopStrings {
 public:
  /// Empty strings are ignored.
  explicit StopStrings(std::vector<std::string> stops);

  /// The next piece of the stream; returns what can be shown. Nothing more comes once a stop string was found.
  std::string push(std::string_view piece);

  /// The stream has ended: what was held back.
  std::string finish();

  /// Whether there is nothing to stop at.
  bool empty() const noexcept { return stops_.empty(); }

  bool found() const noexcept { return found_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  bool found_ = false;
};

}  // namespace ffmem::tools
