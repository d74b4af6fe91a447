#include "tools/report/summary.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tools/token_text.hpp"

namespace ffmem::tools {
namespace {

constexpr std::size_t kPrefixTokens = 10;  // shown of a prefix, the last ones

using Examples = std::vector<TriggerStore::Example>;

/// What one key's examples and its value say together.
struct Reading {
  std::size_t unit = 0;
  std::size_t n_examples = 0;
  TokenId common_trigger = -1;
  double same_trigger = 0.0;
  double agreement = 0.0;
  std::optional<bool> top1_agrees{};  // none where the best example has no next token
};

double share(std::size_t part, std::size_t whole) {
  return whole == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(whole);
}

Reading read_memory(const Examples& examples, std::size_t unit, TokenId predicted) {
  Reading reading;
  reading.unit = unit;
  reading.n_examples = examples.size();
  if (examples.empty()) return reading;
  std::map<TokenId, std::size_t> triggers;
  std::size_t n_agree = 0;
  for (const TriggerStore::Example& example : examples) {
    ++triggers[example.prefix.back()];
    if (example.next == predicted) ++n_agree;
  }
  const auto common =
      std::ranges::max_element(triggers, {}, [](const auto& trigger_and_count) { return trigger_and_count.second; });
  reading.common_trigger = common->first;
  reading.same_trigger = share(common->second, examples.size());
  reading.agreement = share(n_agree, examples.size());
  if (examples.front().next) reading.top1_agrees = examples.front().next == predicted;
  return reading;
}

/// Adds the first `n` of `readings`, highest by `score`, whose trigger token none of the chosen has.
void choose(std::vector<Reading> readings, std::size_t n, double (*score)(const Reading&), std::set<TokenId>& triggers,
            std::vector<Reading>& chosen) {
  std::ranges::stable_sort(readings, [&](const Reading& a, const Reading& b) { return score(a) > score(b); });
  for (const Reading& reading : readings) {
    if (n == 0 || score(reading) <= 0.0) return;
    if (!triggers.insert(reading.common_trigger).second) continue;
    chosen.push_back(reading);
    --n;
  }
}

/// A value's top tokens, best first.
struct ValueRow {
  std::span<const TokenId> tokens;
  std::span<const float> probabilities;
};

ValueRow value_row(const ValueTable& values, std::size_t layer, std::size_t unit) {
  const std::size_t begin = ((layer - values.first_layer) * values.d_memory + unit) * values.k;
  return {std::span(values.tokens).subspan(begin, values.k), std::span(values.probabilities).subspan(begin, values.k)};
}

PageMemory describe(const TriggerStore& store, const ValueTable& values, std::size_t layer, const Reading& reading,
                    std::size_t n_examples) {
  PageMemory memory{.layer = layer,
                    .unit = reading.unit,
                    .n_examples = reading.n_examples,
                    .same_trigger = reading.same_trigger,
                    .agreement = reading.agreement,
                    .examples = {},
                    .value = {}};
  const ValueRow value = value_row(values, layer, reading.unit);
  const auto text = [&](TokenId token) { return text_or_number(store.token_bytes(token), token); };
  for (const TriggerStore::Example& example : store.examples(layer, reading.unit, n_examples)) {
    memory.examples.push_back({.before = store.text_before_trigger(example, kPrefixTokens),
                               .trigger = text(example.prefix.back()),
                               .next = example.next ? std::optional(text(*example.next)) : std::nullopt,
                               .predicted = example.next == value.tokens.front(),
                               .coefficient = example.coefficient});
  }
  for (std::size_t i = 0; i < value.tokens.size(); ++i) {
    memory.value.push_back({.text = text(value.tokens[i]), .probability = value.probabilities[i]});
  }
  return memory;
}

}  // namespace

std::size_t least_examples(const TriggerStore& store) { return std::min(store.top(), kLeastExamples); }

PageLayer summarise_layer(const TriggerStore& store, const ValueTable& values, std::size_t layer,
                          const SummaryOptions& options) {
  PageLayer page;
  std::vector<Reading> readings;
  double max_probability = 0.0;
  double same_trigger = 0.0;
  std::size_t n_top1 = 0;
  std::size_t n_targets = 0;
  for (std::size_t unit = 0; unit < store.d_memory(); ++unit) {
    const ValueRow value = value_row(values, layer, unit);
    max_probability += static_cast<double>(value.probabilities.front());
    const Reading reading = read_memory(store.examples(layer, unit), unit, value.tokens.front());
    if (reading.n_examples == 0) ++page.n_never_fired;
    n_targets += reading.top1_agrees ? 1 : 0;
    n_top1 += reading.top1_agrees.value_or(false) ? 1 : 0;
    if (reading.n_examples < least_examples(store)) continue;
    same_trigger += reading.same_trigger;
    readings.push_back(reading);
  }
  const auto n = static_cast<double>(store.d_memory());
  page.mean_max_probability = max_probability / n;
  if (!readings.empty()) page.same_trigger = same_trigger / static_cast<double>(readings.size());
  if (n_targets > 0) page.top1_agreement = share(n_top1, n_targets);

  std::set<TokenId> triggers;
  std::vector<Reading> chosen;
  choose(
      readings, options.memories / 2, [](const Reading& r) { return r.agreement; }, triggers, chosen);
  choose(
      readings, options.memories - chosen.size(), [](const Reading& r) { return r.same_trigger; }, triggers, chosen);
  for (const Reading& reading : chosen) page.memories.push_back(describe(store, values, layer, reading, options.examples));
  return page;
}

}  // namespace ffmem::tools
