// Ranks without MPI: there is one.
#include <charconv>
#include <cstdlib>
#include <string_view>

#include "ops/error.hpp"
#include "tools/ranks.hpp"

namespace ffmem::tools {

RankScope::RankScope() {
  for (const char* variable : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"}) {
    const char* value = std::getenv(variable);
    const std::string_view text = value == nullptr ? "1" : value;
    int n = 1;
    std::from_chars(text.data(), text.data() + text.size(), n);
    if (n > 1) {
      fail(ErrorCode::argument_invalid, "one of ", n, " ranks (", variable,
           "), but this program was built without MPI: build it with -Dmpi=enabled, or use --shard and ffmem merge");
    }
  }
}

RankScope::~RankScope() = default;

RankOutcome RankScope::finish(const RankOutcome& mine) const { return mine; }

int rank() noexcept { return 0; }
int n_ranks() noexcept { return 1; }
bool another_rank_failed() { return false; }
void send_to(int /*to*/, const void* /*data*/, std::size_t /*n_bytes*/) {}
void receive_from(int /*from*/, void* /*data*/, std::size_t /*n_bytes*/) {}
void call_ranks() {}
bool wait_for_call() { return false; }

}  // namespace ffmem::tools
