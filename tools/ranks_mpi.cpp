// Ranks with MPI.
//
// A transfer of bytes begins with the receiver's word that it is ready, so that no rank is ever caught in a blocking send to
// one that has failed; from then on the receiver heeds the sender's failure only. Small messages (ready, call, outcome) are
// sent without waiting for whoever may never read them.
#define OMPI_SKIP_MPICXX 1
#define MPICH_SKIP_MPICXX 1
#include <mpi.h>
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <thread>
#include <vector>

#include "ops/error.hpp"
#include "tools/interrupt.hpp"
#include "tools/ranks.hpp"

namespace ffmem::tools {
namespace {

enum Tag : int { kReady = 1, kData, kCall, kFinished, kFailed };

constexpr std::size_t kMessageBytes = 4096;                // of an outcome at most
constexpr std::size_t kChunkBytes = std::size_t{1} << 30;  // MPI counts in int
constexpr std::chrono::milliseconds kBetweenLooks{2};

bool has_launcher() {
  return std::ranges::any_of(std::initializer_list<const char*>{"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMI_RANK", "PMIX_RANK"},
                             [](const char* variable) { return std::getenv(variable) != nullptr; });
}

bool joined() noexcept {
  int initialized = 0;
  int finalized = 0;
  MPI_Initialized(&initialized);
  MPI_Finalized(&finalized);
  return initialized != 0 && finalized == 0;
}

bool has_come(int from, int tag) {
  int found = 0;
  MPI_Iprobe(from, tag, MPI_COMM_WORLD, &found, MPI_STATUS_IGNORE);
  return found != 0;
}

template <class Condition>
void wait_until(Condition&& condition) {
  while (!condition()) std::this_thread::sleep_for(kBetweenLooks);
}

[[noreturn]] void fail_with_the_other() { fail(ErrorCode::interrupted, "another rank failed"); }

void send_word(int to, int tag) { MPI_Send(nullptr, 0, MPI_BYTE, to, tag, MPI_COMM_WORLD); }

void receive_word(int from, int tag) { MPI_Recv(nullptr, 0, MPI_BYTE, from, tag, MPI_COMM_WORLD, MPI_STATUS_IGNORE); }

/// The cores of the machine that its ranks may use, shared out evenly where they overlap.
int share_of_cores() {
  MPI_Comm machine = MPI_COMM_NULL;
  MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &machine);
  int n_here = 1;
  MPI_Comm_size(machine, &n_here);
  cpu_set_t own;
  CPU_ZERO(&own);
  sched_getaffinity(0, sizeof(own), &own);
  cpu_set_t all;
  MPI_Allreduce(&own, &all, static_cast<int>(sizeof(own)), MPI_BYTE, MPI_BOR, machine);
  MPI_Comm_free(&machine);
  return std::max(1, std::min(CPU_COUNT(&own), CPU_COUNT(&all) / n_here));
}

std::vector<char> packed(const RankOutcome& outcome) {
  std::vector<char> bytes(sizeof(int));
  std::memcpy(bytes.data(), &outcome.exit_code, sizeof(int));
  const std::string_view text = std::string_view(outcome.message).substr(0, kMessageBytes);
  bytes.insert(bytes.end(), text.begin(), text.end());
  return bytes;
}

RankOutcome receive_outcome(int from) {
  int tag = kFinished;
  wait_until([&] {
    tag = has_come(from, kFailed) ? kFailed : kFinished;
    return has_come(from, tag);
  });
  std::vector<char> bytes(sizeof(int) + kMessageBytes);
  MPI_Status status;
  MPI_Recv(bytes.data(), static_cast<int>(bytes.size()), MPI_BYTE, from, tag, MPI_COMM_WORLD, &status);
  int n = 0;
  MPI_Get_count(&status, MPI_BYTE, &n);
  RankOutcome outcome;
  std::memcpy(&outcome.exit_code, bytes.data(), sizeof(int));
  outcome.message.assign(bytes.begin() + sizeof(int), bytes.begin() + n);
  return outcome;
}

/// Errors before interruptions, which may be their consequence.
bool is_worse(int exit_code, int than) {
  const auto weight = [](int code) { return code == 0 ? 0 : code == kInterruptedExit ? 1 : 2; };
  return weight(exit_code) > weight(than);
}

}  // namespace

RankScope::RankScope() {
  if (!has_launcher()) return;
  int provided = 0;
  MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided);
  if (n_ranks() > 1 && std::getenv("OMP_NUM_THREADS") == nullptr) threads_ = share_of_cores();
}

RankScope::~RankScope() {
  if (joined()) MPI_Finalize();
}

RankOutcome RankScope::finish(const RankOutcome& mine) const {
  const int n = n_ranks();
  if (n == 1) return mine;
  const std::vector<char> bytes = packed(mine);
  std::vector<MPI_Request> requests(static_cast<std::size_t>(n), MPI_REQUEST_NULL);
  for (int to = 0; to < n; ++to) {
    if (to == rank()) continue;
    MPI_Isend(bytes.data(), static_cast<int>(bytes.size()), MPI_BYTE, to, mine.exit_code == 0 ? kFinished : kFailed,
              MPI_COMM_WORLD, &requests[static_cast<std::size_t>(to)]);
  }
  RankOutcome worst;
  for (int from = 0; from < n; ++from) {
    RankOutcome outcome = from == rank() ? mine : receive_outcome(from);
    if (!is_worse(outcome.exit_code, worst.exit_code)) continue;
    worst = std::move(outcome);
    if (from > 0 && worst.exit_code != kInterruptedExit) worst.message.insert(0, concat("rank ", from, ": "));
  }
  MPI_Waitall(n, requests.data(), MPI_STATUSES_IGNORE);
  if (rank() > 0) worst.message.clear();
  return worst;
}

int rank() noexcept {
  int number = 0;
  if (joined()) MPI_Comm_rank(MPI_COMM_WORLD, &number);
  return number;
}

int n_ranks() noexcept {
  int n = 1;
  if (joined()) MPI_Comm_size(MPI_COMM_WORLD, &n);
  return n;
}

bool another_rank_failed() { return n_ranks() > 1 && has_come(MPI_ANY_SOURCE, kFailed); }

void send_to(int to, const void* data, std::size_t n_bytes) {
  wait_until([&] {
    if (another_rank_failed()) fail_with_the_other();
    throw_if_interrupted();
    return has_come(to, kReady);
  });
  receive_word(to, kReady);
  const auto* bytes = static_cast<const char*>(data);
  for (std::size_t begin = 0; begin < n_bytes; begin += kChunkBytes) {
    const std::size_t n = std::min(kChunkBytes, n_bytes - begin);
    MPI_Send(bytes + begin, static_cast<int>(n), MPI_BYTE, to, kData, MPI_COMM_WORLD);
  }
}

void receive_from(int from, void* data, std::size_t n_bytes) {
  if (another_rank_failed()) fail_with_the_other();
  send_word(from, kReady);
  if (n_bytes == 0) return;
  wait_until([&] {
    if (has_come(from, kFailed)) fail_with_the_other();
    return has_come(from, kData);
  });
  auto* bytes = static_cast<char*>(data);
  for (std::size_t begin = 0; begin < n_bytes; begin += kChunkBytes) {
    const std::size_t n = std::min(kChunkBytes, n_bytes - begin);
    MPI_Recv(bytes + begin, static_cast<int>(n), MPI_BYTE, from, kData, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
  }
}

void call_ranks() {
  for (int to = 1; to < n_ranks(); ++to) send_word(to, kCall);
}

bool wait_for_call() {
  bool called = false;
  wait_until([&] {
    throw_if_interrupted();
    if (another_rank_failed()) fail_with_the_other();
    called = has_come(0, kCall);
    return called || has_come(0, kFinished);
  });
  if (called) receive_word(0, kCall);
  return called;
}

}  // namespace ffmem::tools
