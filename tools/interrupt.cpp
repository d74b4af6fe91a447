#include "tools/interrupt.hpp"

#include <unistd.h>

#include <csignal>

#include "ops/error.hpp"

namespace ffmem::tools {
namespace {

// The one thing a signal handler may write.
volatile std::sig_atomic_t signalled = 0;

extern "C" void on_signal(int /*signal*/) {
  constexpr int kInterruptedExit = 130;
  if (signalled != 0) ::_exit(kInterruptedExit);
  signalled = 1;
}

}  // namespace

void catch_interrupts() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  struct sigaction hangup {};
  sigaction(SIGHUP, nullptr, &hangup);
  if (hangup.sa_handler != SIG_IGN) sigaction(SIGHUP, &action, nullptr);  // nohup ignores it
}

bool interrupted() noexcept { return signalled != 0; }

void throw_if_interrupted() {
  if (interrupted()) fail(ErrorCode::interrupted, "interrupted");
}

}  // namespace ffmem::tools
