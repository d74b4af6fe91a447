// A progress line for long work: share done, rate, time left. On stderr, and only if that is a terminal.
#pragma once

#include <chrono>
#include <string>

namespace ffmem::tools {

class Progress {
 public:
  /// `unit` names what is counted ("tokens"); total 0: unknown. quiet: never print.
  Progress(std::string what, double total, std::string unit, bool quiet = false);
  ~Progress();  // ends the line
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `done` counts from the start of the work; `already` of it came from an earlier run and does not count for the rate.
  void update(double done);
  void set_already_done(double already);

  double rate() const;     // units per second since construction, without what was done already
  double seconds() const;  // since construction

 private:
  std::string what_;
  double total_;
  std::string unit_;
  bool visible_;
  double done_ = 0;
  double already_ = 0;
  bool printed_ = false;
  std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point last_print_;
};

}  // namespace ffmem::tools
