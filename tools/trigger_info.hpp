// What a trigger search was about, as it stands in the metadata of its files. No times, no machine: the same search gives the
// same bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ops/dtype.hpp"
#include "tools/corpus.hpp"

namespace ffmem::tools {

/// Which of `n` shards a result covers: shard i searches the sentences whose index modulo n is i.
struct ShardSet {
  std::size_t n = 1;
  std::vector<std::size_t> parts{0};  // ascending

  bool whole() const noexcept { return parts.size() == n; }

  /// "" for a whole corpus, else "1/4", or "0,2/4" after a merge.
  std::string text() const;

  /// Throws argument_invalid for another form, or a part that is not below n.
  static ShardSet parse(std::string_view text);
};

/// How far a search came.
struct TriggerCounts {
  std::uint64_t n_sentences = 0;
  std::uint64_t n_tokens = 0;  // of the sentences' own, as far as they were read
  std::uint64_t n_cut = 0;     // sentences longer than the context

  bool operator==(const TriggerCounts&) const = default;
};

struct TriggerInfo {
  std::string model;  // folder, as it was given
  std::string model_fingerprint;
  std::string weights = "f32";      // the mode the model ran in
  std::vector<std::string> corpus;  // file names
  std::string corpus_fingerprint;
  SentenceMode sentences = SentenceMode::icu;
  std::size_t top = 50;
  bool every_prefix = false;
  bool smallest = false;
  std::size_t context = 0;              // tokens of a sentence's run at most, the prefix token included
  std::optional<TokenId> prefix_token;  // fed before every sentence
  std::optional<std::int64_t> max_sentences;
  ShardSet shards;
  TriggerCounts counts;
};

/// Names and values, with `format`.
std::map<std::string, std::string> to_metadata(const TriggerInfo& info, std::string_view format);

/// Throws store_invalid, naming `file`, where something is missing or malformed, or the format is another.
TriggerInfo trigger_info(const std::map<std::string, std::string>& metadata, std::string_view format,
                         const std::filesystem::path& file);

/// The first thing that makes two results parts of different searches ("top: 50 and 25"); empty if there is none. Shards,
/// counts and where files lie do not matter.
std::string difference(const TriggerInfo& a, const TriggerInfo& b);

/// The same, shards too: empty where both are of one search over the same shards.
std::string difference_in_shards_too(const TriggerInfo& a, const TriggerInfo& b);

}  // namespace ffmem::tools
