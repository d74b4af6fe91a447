#include "loaders/weight_source.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <utility>

#include "loaders/resident_pages.hpp"
#include "ops/error.hpp"

namespace ffmem {
namespace {

constexpr std::array<DType, 4> kFloating{DType::f32, DType::bf16, DType::f16, DType::f64};

WeightMatrix view(const StoredTensor& tensor) {
  return {.data = tensor.data,
          .dtype = tensor.dtype,
          .rows = tensor.shape[0],
          .cols = tensor.shape[1],
          .row_stride = tensor.shape[1],
          .col_stride = 1};
}

/// Rows of `all` in the given order as a matrix and bias of their own: a copy.
LinearWeights pick_rows(const LinearWeights& all, std::span<const std::size_t> rows) {
  const WeightMatrix& from = all.matrix;
  assert(from.col_stride == 1);
  const std::size_t row_bytes = from.cols * element_bytes(from.dtype);
  auto copy = std::make_shared<std::vector<std::byte>>(rows.size() * row_bytes);
  LinearWeights picked;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::memcpy(copy->data() + i * row_bytes, from.row_slice(rows[i], 1).data, row_bytes);
    if (!all.bias.empty()) picked.bias.push_back(all.bias[rows[i]]);
  }
  picked.matrix = from;
  picked.matrix.data = copy->data();
  picked.matrix.rows = rows.size();
  picked.matrix.row_stride = from.cols;
  picked.copy = std::move(copy);
  return picked;
}

}  // namespace

LinearWeights slice_rows(const LinearWeights& all, std::size_t begin, std::size_t n) {
  LinearWeights part;
  part.matrix = all.matrix.row_slice(begin, n);
  if (!all.bias.empty()) part.bias.assign(all.bias.data() + begin, all.bias.data() + begin + n);
  return part;
}

WeightSource::WeightSource(const Checkpoint& checkpoint, std::initializer_list<std::string_view> prefixes,
                           std::string_view probe)
    : checkpoint_(checkpoint), prefix_(*prefixes.begin()), bytes_by_dtype_(kFloating.size(), 0) {
  for (const std::string_view prefix : prefixes) {
    if (checkpoint.find(std::string(prefix) + std::string(probe)) == nullptr) continue;
    prefix_ = prefix;
    return;
  }
}

bool WeightSource::has(std::string_view name) const { return checkpoint_.find(full(name)) != nullptr; }

const StoredTensor& WeightSource::take(const std::string& full_name, const std::vector<std::size_t>& shape) {
  const StoredTensor& tensor = checkpoint_.at(full_name);
  const std::string where = concat(tensor.file->string(), ": ", full_name);
  if (tensor.shape != shape) {
    fail(ErrorCode::tensor_shape, where, ": expected shape ", shape_text(shape), ", found ", shape_text(tensor.shape));
  }
  const auto dtype = std::ranges::find(kFloating, tensor.dtype);
  if (dtype == kFloating.end()) {
    fail(ErrorCode::tensor_dtype, where, ": expected F32, BF16, F16 or F64, found ", name(tensor.dtype));
  }
  if (taken_.insert(full_name).second) {
    n_parameters_ += tensor.n_elements;
    bytes_by_dtype_[static_cast<std::size_t>(dtype - kFloating.begin())] += tensor.n_bytes;
  }
  return tensor;
}

WeightMatrix WeightSource::matrix(std::string_view name, std::size_t rows, std::size_t cols) {
  return view(take(full(name), {rows, cols}));
}

WeightMatrix WeightSource::embedding(std::string_view name, std::size_t rows, std::size_t cols, std::string_view tied_head) {
  const std::string head = concat(tied_head, ".weight");
  if (!has(name) && !tied_head.empty() && checkpoint_.find(head) != nullptr) return view(take(head, {rows, cols}));
  return matrix(name, rows, cols);
}

std::vector<float> WeightSource::vector(std::string_view name, std::size_t size) { return vector_at(full(name), size); }

std::vector<float> WeightSource::vector_at(const std::string& full_name, std::size_t size) {
  const StoredTensor& tensor = take(full_name, {size});
  std::vector<float> values(size);
  convert_to_f32(tensor.data, tensor.dtype, size, values.data());
  return values;
}

LinearWeights WeightSource::linear_at(const std::string& full_name, std::size_t out, std::size_t in, Bias bias, bool conv1d) {
  LinearWeights linear;
  const std::string weight = full_name + ".weight";
  linear.matrix = conv1d ? view(take(weight, {in, out})).transposed() : view(take(weight, {out, in}));
  if (bias == Bias::required) linear.bias = vector_at(full_name + ".bias", out);
  return linear;
}

LinearWeights WeightSource::linear(const std::string& name, std::size_t out, std::size_t in, Bias bias) {
  return linear_at(full(name), out, in, bias, false);
}

LinearWeights WeightSource::conv1d(const std::string& name, std::size_t out, std::size_t in) {
  return linear_at(full(name), out, in, Bias::required, true);
}

NormWeights WeightSource::norm(const std::string& name, std::size_t size, Bias bias) {
  NormWeights norm{.present = true, .weight = vector(name + ".weight", size), .bias = {}};
  if (bias == Bias::required) norm.bias = vector(name + ".bias", size);
  return norm;
}

void WeightSource::grouped_attention(const std::string& name, const ModelConfig& c, Bias bias, LayerWeights& layer) {
  const std::size_t queries = c.n_heads / c.n_kv_heads;
  const std::size_t group = (queries + 2) * c.head_dim;
  const LinearWeights all = linear(name, c.n_kv_heads * group, c.d_model, bias);
  const auto pick = [&](std::size_t first_head, std::size_t n_heads) {
    if (c.n_kv_heads == 1) return slice_rows(all, first_head * c.head_dim, n_heads * c.head_dim);
    std::vector<std::size_t> rows;
    for (std::size_t g = 0; g < c.n_kv_heads; ++g) {
      for (std::size_t i = 0; i < n_heads * c.head_dim; ++i) rows.push_back(g * group + first_head * c.head_dim + i);
    }
    return pick_rows(all, rows);
  };
  layer.query = pick(0, queries);
  layer.key = pick(queries, 1);
  layer.value = pick(queries + 1, 1);
  if (c.n_kv_heads > 1) release_pages(checkpoint_, all.matrix);
}

LinearWeights WeightSource::head(const std::string& name, bool tied, const WeightMatrix& embedding, std::size_t rows,
                                 std::size_t cols, Bias bias) {
  if (!tied || checkpoint_.find(name + ".weight") != nullptr) return linear_at(name, rows, cols, bias, false);
  LinearWeights head{.matrix = embedding, .bias = {}};
  if (bias == Bias::required) head.bias = vector_at(name + ".bias", rows);
  return head;
}

void WeightSource::refuse_further_layers(std::size_t n_layers) const {
  const std::string last = concat('.', n_layers - 1, '.');
  for (const std::string& name : taken_) {
    const std::size_t at = name.find(last);
    if (at == std::string::npos) continue;
    const std::string further = std::string(name).replace(at, last.size(), concat('.', n_layers, '.'));
    const StoredTensor* tensor = taken_.contains(further) ? nullptr : checkpoint_.find(further);
    if (tensor == nullptr) continue;
    fail(ErrorCode::config_invalid, tensor->file->string(), ": ", further, ": expected the layers 0 to ", n_layers - 1,
         " of config.json, found one more");
  }
}

void WeightSource::finish(ModelWeights& weights) {
  refuse_further_layers(weights.layers.size());
  std::vector<std::pair<std::size_t, DType>> used;
  for (std::size_t i = 0; i < kFloating.size(); ++i) {
    if (bytes_by_dtype_[i] > 0) used.emplace_back(bytes_by_dtype_[i], kFloating[i]);
  }
  std::ranges::stable_sort(used, [](const auto& a, const auto& b) { return a.first > b.first; });
  weights.stored_dtypes.clear();
  for (const auto& [bytes, dtype] : used) {
    weights.stored_dtypes.append(weights.stored_dtypes.empty() ? "" : " + ").append(name(dtype));
  }
  weights.n_parameters = n_parameters_;
}

}  // namespace ffmem
