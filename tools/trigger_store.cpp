#include "tools/trigger_store.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "loaders/safetensors_writer.hpp"
#include "ops/error.hpp"

namespace ffmem::tools {
namespace {

constexpr std::string_view kFormat = "ffmem-triggers";
constexpr const char* kNeverFired = "n_keys_never_fired";

/// The places of one key's examples, [t].
struct KeyPlaces {
  std::span<const float> coefficient;
  std::span<const std::int64_t> sentence;
  std::span<const std::int32_t> position;
};

/// Positive (smallest: negative) numbers in falling order of magnitude, then the empty places.
bool is_good_place(const KeyPlaces& key, std::size_t i, bool smallest) {
  const float c = key.coefficient[i];
  if (key.sentence[i] == -1) return c == 0.0F && key.position[i] == -1;
  const bool follows = i == 0 || (key.sentence[i - 1] != -1 && std::fabs(key.coefficient[i - 1]) >= std::fabs(c));
  return follows && (smallest ? c < 0.0F : c > 0.0F) && key.sentence[i] >= 0 && key.position[i] >= 0;
}

void check_places(const KeyPlaces& key, bool smallest, const std::filesystem::path& file, std::size_t layer, std::size_t unit) {
  for (std::size_t i = 0; i < key.sentence.size(); ++i) {
    if (is_good_place(key, i, smallest)) continue;
    fail(ErrorCode::store_invalid, file.string(), ": layer ", layer, ", unit ", unit, ", example ", i, ": coefficient ",
         key.coefficient[i], ", sentence ", key.sentence[i], ", position ", key.position[i], ": a search for the ",
         smallest ? "smallest" : "largest", " coefficients leaves no such list");
  }
}

std::vector<std::size_t> table_shape(const SafetensorsFile& file) {
  const std::vector<std::size_t>& shape = file.at("coefficient").shape;
  if (shape.size() != 3 || std::ranges::find(shape, std::size_t{0}) != shape.end()) {
    fail(ErrorCode::store_invalid, file.path().string(),
         ": coefficient: expected shape [layers, memories, examples], at least one of each, found ", shape_text(shape));
  }
  for (const char* name : {"sentence", "position"}) {
    if (file.at(name).shape != shape) {
      fail(ErrorCode::store_invalid, file.path().string(), ": ", name, ": expected shape ", shape_text(shape), ", found ",
           shape_text(file.at(name).shape));
    }
  }
  return shape;
}

}  // namespace

Vocabulary::Vocabulary(const Tokenizer& tokenizer, std::size_t n) : offsets{0} {
  offsets.reserve(n + 1);
  for (std::size_t id = 0; id < n; ++id) {
    try {
      bytes += tokenizer.token_bytes(static_cast<TokenId>(id));
    } catch (const Error& error) {
      if (error.code() != ErrorCode::token_out_of_range) throw;  // else: an id without a token
    }
    offsets.push_back(static_cast<std::int64_t>(bytes.size()));
  }
}

std::vector<std::int64_t> named_sentences(const TriggerTable& table) {
  std::vector<std::int64_t> index = table.sentence;
  std::ranges::sort(index);
  index.erase(std::unique(index.begin(), index.end()), index.end());
  if (!index.empty() && index.front() == -1) index.erase(index.begin());
  return index;
}

std::size_t keys_with_fewer_than(std::size_t n, const TriggerTable& table) {
  std::size_t n_keys = 0;
  for (std::size_t i = 0; i < table.sentence.size(); i += table.t) n_keys += table.sentence[i + n - 1] == -1 ? 1 : 0;
  return n_keys;
}

void write_trigger_store(const std::filesystem::path& path, const TriggerTable& table, const TriggerInfo& info,
                         const NamedSentences& sentences, const Vocabulary& vocabulary) {
  auto metadata = to_metadata(info, kFormat);
  metadata[kNeverFired] = std::to_string(keys_with_fewer_than(1, table));
  const std::vector<std::size_t> shape{table.n_layers, table.d_memory, table.t};
  // Wider types first, so that all are aligned.
  SafetensorsWriter writer(path,
                           {{"sentence", DType::i64, shape},
                            {"sentence_index", DType::i64, {sentences.index.size()}},
                            {"sentence_offsets", DType::i64, {sentences.offsets.size()}},
                            {"vocabulary_offsets", DType::i64, {vocabulary.offsets.size()}},
                            {"coefficient", DType::f32, shape},
                            {"position", DType::i32, shape},
                            {"sentence_tokens", DType::i32, {static_cast<std::size_t>(sentences.offsets.back())}},
                            {"vocabulary_bytes", DType::u8, {vocabulary.bytes.size()}}},
                           metadata);
  const auto append = [&](const auto& values) { writer.append(values.data(), values.size() * sizeof(values[0])); };
  append(table.sentence);
  append(sentences.index);
  append(sentences.offsets);
  append(vocabulary.offsets);
  append(table.coefficient);
  append(table.position);
  sentences.walk([&](std::span<const TokenId> tokens) { append(tokens); });
  append(vocabulary.bytes);
  writer.commit();
}

TriggerTable read_trigger_table(const SafetensorsFile& file, bool smallest) {
  const auto shape = table_shape(file);
  TriggerTable table(0, 0, shape[2]);
  table.n_layers = shape[0];
  table.d_memory = shape[1];
  table.coefficient = file.at("coefficient").copy<float>();
  table.sentence = file.at("sentence").copy<std::int64_t>();
  table.position = file.at("position").copy<std::int32_t>();
  for (std::size_t key = 0; key < table.n_layers * table.d_memory; ++key) {
    const auto places = [&](const auto& array) { return std::span(array).subspan(key * table.t, table.t); };
    check_places({places(table.coefficient), places(table.sentence), places(table.position)}, smallest, file.path(),
                 key / table.d_memory, key % table.d_memory);
  }
  return table;
}

TriggerStore::TriggerStore(const std::filesystem::path& path)
    : file_(path), info_(trigger_info(file_.metadata(), kFormat, path)) {
  const auto shape = table_shape(file_);
  n_layers_ = shape[0];
  d_memory_ = shape[1];
  top_ = shape[2];
  coefficient_ = file_.at("coefficient").values<float>();
  sentence_ = file_.at("sentence").values<std::int64_t>();
  position_ = file_.at("position").values<std::int32_t>();
  sentence_index_ = file_.at("sentence_index").values<std::int64_t>();
  sentence_offsets_ = file_.at("sentence_offsets").values<std::int64_t>();
  sentence_tokens_ = file_.at("sentence_tokens").values<TokenId>();
  vocabulary_offsets_ = file_.at("vocabulary_offsets").values<std::int64_t>();
  vocabulary_bytes_ = file_.at("vocabulary_bytes").values<std::uint8_t>();
  if (sentence_offsets_.size() != sentence_index_.size() + 1 || !std::ranges::is_sorted(sentence_index_)) {
    fail(ErrorCode::store_invalid, path.string(), ": sentence_index and sentence_offsets do not fit each other");
  }
  check_offsets("sentence_offsets", sentence_offsets_, sentence_tokens_.size());
  check_offsets("vocabulary_offsets", vocabulary_offsets_, vocabulary_bytes_.size());
  for (std::size_t i = 0; i < sentence_.size(); i += top_) n_keys_never_fired_ += sentence_[i] == -1 ? 1 : 0;
}

void TriggerStore::check_offsets(std::string_view name, std::span<const std::int64_t> offsets, std::size_t n_elements) const {
  const bool good = !offsets.empty() && offsets.front() == 0 && offsets.back() == static_cast<std::int64_t>(n_elements) &&
                    std::ranges::is_sorted(offsets);
  if (!good) fail(ErrorCode::store_invalid, path().string(), ": ", name, ": expected offsets rising from 0 to ", n_elements);
}

/// Where a key's examples begin in the three arrays.
std::size_t TriggerStore::first_place(std::size_t layer, std::size_t unit) const {
  if (layer >= n_layers_) {
    fail(ErrorCode::layer_out_of_range, path().string(), ": layer ", layer, ": there are layers 0 to ", n_layers_ - 1);
  }
  if (unit >= d_memory_) {
    fail(ErrorCode::unit_out_of_range, path().string(), ": unit ", unit, ": there are units 0 to ", d_memory_ - 1);
  }
  return (layer * d_memory_ + unit) * top_;
}

std::size_t TriggerStore::n_examples(std::size_t layer, std::size_t unit) const {
  const std::size_t first = first_place(layer, unit);
  const KeyPlaces key{coefficient_.subspan(first, top_), sentence_.subspan(first, top_), position_.subspan(first, top_)};
  check_places(key, info_.smallest, path(), layer, unit);
  return static_cast<std::size_t>(std::ranges::find(key.sentence, std::int64_t{-1}) - key.sentence.begin());
}

TriggerStore::Example TriggerStore::example(std::size_t layer, std::size_t unit, std::size_t i) const {
  const std::size_t at = first_place(layer, unit) + i;
  const auto tokens = sentence_tokens(sentence_[at]);
  const auto position = static_cast<std::size_t>(position_[at]);
  if (position >= tokens.size()) {
    fail(ErrorCode::store_invalid, path().string(), ": layer ", layer, ", unit ", unit, ": position ", position_[at],
         " of sentence ", sentence_[at], ", which has ", tokens.size(), " tokens");
  }
  const std::size_t length = position + 1;
  return {.coefficient = coefficient_[at],
          .sentence = sentence_[at],
          .prefix = tokens.first(length),
          .tokens = tokens,
          .next = length < tokens.size() ? std::optional(tokens[length]) : std::nullopt};
}

std::vector<TriggerStore::Example> TriggerStore::examples(std::size_t layer, std::size_t unit, std::size_t max) const {
  std::vector<Example> examples;
  const std::size_t n = std::min(max, n_examples(layer, unit));
  examples.reserve(n);
  for (std::size_t i = 0; i < n; ++i) examples.push_back(example(layer, unit, i));
  return examples;
}

std::span<const TokenId> TriggerStore::sentence_tokens(std::int64_t sentence) const {
  const auto found = std::ranges::lower_bound(sentence_index_, sentence);
  if (found == sentence_index_.end() || *found != sentence) {
    fail(ErrorCode::store_invalid, path().string(), ": sentence ", sentence, " is not among the sentences of the store");
  }
  const auto i = static_cast<std::size_t>(found - sentence_index_.begin());
  const auto begin = static_cast<std::size_t>(sentence_offsets_[i]);
  const auto tokens = sentence_tokens_.subspan(begin, static_cast<std::size_t>(sentence_offsets_[i + 1]) - begin);
  for (const TokenId token : tokens) {
    if (token >= 0 && static_cast<std::size_t>(token) < vocab_size()) continue;
    fail(ErrorCode::store_invalid, path().string(), ": sentence ", sentence, ": expected token ids of a vocabulary of ",
         vocab_size(), ", found ", token);
  }
  return tokens;
}

std::string TriggerStore::text_before_trigger(const Example& example, std::size_t max_tokens) const {
  const auto before = example.prefix.first(example.prefix.size() - 1);
  return before.size() > max_tokens ? "\u2026 " + bytes(before.last(max_tokens)) : bytes(before);
}

std::string TriggerStore::bytes(std::span<const TokenId> tokens) const {
  std::string bytes;
  for (const TokenId token : tokens) bytes += token_bytes(token);
  return bytes;
}

std::string_view TriggerStore::token_bytes(TokenId id) const noexcept {
  if (id < 0 || static_cast<std::size_t>(id) >= vocab_size()) return {};
  const auto begin = static_cast<std::size_t>(vocabulary_offsets_[static_cast<std::size_t>(id)]);
  const auto end = static_cast<std::size_t>(vocabulary_offsets_[static_cast<std::size_t>(id) + 1]);
  return {reinterpret_cast<const char*>(vocabulary_bytes_.data()) + begin, end - begin};
}

Vocabulary TriggerStore::vocabulary() const {
  Vocabulary vocabulary;
  vocabulary.offsets.assign(vocabulary_offsets_.begin(), vocabulary_offsets_.end());
  vocabulary.bytes.assign(reinterpret_cast<const char*>(vocabulary_bytes_.data()), vocabulary_bytes_.size());
  return vocabulary;
}

}  // namespace ffmem::tools
