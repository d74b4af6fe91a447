#include "tools/interrupt.hpp"

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <ctime>

#include "ops/error.hpp"

namespace ffmem::tools {
namespace {

// Which signal came, and when. A handler runs in any thread, and may write what is atomic without a lock.
std::atomic<int> signalled = 0;
std::atomic<int> at_milliseconds = 0;
static_assert(std::atomic<int>::is_always_lock_free);

int milliseconds() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<int>(now.tv_sec % 1'000'000 * 1000 + now.tv_nsec / 1'000'000);
}

/// A closing terminal and `timeout` signal twice within moments: what they end is to come to its clean place all the same.
extern "C" void on_signal(int signal) {
  constexpr int kSamePress = 200;
  const int now = milliseconds();
  if (signal == SIGINT && signalled == SIGINT && now - at_milliseconds > kSamePress) ::_exit(kInterruptedExit);
  if (signalled != SIGINT) at_milliseconds = now;
  if (signalled == 0 || signal == SIGINT) signalled = signal;
}

/// Unless it is ignored, as nohup does with a closed terminal, and a script with Ctrl-C for what it started with "&".
void catch_signal(int signal) {
  struct sigaction before {};
  sigaction(signal, nullptr, &before);
  if (before.sa_handler == SIG_IGN) return;
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  sigaction(signal, &action, nullptr);
}

}  // namespace

void catch_interrupts() {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) catch_signal(signal);
}

bool interrupted() noexcept { return signalled != 0; }

void throw_if_interrupted() {
  if (interrupted()) fail(ErrorCode::interrupted, "interrupted");
}

}  // namespace ffmem::tools
