// What a value is compared with: the token of its key's trigger examples (paper section 4).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/experiments/workbench.hpp"

namespace ffmem::tools {

/// The example's token: the one behind the prefix (none where the prefix is the whole sentence, or as much of it as
/// was read), or the prefix's last.
std::optional<TokenId> target_of(const TriggerStore::Example& example, Target target);

/// How a value's prediction is to be to "their key's best trigger example": "what follows" it, or "the last token of" it.
std::string_view target_text(Target target);

/// w_i of the keys of one layer: the token of each one's best trigger example.
struct KeyTargets {
  std::vector<std::optional<TokenId>> tokens;  // [d_m]
  std::size_t n_never_fired = 0;               // keys without an example
  std::size_t n_sentence_ends = 0;             // keys whose best example has no token behind it

  std::size_t n() const noexcept { return tokens.size() - n_never_fired - n_sentence_ends; }
};

KeyTargets key_targets(const TriggerStore& store, std::size_t layer, Target target);

/// "Left out: 40 of 12288 keys never fired, and the best example of 12 is a whole sentence, or one cut at the context, with no
/// next token." over all layers, for run_found.
std::string without_target_text(const std::vector<KeyTargets>& layers, const ExperimentOptions& options);

}  // namespace ffmem::tools
