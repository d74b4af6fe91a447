#include "tools/experiments/effect_table.hpp"

#include <algorithm>
#include <map>
#include <string_view>
#include <type_traits>
#include <utility>

#include "loaders/safetensors.hpp"
#include "loaders/safetensors_writer.hpp"
#include "tools/experiments/stored_array.hpp"
#include "tools/interrupt.hpp"
#include "tools/lens.hpp"

namespace ffmem::tools {
namespace {

constexpr std::size_t kValueRows = 1024;  // values whose distributions are ranked in one walk

/// The values behind the removals, once for each unit and sign of its coefficient.
struct SignedUnit {
  std::uint32_t unit = 0;
  bool negative = false;
  auto operator<=>(const SignedUnit&) const = default;
};
SignedUnit signed_unit(const Removal& removal) { return {removal.unit, removal.coefficient < 0.0F}; }

/// Queries about one signed unit, each token once.
using Queries = std::map<SignedUnit, std::map<TokenId, std::uint32_t>>;

Queries collect(const EffectTable& table) {
  Queries queries;
  for (const Removal& removal : table.removals) {
    auto& tokens = queries[signed_unit(removal)];
    tokens.emplace(table.prediction[removal.example], 0);
    tokens.emplace(table.layer_prediction[removal.example], 0);
  }
  return queries;
}

void fill_own_views(const Workbench& bench, EffectTable& table) {
  const Model& model = *bench.model();
  const std::size_t d = model.config().d_model;
  Queries queries = collect(table);
  std::map<SignedUnit, TokenId> tops;
  const AlignedBuffer values(kValueRows * d);
  const AlignedBuffer hidden(kValueRows * model.head().hidden_width());
  for (auto begin = queries.begin(); begin != queries.end();) {
    throw_if_interrupted();
    std::size_t n = 0;
    std::vector<TargetQuery> asked;
    auto end = begin;
    for (; end != queries.end() && n < kValueRows; ++end, ++n) {
      const MatrixView row = values.matrix(kValueRows, d).rows_between(n, n + 1);
      model.value_row(table.layer, end->first.unit, row.data);
      if (end->first.negative) model.backend().scale(row, -1.0F);
      for (const auto& [token, rank] : end->second) asked.push_back({n, token});
    }
    const MatrixView rows = hidden.matrix(n, model.head().hidden_width());
    model.head().to_hidden(values.matrix(n, d), bench.options().value_lens, rows);
    const TargetRanks found = model.head().ranks_of(rows, asked);
    const TopTokens top = model.head().top_tokens(rows, 1);
    std::size_t row = 0;
    std::size_t query = 0;
    for (; begin != end; ++begin, ++row) {
      tops[begin->first] = top.tokens[row];
      for (auto& [token, rank] : begin->second) rank = found.ranks[query++];
    }
  }
  for (const Removal& removal : table.removals) {
    const auto& ranks = queries.at(signed_unit(removal));
    table.own_top.push_back(tops.at(signed_unit(removal)));
    table.rank_prediction.push_back(static_cast<std::int32_t>(ranks.at(table.prediction[removal.example])));
    table.rank_layer.push_back(static_cast<std::int32_t>(ranks.at(table.layer_prediction[removal.example])));
  }
}

void compute(const Workbench& bench, EffectTable& table) {
  const Model& model = *bench.model();
  const RemovalInputs inputs = removal_inputs(bench, table.examples, table.layer);
  const std::size_t n = table.examples.size();
  const std::size_t d = model.config().d_model;
  table.prediction = inputs.prediction;
  table.layer_prediction = best_tokens(model, inputs.ffn.matrix(n, d), bench.options().value_lens);
  table.removals = removals_of(inputs, n, model.config().d_memory);
  compute_removals(bench, table.examples, inputs, table.method, table.removals);
  fill_own_views(bench, table);
}

/// The fields of the removals as arrays of their own, [cases]: visit(name, type, vector, member).
template <class Visit>
void for_each_field(Visit&& visit) {
  visit("example", DType::i32, std::vector<std::int32_t>{}, &Removal::example);
  visit("unit", DType::i32, std::vector<std::int32_t>{}, &Removal::unit);
  visit("coefficient", DType::f32, std::vector<float>{}, &Removal::coefficient);
  visit("log_p_change", DType::f32, std::vector<float>{}, &Removal::log_p_change);
  visit("divergence", DType::f32, std::vector<float>{}, &Removal::divergence);
  visit("top_after", DType::i32, std::vector<std::int32_t>{}, &Removal::top_after);
}

/// The other arrays, of tokens and ranks: visit(name, elements, vector).
template <class Table, class Visit>
void for_each_array(Table& table, Visit&& visit) {
  visit("prediction", table.examples.size(), table.prediction);
  visit("layer_prediction", table.examples.size(), table.layer_prediction);
  visit("own_top", table.removals.size(), table.own_top);
  visit("rank_prediction", table.removals.size(), table.rank_prediction);
  visit("rank_layer", table.removals.size(), table.rank_layer);
}

void write(const std::filesystem::path& file, const Origin& metadata, const EffectTable& table) {
  const StoredPrefixes prefixes(table.examples);
  std::vector<TensorToWrite> tensors = prefixes.tensors();
  for_each_array(table, [&](const char* name, std::size_t n, const std::vector<std::int32_t>& values) {
    tensors.push_back({name, DType::i32, {n}, values.data()});
  });
  std::vector<std::vector<std::byte>> fields;
  for_each_field([&](const char* name, DType dtype, auto values, auto member) {
    using T = typename decltype(values)::value_type;
    for (const Removal& removal : table.removals) values.push_back(static_cast<T>(removal.*member));
    const auto bytes = std::as_bytes(std::span(values));
    fields.emplace_back(bytes.begin(), bytes.end());
    tensors.push_back({name, dtype, {values.size()}, fields.back().data()});
  });
  write_safetensors(file, tensors, prefixes.metadata(metadata));
}

/// What the whole numbers of a field are below.
std::size_t end_of(std::string_view field, const EffectTable& table, const Model& model) {
  if (field == "example") return table.examples.size();
  return field == "unit" ? model.config().d_memory : model.head().vocab_size();
}

EffectTable read(const SafetensorsFile& file, const Model& model, EffectTable table) {
  table.examples = StoredPrefixes::read(file, model.head().vocab_size());
  table.removals.resize(file.at("unit").n_elements);
  for_each_array(table, [&](const char* name, std::size_t n, std::vector<std::int32_t>& values) {
    values = stored_array<std::int32_t>(file, name, {n}, 0, model.head().vocab_size());
  });
  for_each_field([&](const char* name, DType, auto values, auto member) {
    using T = typename decltype(values)::value_type;
    if constexpr (std::is_integral_v<T>) {
      values = stored_array<T>(file, name, {table.removals.size()}, 0, end_of(name, table, model));
    } else {
      values = stored_array<T>(file, name, {table.removals.size()});
    }
    for (std::size_t i = 0; i < values.size(); ++i) {
      auto& field = table.removals[i].*member;
      field = static_cast<std::remove_reference_t<decltype(field)>>(values[i]);
    }
  });
  return table;
}

}  // namespace

EffectTable effect_table(Workbench& bench) {
  const ExperimentOptions& options = bench.options();
  EffectTable table;
  table.layer = options.effect_layer.value_or(bench.n_layers() - 1);
  table.method = removal_method(*bench.model(), table.layer);
  Origin origin = bench.sample_origin(options.effect_examples);
  origin.emplace("format", "ffmem-memory-effects-2");
  origin.emplace("layer", std::to_string(table.layer));
  origin.emplace("value_lens", lens_name(options.value_lens));
  const auto make = [&](const std::filesystem::path& file, const Origin& metadata) {
    EffectTable computed{.examples = sample_examples(bench, options.effect_examples, "memory-effects"),
                         .layer = table.layer,
                         .method = table.method};
    compute(bench, computed);
    write(file, metadata, computed);
  };
  return bench.stored("memory-effects", origin, make,
                      [&](const SafetensorsFile& file) { return read(file, *bench.model(), table); });
}

}  // namespace ffmem::tools
