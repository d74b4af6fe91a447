#include "tools/export/example_activations.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <tuple>

#include "hooks/hook.hpp"
#include "ops/error.hpp"
#include "runtime/session.hpp"
#include "tools/sentence_batches.hpp"

namespace ffmem::tools {
namespace {

constexpr std::size_t kGroupCoefficients = std::size_t{1} << 25;
constexpr std::size_t kBatchTokens = 1024;

/// A key's coefficients over one sentence, and where they go.
struct Wanted {
  std::size_t layer = 0;
  std::int64_t sentence = 0;
  std::size_t unit = 0;
  std::size_t offset = 0;
};

/// Copies what is wanted of the coefficients that pass.
class Collect : public Hook {
 public:
  /// `wanted` is in order of layer, then sentence. Both views outlive the hook.
  Collect(std::span<const Wanted> wanted, std::span<float> values, std::size_t n_prefix)
      : wanted_(wanted), values_(values), n_prefix_(n_prefix) {}

  void next_batch(std::vector<std::int64_t> sentences) { sentences_ = std::move(sentences); }

  Access access(Point point, std::size_t layer) const override {
    const auto found = std::ranges::lower_bound(wanted_, layer, {}, &Wanted::layer);
    const bool reads = point == Point::coefficients && found != wanted_.end() && found->layer == layer;
    return reads ? Access::read : Access::none;
  }

  void read(const PointView& view) override {
    std::span<const Wanted> wanted;
    for (std::size_t row = 0; row < view.values.rows; ++row) {
      const RowOrigin origin = view.origins[row];
      if (row == 0 || origin.sequence != view.origins[row - 1].sequence) {
        wanted = wanted_of(view.layer, sentences_[origin.sequence]);
      }
      if (origin.position < n_prefix_) continue;
      const auto coefficients = view.values.row(row);
      for (const Wanted& w : wanted) values_[w.offset + origin.position - n_prefix_] = coefficients[w.unit];
    }
  }

 private:
  std::span<const Wanted> wanted_of(std::size_t layer, std::int64_t sentence) const {
    const auto [begin, end] = std::ranges::equal_range(wanted_, std::tuple(layer, sentence), {},
                                                       [](const Wanted& w) { return std::tuple(w.layer, w.sentence); });
    return {begin, end};
  }

  std::span<const Wanted> wanted_;
  std::span<float> values_;
  std::size_t n_prefix_;
  std::vector<std::int64_t> sentences_;
};

/// Keys whose coefficients are held together.
class Group {
 public:
  explicit Group(const TriggerStore& store) : store_(store) {}

  void add(std::size_t layer, std::size_t unit, std::size_t top) {
    keys_.push_back({.layer = layer, .unit = unit, .examples = store_.examples(layer, unit, top), .coefficients = {}});
    for (const auto& example : keys_.back().examples) {
      wanted_.push_back({layer, example.sentence, unit, n_values_});
      n_values_ += example.tokens.size();
    }
  }

  bool full() const { return n_values_ >= kGroupCoefficients; }
  std::size_t n_keys() const { return keys_.size(); }

  /// done: the share of the sentences that were run.
  void run(const std::shared_ptr<const Model>& model, const std::function<void(double)>& done) {
    values_.assign(n_values_, 0.0F);
    for (std::size_t offset = 0; KeyActivations & key : keys_) {
      for (const auto& example : key.examples) {
        key.coefficients.emplace_back(std::span(values_).subspan(offset, example.tokens.size()));
        offset += example.tokens.size();
      }
    }
    std::ranges::sort(wanted_, {}, [](const Wanted& w) { return std::tuple(w.layer, w.sentence, w.unit); });
    run_sentences(model, done);
  }

  const std::vector<KeyActivations>& keys() const { return keys_; }

 private:
  std::vector<std::int64_t> sentences() const {
    std::vector<std::int64_t> sentences;
    for (const Wanted& w : wanted_) sentences.push_back(w.sentence);
    std::ranges::sort(sentences);
    const auto repeated = std::ranges::unique(sentences);
    sentences.erase(repeated.begin(), repeated.end());
    return sentences;
  }

  void run_sentences(const std::shared_ptr<const Model>& model, const std::function<void(double)>& done) {
    const TriggerInfo& info = store_.info();
    Session session(model, {.max_sequences = sequences_of(kBatchTokens),
                            .context = info.context,
                            .max_batch_tokens = std::max(kBatchTokens, info.context),
                            .keep_cache = false});
    Collect collect(wanted_, values_, info.prefix_token ? 1 : 0);
    const std::array<Hook*, 1> hooks{&collect};
    const auto all = sentences();
    for (std::size_t begin = 0; begin < all.size();) {
      std::vector<TokenId> tokens;
      std::vector<std::size_t> offsets{0};
      std::size_t end = begin;
      for (; end < all.size() && end - begin < sequences_of(kBatchTokens); ++end) {
        const auto own = store_.sentence_tokens(all[end]);
        if (end > begin && tokens.size() + own.size() + 1 > kBatchTokens) break;
        if (info.prefix_token) tokens.push_back(*info.prefix_token);
        tokens.insert(tokens.end(), own.begin(), own.end());
        offsets.push_back(tokens.size());
      }
      collect.next_batch({all.begin() + static_cast<std::ptrdiff_t>(begin), all.begin() + static_cast<std::ptrdiff_t>(end)});
      session.run({.tokens = tokens, .offsets = offsets}, LogitsRows::none, hooks);
      begin = end;
      done(static_cast<double>(begin) / static_cast<double>(all.size()));
    }
  }

  const TriggerStore& store_;
  std::vector<KeyActivations> keys_;
  std::vector<Wanted> wanted_;
  std::size_t n_values_ = 0;
  std::vector<float> values_;
};

void check_size(const Model& model, const TriggerStore& store) {
  const ModelConfig& config = model.config();
  if (config.n_layers == store.n_layers() && config.d_memory == store.d_memory() && config.vocab_size == store.vocab_size() &&
      config.max_positions >= store.info().context) {
    return;
  }
  fail(ErrorCode::argument_invalid, store.path().string(), ": is of a model with ", store.n_layers(), " layers of ",
       store.d_memory(), " memories, ", store.vocab_size(), " tokens and a context of at least ", store.info().context,
       ", found ", config.n_layers, " of ", config.d_memory, ", ", config.vocab_size, " tokens and a context of ",
       config.max_positions);
}

}  // namespace

void for_each_key_activations(const std::shared_ptr<const Model>& model, const TriggerStore& store,
                              const ExportSelection& selection, const std::function<void(double)>& done,
                              const std::function<void(const KeyActivations&)>& use) {
  check_size(*model, store);
  double n_done = 0;
  for (std::size_t key = 0; key < selection.n_keys();) {
    Group group(store);
    const std::size_t n_units = selection.units.end - selection.units.begin;
    for (; key < selection.n_keys() && !group.full(); ++key) {
      group.add(selection.layers.begin + key / n_units, selection.units.begin + key % n_units, selection.top);
    }
    const auto n_group = static_cast<double>(group.n_keys());
    group.run(model, [&](double share) { done(n_done + share * n_group); });
    n_done += n_group;
    for (const KeyActivations& activations : group.keys()) use(activations);
  }
}

}  // namespace ffmem::tools
