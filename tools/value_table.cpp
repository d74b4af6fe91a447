#include "tools/value_table.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <numeric>

#include "loaders/safetensors.hpp"
#include "loaders/safetensors_writer.hpp"
#include "ops/aligned_buffer.hpp"
#include "ops/error.hpp"
#include "tools/lens.hpp"
#include "tools/metadata_fields.hpp"
#include "tools/number_check.hpp"

namespace ffmem::tools {
namespace {

constexpr const char* kFormat = "ffmem-values";
constexpr const char* kVersion = "3";

/// Values as the head's input.
AlignedBuffer hidden_of(const Model& model, std::size_t layer, std::span<const std::size_t> units, Lens lens, ValueSign sign) {
  const AlignedBuffer values(units.size() * model.config().d_model);
  const MatrixView rows = values.matrix(units.size(), model.config().d_model);
  for (std::size_t i = 0; i < units.size(); ++i) {
    model.value_row(layer, units[i], rows.row_data(i));
    if (sign == ValueSign::minus) std::ranges::transform(rows.row(i), rows.row_data(i), std::negate());
  }
  AlignedBuffer hidden(units.size() * model.head().hidden_width());
  model.head().to_hidden(rows, lens, hidden.matrix(units.size(), model.head().hidden_width()));
  return hidden;
}

std::vector<std::size_t> units_between(std::size_t begin, std::size_t end) {
  std::vector<std::size_t> units(end - begin);
  std::iota(units.begin(), units.end(), begin);
  return units;
}

std::string probabilities_of(std::size_t layer, std::size_t unit) {
  return concat("the probabilities that value ", unit, " of layer ", layer, " gives");
}

/// Of a file that another program may have written.
void check_elements(const ValueTable& table, const std::filesystem::path& path) {
  for (const TokenId token : table.tokens) {
    if (token < 0) fail(ErrorCode::store_invalid, path.string(), ": tokens: expected ids from 0 on, found ", token);
  }
  for (const float p : table.probabilities) {
    if (!(p >= 0.0F)) fail(ErrorCode::store_invalid, path.string(), ": probabilities: expected numbers from 0 on, found ", p);
  }
}

/// Appends the places of the asked tokens in values `units` of a layer.
void add_asked(const Model& model, std::size_t layer, std::span<const std::size_t> units, ValueTable& table) {
  if (table.asked.empty()) return;
  std::vector<TargetQuery> queries;
  for (std::size_t i = 0; i < units.size(); ++i) {
    for (const TokenId token : table.asked) queries.push_back({.row = i, .token = token});
  }
  const TargetRanks found = value_ranks(model, layer, units, queries, table.lens, table.sign);
  table.asked_ranks.insert(table.asked_ranks.end(), found.ranks.begin(), found.ranks.end());
  for (const float log_p : found.log_probabilities) table.asked_probabilities.push_back(std::exp(log_p));
}

}  // namespace

TopTokens value_top_tokens(const Model& model, std::size_t layer, std::size_t first_unit, std::size_t n_units, std::size_t k,
                           Lens lens, ValueSign sign) {
  const AlignedBuffer hidden = hidden_of(model, layer, units_between(first_unit, first_unit + n_units), lens, sign);
  TopTokens top = model.head().top_tokens(hidden.matrix(n_units, model.head().hidden_width()), k);
  check_numbers(top.log_probabilities, [&](std::size_t i) { return probabilities_of(layer, first_unit + i / top.k); });
  return top;
}

TargetRanks value_ranks(const Model& model, std::size_t layer, std::span<const std::size_t> units,
                        std::span<const TargetQuery> queries, Lens lens, ValueSign sign) {
  const AlignedBuffer hidden = hidden_of(model, layer, units, lens, sign);
  TargetRanks found = model.head().ranks_of(hidden.matrix(units.size(), model.head().hidden_width()), queries);
  check_numbers(found.log_probabilities, [&](std::size_t q) { return probabilities_of(layer, units[queries[q].row]); });
  return found;
}

void compute_values(const Model& model, ValueTable& table, const std::function<void(std::size_t)>& done) {
  table.k = std::min(table.k, model.head().vocab_size());
  table.tokens.clear();
  table.probabilities.clear();
  table.asked_ranks.clear();
  table.asked_probabilities.clear();
  table.tokens.reserve(table.n_layers * table.d_memory * table.k);
  table.probabilities.reserve(table.n_layers * table.d_memory * table.k);
  for (std::size_t layer = table.first_layer; layer < table.first_layer + table.n_layers; ++layer) {
    for (std::size_t unit = 0, n = 0; unit < table.d_memory; unit += n) {
      n = std::min(OutputHead::kRowBlock, table.d_memory - unit);
      const TopTokens top = value_top_tokens(model, layer, unit, n, table.k, table.lens, table.sign);
      table.tokens.insert(table.tokens.end(), top.tokens.begin(), top.tokens.end());
      std::ranges::transform(top.log_probabilities, std::back_inserter(table.probabilities),
                             [](float log_p) { return std::exp(log_p); });
      add_asked(model, layer, units_between(unit, unit + n), table);
      done(table.tokens.size() / table.k);
    }
  }
}

void write_value_table(const std::filesystem::path& path, const ValueTable& table) {
  std::vector<float> best;
  for (std::size_t i = 0; i < table.probabilities.size(); i += table.k) best.push_back(table.probabilities[i]);
  const std::map<std::string, std::string> metadata{{"format", kFormat},
                                                    {"version", kVersion},
                                                    {"model", table.model},
                                                    {"model_fingerprint", table.model_fingerprint},
                                                    {"weights", table.weights},
                                                    {"lens", std::string(lens_name(table.lens))},
                                                    {"negated", table.sign == ValueSign::minus ? "true" : "false"},
                                                    {"first_layer", std::to_string(table.first_layer)}};
  const std::size_t n_asked = table.asked.size();
  std::vector<TensorToWrite> tensors{
      {"tokens", DType::i32, {table.n_layers, table.d_memory, table.k}, table.tokens.data()},
      {"probabilities", DType::f32, {table.n_layers, table.d_memory, table.k}, table.probabilities.data()},
      {"max_probability", DType::f32, {table.n_layers, table.d_memory}, best.data()}};
  if (n_asked > 0) {
    const std::vector<std::size_t> shape{table.n_layers, table.d_memory, n_asked};
    tensors.push_back({"asked_tokens", DType::i32, {n_asked}, table.asked.data()});
    tensors.push_back({"asked_ranks", DType::i32, shape, table.asked_ranks.data()});
    tensors.push_back({"asked_probabilities", DType::f32, shape, table.asked_probabilities.data()});
  }
  write_safetensors(path, tensors, metadata);
}

ValueTable read_value_table(const std::filesystem::path& path) {
  const SafetensorsFile file(path);
  const MetadataFields fields(file);
  if (fields.text("format") != kFormat || fields.text("version") != kVersion) {
    fail(ErrorCode::store_invalid, path.string(), ": expected format ", kFormat, ", version ", kVersion, ", found ",
         fields.text("format"), ", version ", fields.text("version"));
  }
  const auto& shape = file.at("tokens").shape;
  if (shape.size() != 3 || shape[2] == 0 || file.at("probabilities").shape != shape) {
    fail(ErrorCode::store_invalid, path.string(), ": tokens and probabilities: expected [layers, memories, k], found ",
         shape_text(shape), " and ", shape_text(file.at("probabilities").shape));
  }
  ValueTable table{.first_layer = fields.whole<std::size_t>("first_layer"),
                   .n_layers = shape[0],
                   .d_memory = shape[1],
                   .k = shape[2],
                   .lens = Lens::raw,
                   .sign = fields.flag("negated") ? ValueSign::minus : ValueSign::plus,
                   .model = fields.text("model"),
                   .model_fingerprint = fields.text("model_fingerprint"),
                   .weights = fields.text("weights"),
                   .tokens = file.at("tokens").copy<TokenId>(),
                   .probabilities = file.at("probabilities").copy<float>()};
  check_elements(table, path);
  try {
    table.lens = lens_from_name(fields.text("lens"));
  } catch (const Error& error) {
    fail(ErrorCode::store_invalid, path.string(), ": metadata: ", error.what());
  }
  return table;
}

}  // namespace ffmem::tools
