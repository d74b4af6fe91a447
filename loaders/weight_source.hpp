// Takes tensors out of a checkpoint by name, checked: shape, type, presence. Matrices stay in the mapping, vectors are copied.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "loaders/checkpoint.hpp"
#include "loaders/model_config.hpp"
#include "loaders/model_weights.hpp"
#include "loaders/safetensors.hpp"

namespace ffmem {

enum class Bias { none, required };
inline Bias bias_if(bool wanted) { return wanted ? Bias::required : Bias::none; }

/// Rows [begin, begin + n) of `all`, in place.
LinearWeights slice_rows(const LinearWeights& all, std::size_t begin, std::size_t n);

class WeightSource {
 public:
  /// Views `checkpoint`. Names given below are looked up with the first of `prefixes` (alternatives, "" among them where
  /// published files leave it out) under which `probe` exists; if it exists under none, the first is used for error messages.
  WeightSource(const Checkpoint& checkpoint, std::initializer_list<std::string_view> prefixes, std::string_view probe);

  bool has(std::string_view name) const;

  /// Stored [rows, cols], as nn.Linear and embeddings are. Throws tensor_missing, tensor_shape, tensor_dtype.
  WeightMatrix matrix(std::string_view name, std::size_t rows, std::size_t cols);

  /// The same of the token embedding. Where the file lacks it, and a `tied_head` is named, that head's matrix: of tensors that
  /// are one, safetensors' save_model keeps the first name in alphabetical order.
  WeightMatrix embedding(std::string_view name, std::size_t rows, std::size_t cols, std::string_view tied_head);

  std::vector<float> vector(std::string_view name, std::size_t size);

  /// `name`.weight [out, in] and `name`.bias [out].
  LinearWeights linear(const std::string& name, std::size_t out, std::size_t in, Bias bias);

  /// The same with the weight stored [in, out].
  LinearWeights conv1d(const std::string& name, std::size_t out, std::size_t in);

  /// `name`.weight [size] and `name`.bias [size].
  NormWeights norm(const std::string& name, std::size_t size, Bias bias);

  /// Query, key and value out of one matrix `name` whose rows are grouped by key/value head: each group has the queries that
  /// share the head, then its key, then its value. In place for a single group, else copies.
  void grouped_attention(const std::string& name, const ModelConfig& config, Bias bias, LayerWeights& layer);

  /// The output matrix: the file's own `name` where it has one (also if the config says tied, as Transformers does), else the
  /// embedding if `tied`. Throws tensor_missing otherwise. The name is looked up without a prefix; the bias is the file's.
  LinearWeights head(const std::string& name, bool tied, const WeightMatrix& embedding, std::size_t rows, std::size_t cols,
                     Bias bias = Bias::none);

  /// Hands over what was learnt on the way: the number of parameters, the stored types. Throws config_invalid where the file
  /// has a further layer, which would be left out without a word.
  void finish(ModelWeights& weights);

 private:
  void refuse_further_layers(std::size_t n_layers) const;
  const StoredTensor& take(const std::string& full_name, const std::vector<std::size_t>& shape);
  std::string full(std::string_view name) const { return prefix_ + std::string(name); }
  std::vector<float> vector_at(const std::string& full_name, std::size_t size);
  LinearWeights linear_at(const std::string& full_name, std::size_t out, std::size_t in, Bias bias, bool conv1d);

  const Checkpoint& checkpoint_;
  std::string prefix_;
  std::set<std::string, std::less<>> taken_;
  std::vector<std::size_t> bytes_by_dtype_;
  std::size_t n_parameters_ = 0;
};

}  // namespace ffmem
