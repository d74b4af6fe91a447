// What a trigger search will take of memory, before it is run.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/model.hpp"
#include "runtime/session.hpp"
#include "tools/trigger_info.hpp"

namespace ffmem::tools {

struct MemoryPlan {
  struct Part {
    std::string name;  // as JSON names it
    std::string what;  // for people
    std::uint64_t bytes = 0;
    enum class When { always, searching, merging, writing } when = When::always;
  };
  std::vector<Part> parts;

  /// Of the resident set: what is always there, and the largest of searching, merging and writing.
  std::uint64_t peak_bytes() const;
};

/// The numbers of the model as loaded, of its tokenizer's vocabulary size, and constants that were measured; of one rank where
/// there are several.
MemoryPlan plan_memory(const Model& model, std::size_t tokenizer_vocab_size, const TriggerInfo& info,
                       const SessionOptions& session, int n_ranks);

}  // namespace ffmem::tools
