#include "tools/experiments/key_targets.hpp"

#include <fmt/format.h>

#include "tools/lens.hpp"

namespace ffmem::tools {

std::optional<TokenId> target_of(const TriggerStore::Example& example, Target target) {
  return target == Target::next ? example.next : std::optional(example.prefix.back());
}

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

std::vector<std::pair<std::string, std::string>> trigger_settings(const Workbench& bench) {
  const TriggerRequest& request = bench.options().triggers;
  return {{"trigger examples per key", std::to_string(request.top)},
          {"examples of one sentence", request.every_prefix ? "every prefix" : "the best prefix of each key"},
          {"examples are", request.smallest ? "the most negative coefficients" : "the highest coefficients"},
          {"sentences", std::string(sentence_mode_name(request.sentences))},
          {"training sentences", request.max_sentences ? std::to_string(*request.max_sentences) : "all"},
          {"seed", std::to_string(bench.options().seed)}};
}

std::vector<std::pair<std::string, std::string>> value_settings(const Workbench& bench) {
  auto settings = trigger_settings(bench);
  const ExperimentOptions& options = bench.options();
  settings.emplace_back("lens", std::string(lens_name(options.value_lens)));
  settings.emplace_back("values are scored", "bare (v, not m v)");
  settings.emplace_back(
      "target", options.target == Target::next ? "next: the token behind the prefix" : "last-read: the prefix's last token");
  settings.emplace_back("vocabulary", std::to_string(bench.model()->config().vocab_size));
  return settings;
}

std::string without_target_text(const std::vector<KeyTargets>& layers, Target target) {
  std::size_t n_keys = 0;
  std::size_t n_never_fired = 0;
  std::size_t n_sentence_ends = 0;
  for (const KeyTargets& layer : layers) {
    n_keys += layer.tokens.size();
    n_never_fired += layer.n_never_fired;
    n_sentence_ends += layer.n_sentence_ends;
  }
  std::string text = fmt::format("Left out: {} of {} keys never fired", n_never_fired, n_keys);
  if (target == Target::next)
    text += fmt::format(", and the best example of {} is a whole sentence with no next token", n_sentence_ends);
  return text + ".";
}

}  // namespace ffmem::tools
