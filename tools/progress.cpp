#include "tools/progress.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace ffmem::tools {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kBetweenPrints{200};

std::string duration_text(double seconds) {
  const auto s = static_cast<long>(std::clamp(seconds, 0.0, 1e9));
  if (s < 60) return fmt::format("{} s", s);
  if (s < 3600) return fmt::format("{} min {:02} s", s / 60, s % 60);
  return fmt::format("{} h {:02} min", s / 3600, s / 60 % 60);
}

std::string rate_text(double per_second, const std::string& unit) {
  return per_second < 10 ? fmt::format("{:.2f} {}/s", per_second, unit) : fmt::format("{:.0f} {}/s", per_second, unit);
}

/// As much of the line as the terminal has columns: a longer one could not be written over.
std::string fitting(std::string line) {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 && line.size() >= size.ws_col)
    line.resize(size.ws_col - std::size_t{1});
  return line;
}

}  // namespace

Progress::Progress(std::string what, double total, std::string unit, bool quiet)
    : what_(std::move(what)),
      total_(total),
      unit_(std::move(unit)),
      visible_(!quiet && ::isatty(STDERR_FILENO) == 1),
      start_(Clock::now()),
      last_print_(start_) {}

Progress::~Progress() {
  if (printed_) std::fputc('\n', stderr);
}

void Progress::set_already_done(double already) { already_ = already; }

void Progress::update(double done) {
  done_ = done;
  if (!visible_) return;
  const auto now = Clock::now();
  if (done < total_ && now - last_print_ < kBetweenPrints) return;
  last_print_ = now;
  printed_ = true;
  std::string line = what_ + ": ";
  if (total_ > 0) {
    line += fmt::format("{:.1f} %, {}", 100.0 * done / total_, rate_text(rate(), unit_));
    if (rate() > 0 && done < total_) line += fmt::format(", {} left", duration_text((total_ - done) / rate()));
  } else {
    line += fmt::format("{:.0f} {}, {}", done, unit_, rate_text(rate(), unit_));
  }
  std::fputs(("\r" + fitting(line) + "\x1b[K").c_str(), stderr);
  std::fflush(stderr);
}

double Progress::rate() const {
  const double elapsed = seconds();
  return elapsed > 0 ? (done_ - already_) / elapsed : 0.0;
}

double Progress::seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

}  // namespace ffmem::tools
