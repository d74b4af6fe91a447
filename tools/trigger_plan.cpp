#include "tools/trigger_plan.hpp"

#include <algorithm>

#include "hooks/top_triggers.hpp"
#include "tools/corpus.hpp"

namespace ffmem::tools {
namespace {

// Measured on x86-64 with the program's own kernels and a small model: what the resident set has beside the other parts,
// what Open MPI adds, and what a loaded byte-level BPE adds for each token of its vocabulary.
constexpr std::uint64_t kProcessBytes = std::uint64_t{16} << 20;
constexpr std::uint64_t kMpiBytes = std::uint64_t{12} << 20;
constexpr std::uint64_t kTokenizerBytesPerToken = 500;

}  // namespace

std::uint64_t MemoryPlan::peak_bytes() const {
  const auto sum = [this](Part::When when) {
    std::uint64_t bytes = 0;
    for (const Part& part : parts) bytes += part.when == when ? part.bytes : 0;
    return bytes;
  };
  return sum(Part::When::always) + std::max({sum(Part::When::searching), sum(Part::When::merging), sum(Part::When::writing)});
}

MemoryPlan plan_memory(const Model& model, std::size_t tokenizer_vocab_size, const TriggerInfo& info,
                       const SessionOptions& session_options, int n_ranks) {
  using When = MemoryPlan::Part::When;
  const ModelConfig& config = model.config();
  const Session::Memory session = Session::memory(config, session_options);
  const std::uint64_t table = TriggerTable::bytes(config.n_layers, config.d_memory, info.top);
  const std::uint64_t thresholds = TopTriggers::scratch_bytes(config.n_layers, config.d_memory);
  const std::uint64_t n_examples = std::uint64_t{config.n_layers} * config.d_memory * info.top;
  const std::uint64_t process = kProcessBytes + (n_ranks > 1 ? kMpiBytes : 0);
  return {
      {{"process", "program and libraries", process, When::always},
       {"weights_mapped", "weights, mapped from files", model.mapped_bytes(), When::always},
       {"weights_converted", "weights, copies in the order that products read", model.owned_bytes(), When::always},
       {"tokenizer", "tokenizer", tokenizer_vocab_size * kTokenizerBytesPerToken, When::always},
       {"table", "trigger table", table + thresholds, When::always},
       {"corpus_buffer", "corpus buffer", kCorpusBufferBytes, When::always},
       {"kv_cache", "keys and values of attention, while searching", session.kv_cache_bytes, When::searching},
       {"workspace", "workspace, while searching", session.workspace_bytes, When::searching},
       {"received_tables", "another rank's table and both as one, while merging", n_ranks > 1 ? 2 * table : 0, When::merging},
       {"sentence_index", "index of the sentences named, while writing (at most)", n_examples * 2 * sizeof(std::int64_t),
        When::writing}}};
}

}  // namespace ffmem::tools
