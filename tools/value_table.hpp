// The distributions that the values, or their negatives, induce over the vocabulary, p = softmax(v . E) (paper section 4):
// each value's top tokens, and where given tokens stand in it.
//
// The file is a safetensors file: `tokens` i32 and `probabilities` f32 [layers, d_m, k], best first, `max_probability` f32
// [layers, d_m]; where tokens were asked for, `asked_tokens` i32 [n], `asked_ranks` i32 and `asked_probabilities` f32
// [layers, d_m, n], which read_value_table() leaves out; metadata: format "ffmem-values", model and its fingerprint, weights
// (their mode), lens, negated (true: of -v), first_layer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "ops/dtype.hpp"
#include "runtime/model.hpp"
#include "runtime/output_head.hpp"

namespace ffmem::tools {

/// A value v as a positive coefficient adds it, or -v, as a negative one does.
enum class ValueSign { plus, minus };

/// How the layer adds a value at its key's trigger examples: minus where these have the smallest coefficients.
constexpr ValueSign example_sign(bool smallest) noexcept { return smallest ? ValueSign::minus : ValueSign::plus; }

struct ValueTable {
  std::size_t first_layer = 0;
  std::size_t n_layers = 0;  // from first_layer on
  std::size_t d_memory = 0;
  std::size_t k = 0;
  Lens lens = Lens::raw;
  ValueSign sign = ValueSign::plus;
  std::string model{};  // folder, as it was given
  std::string model_fingerprint{};
  std::string weights{};               // the model's weight mode
  std::vector<TokenId> tokens{};       // [n_layers, d_m, k]
  std::vector<float> probabilities{};  // [n_layers, d_m, k]

  std::vector<TokenId> asked{};              // [n] tokens whose place in every value is wanted
  std::vector<std::int32_t> asked_ranks{};   // [n_layers, d_m, n], from 0
  std::vector<float> asked_probabilities{};  // [n_layers, d_m, n]
};

/// Values [first_unit, first_unit + n_units) of a layer. An adaptive softmax scores them bare, not times a coefficient. Working
/// memory as OutputHead::top_tokens. Throws layer_out_of_range, unit_out_of_range, and argument_invalid where what a value
/// gives are no numbers.
TopTokens value_top_tokens(const Model& model, std::size_t layer, std::size_t first_unit, std::size_t n_units, std::size_t k,
                           Lens lens, ValueSign sign);

/// Ranks and log-probabilities of tokens in values `units` of a layer; a query's row is a place in `units`. Scored, ordered and
/// thrown as above; working memory as OutputHead::ranks_of.
TargetRanks value_ranks(const Model& model, std::size_t layer, std::span<const std::size_t> units,
                        std::span<const TargetQuery> queries, Lens lens, ValueSign sign);

/// Fills what is computed of `table`, whose sizes, lens, sign and asked tokens say what is wanted, in blocks of values. After
/// each block done(values so far); it may throw. Throws argument_invalid as above.
void compute_values(const Model& model, ValueTable& table, const std::function<void(std::size_t)>& done);

/// Throws file_unwritable.
void write_value_table(const std::filesystem::path& path, const ValueTable& table);

/// Throws what SafetensorsFile throws; tensor_missing, tensor_dtype, store_invalid where the file is no value table: also for a
/// token below 0 or a probability that is none.
ValueTable read_value_table(const std::filesystem::path& path);

}  // namespace ffmem::tools
