// The processes that `mpirun -n N ffmem ...` starts (ranks), as far as the tools need them. Where no launcher started this
// process there is one rank, number 0, and nothing here does or costs anything. The only interface to MPI.
//
// Only the thread that made the RankScope calls these. Waiting sleeps instead of spinning, and ends when another rank fails:
// what waits then throws Error(interrupted).
#pragma once

#include <cstddef>
#include <string>

namespace ffmem::tools {

/// How a rank ended: its exit code, and what it has to say if that is not 0.
struct RankOutcome {
  int exit_code = 0;
  std::string message;
};

/// Made first and once in the program: joins the other ranks, and leaves them when it ends.
class RankScope {
 public:
  RankScope();
  ~RankScope();
  RankScope(const RankScope&) = delete;
  RankScope& operator=(const RankScope&) = delete;

  /// This rank's share of its machine's cores; 0 for a single rank, which may use what OpenMP finds.
  int threads() const noexcept { return threads_; }

  /// Every rank's last word. Waits for all, and gives each the exit code of the first error of the lowest rank (an interruption
  /// only if there is nothing worse), or success; the message goes to rank 0 alone.
  RankOutcome finish(const RankOutcome& mine) const;

 private:
  int threads_ = 0;
};

/// This rank's number, from 0, and how many there are.
int rank() noexcept;
int n_ranks() noexcept;

/// True once another rank has ended with an error.
bool another_rank_failed();

/// Bytes from one rank to another; both sides name the same number.
void send_to(int to, const void* data, std::size_t n_bytes);
void receive_from(int from, void* data, std::size_t n_bytes);

/// Rank 0 asks all others to take part in the next piece of work.
void call_ranks();

/// The others wait for that: true when called, false when rank 0 has finished.
bool wait_for_call();

}  // namespace ffmem::tools
