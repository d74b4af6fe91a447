#include "tools/experiments/key_targets.hpp"

#include <fmt/format.h>

#include "tools/experiments/settings.hpp"

namespace ffmem::tools {

std::optional<TokenId> target_of(const TriggerStore::Example& example, Target target) {
  return target == Target::next ? example.next : std::optional(example.prefix.back());
}

std::string_view target_text(Target target) { return target == Target::next ? "what follows" : "the last token of"; }

KeyTargets key_targets(const TriggerStore& store, std::size_t layer, Target target) {
  KeyTargets targets{.tokens = std::vector<std::optional<TokenId>>(store.d_memory())};
  for (std::size_t unit = 0; unit < store.d_memory(); ++unit) {
    const auto examples = store.examples(layer, unit, 1);
    if (examples.empty()) {
      ++targets.n_never_fired;
      continue;
    }
    targets.tokens[unit] = target_of(examples.front(), target);
    if (!targets.tokens[unit]) ++targets.n_sentence_ends;
  }
  return targets;
}

std::string without_target_text(const std::vector<KeyTargets>& layers, const ExperimentOptions& options) {
  std::size_t n_keys = 0;
  std::size_t n_never_fired = 0;
  std::size_t n_sentence_ends = 0;
  for (const KeyTargets& layer : layers) {
    n_keys += layer.tokens.size();
    n_never_fired += layer.n_never_fired;
    n_sentence_ends += layer.n_sentence_ends;
  }
  std::string text = fmt::format("Left out: {} of {} keys {}", n_never_fired, n_keys, without_examples_text(options));
  if (options.target == Target::next) {
    text += fmt::format(", and the best example of {} is a whole sentence, or one cut at the context, with no next token",
                        n_sentence_ends);
  }
  return text + ".";
}

}  // namespace ffmem::tools
