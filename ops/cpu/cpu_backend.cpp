#include "ops/cpu/cpu_backend.hpp"

#include <omp.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <optional>

#include "ops/cpu/cpu_attention.hpp"
#include "ops/cpu/cpu_matmul.hpp"
#include "ops/cpu/dispatch.hpp"
#include "ops/cpu/input_rows.hpp"
#include "ops/cpu/onednn_matmul.hpp"
#include "ops/cpu/packed_matrix.hpp"
#include "ops/cpu/top_k_row.hpp"
#include "ops/f32_matrix.hpp"
#include "ops/parallel.hpp"
#include "ops/threads.hpp"

namespace ffmem {
namespace {

// An element of exp, tanh or erf costs about so many multiply-adds.
constexpr std::size_t kFunctionWork = 16;

// log_sum_exp of a row whose largest number is infinite: the sum would hold inf - inf.
float infinite_log_sum(std::span<const float> row, float most) noexcept {
  return std::ranges::any_of(row, [](float x) { return std::isnan(x); }) ? std::nanf("") : most;
}

class CpuBackend final : public Backend {
 public:
  explicit CpuBackend(const KernelTable& kernels) : kernels_(kernels) {
    if (kernels.by_onednn) onednn_ = std::make_unique<OneDnnMatmul>();
  }

  std::string description() const override {
    return std::string("cpu (") + kernels_.isa + (onednn_ ? ", " + onednn_version() : "") + ")";
  }

  std::unique_ptr<const PreparedMatrix> prepare(const WeightMatrix& w, WeightFormat format, Inputs inputs) const override {
    if (format == WeightFormat::f32 && inputs == Inputs::sparse) return std::make_unique<InputRows>(w);
    // For oneDNN bf16 weights would take twice their memory.
    if (onednn_ && format == WeightFormat::f32 && w.dtype != DType::bf16) {
      auto matrix = std::make_unique<F32Matrix>(w);
      if (onednn_->is_invariant(*matrix)) return matrix;
    }
    return std::make_unique<PackedMatrix>(w, format);
  }

  void matmul(ConstMatrixView x, std::span<const Product> products) const override {
    while (!products.empty()) {
      const std::size_t n = count_together(x, products);
      if (n != 0) {
        cpu_matmul(kernels_, x, products.first(n));
      } else {
        multiply_whole(x, products.front());
      }
      products = products.subspan(std::max(n, std::size_t{1}));
    }
  }

  void gather_rows(const WeightMatrix& table, std::span<const TokenId> ids, MatrixView out) const override {
    assert(ids.size() == out.rows && table.cols == out.cols);
    parallel_for(ids.size(), out.cols, [&](std::size_t t) {
      assert(ids[t] >= 0 && static_cast<std::size_t>(ids[t]) < table.rows);
      read_row(table, static_cast<std::size_t>(ids[t]), out.row_data(t));
    });
  }

  void layer_norm(ConstMatrixView x, const float* weight, const float* bias, float epsilon, MatrixView y) const override {
    assert(x.rows == y.rows && x.cols == y.cols);
    parallel_for(x.rows, 3 * x.cols,
                 [&](std::size_t t) { kernels_.layer_norm(x.row_data(t), x.cols, weight, bias, epsilon, y.row_data(t)); });
  }

  void rms_norm(ConstMatrixView x, const float* weight, float epsilon, std::size_t group, MatrixView y) const override {
    assert(x.rows == y.rows && x.cols == y.cols && group != 0 && x.cols % group == 0);
    parallel_for(x.rows, 2 * x.cols, [&](std::size_t t) {
      for (std::size_t i = 0; i < x.cols; i += group)
        kernels_.rms_norm(x.row_data(t) + i, group, weight, epsilon, y.row_data(t) + i);
    });
  }

  void activate(Activation activation, MatrixView x) const override {
    if (activation == Activation::linear) return;
    for_each_row(x, kFunctionWork, [&](float* row) { kernels_.activate(activation, row, x.cols); });
  }

  void add(MatrixView x, ConstMatrixView y) const override {
    assert(x.rows == y.rows && x.cols == y.cols);
    parallel_for(x.rows, x.cols, [&](std::size_t t) { kernels_.add(x.row_data(t), y.row_data(t), x.cols); });
  }

  void multiply(MatrixView x, ConstMatrixView y) const override {
    assert(x.rows == y.rows && x.cols == y.cols);
    parallel_for(x.rows, x.cols, [&](std::size_t t) { kernels_.multiply(x.row_data(t), y.row_data(t), x.cols); });
  }

  void scale(MatrixView x, float factor) const override {
    for_each_row(x, 1, [&](float* row) { kernels_.scale(row, x.cols, factor); });
  }

  void softcap(MatrixView x, float cap) const override {
    for_each_row(x, kFunctionWork, [&](float* row) { kernels_.softcap(row, x.cols, cap); });
  }

  void rotary(MatrixView x, std::size_t head_dim, std::span<const std::uint32_t> positions,
              const RotaryTable& table) const override {
    assert(positions.size() == x.rows && table.rotary_dim <= head_dim && x.cols % head_dim == 0);
    const std::size_t half = table.rotary_dim / 2;
    const auto rotate = table.layout == RotaryLayout::halves ? kernels_.rotate_halves : kernels_.rotate_pairs;
    parallel_for(x.rows, 2 * x.cols, [&](std::size_t t) {
      assert(positions[t] < table.n_positions);
      const std::size_t entry = positions[t] * half;
      for (std::size_t i = 0; i < x.cols; i += head_dim) rotate(x.row_data(t) + i, table.cos + entry, table.sin + entry, half);
    });
  }

  void append_kv(const AttentionShape& shape, ConstMatrixView k, ConstMatrixView v,
                 std::span<const SequenceRows> sequences) const override {
    cpu_append_kv(kernels_, shape, k, v, sequences);
  }

  void attention(const AttentionShape& shape, ConstMatrixView q, std::span<const SequenceRows> sequences,
                 MatrixView out) const override {
    cpu_attention(kernels_, shape, q, sequences, out);
  }

  void log_sum_exp(ConstMatrixView x, float* out, float* largest) const override {
    parallel_for(x.rows, kFunctionWork * x.cols, [&](std::size_t t) {
      float most = 0;
      double sum = 0;
      kernels_.exp_sum(x.row_data(t), x.cols, &most, &sum);
      out[t] = std::isinf(most) ? infinite_log_sum(x.row(t), most) : static_cast<float>(most + std::log(sum));
      if (largest != nullptr) largest[t] = most;
    });
  }

  void top_k(ConstMatrixView x, std::size_t k, std::uint32_t* indices, float* values, std::size_t first,
             const float* largest) const override {
    if (k == 0) return;
    // Allocated here, because nothing may throw inside a parallel region.
    const std::size_t room = top_k_room(k);
    std::vector<RowElement> candidates(static_cast<std::size_t>(available_threads()) * room);
    parallel_for(x.rows, x.cols, [&](std::size_t t) {
      if (largest != nullptr && first >= k && largest[t] <= values[t * k + k - 1]) return;
      const auto thread = static_cast<std::size_t>(omp_get_thread_num());
      top_k_row(kernels_, x.row(t), k, first, std::span(candidates).subspan(thread * room, room), indices + t * k,
                values + t * k);
    });
  }

  void keep_larger(const float* x, std::int32_t label, std::size_t n, float* largest, std::int32_t* labels) const override {
    kernels_.keep_larger(x, label, n, largest, labels);
  }

  std::size_t find_above(const float* x, const float* threshold, std::size_t n, std::uint32_t* indices) const override {
    return kernels_.find_above(x, threshold, n, indices);
  }

  void softmax_change(const SoftmaxTerms& terms, SoftmaxChange& change) const override {
    kernels_.softmax_change(terms, &change);
  }

 private:
  // How many of the first products one kernel does a task at a time; 0: the first goes another way.
  std::size_t count_together(ConstMatrixView x, std::span<const Product> products) const {
    const auto kernel_of = [&](const Product& product) -> std::optional<MatmulKernel> {
      assert(x.cols == product.w.cols() && product.y.cols == product.w.rows() && x.rows == product.y.rows);
      const auto* const matrix = dynamic_cast<const CpuMatrix*>(&product.w);
      if (matrix == nullptr || (x.rows <= kMaxSparseRows && dynamic_cast<const InputRows*>(matrix) != nullptr)) return {};
      return matrix->kernel(kernels_.matmul, x.rows);
    };
    const std::optional<MatmulKernel> first = kernel_of(products.front());
    std::size_t n = 0;
    while (first && n < products.size() && kernel_of(products[n]) == first) ++n;
    return n;
  }

  void multiply_whole(ConstMatrixView x, const Product& product) const {
    if (const auto* by_onednn = dynamic_cast<const F32Matrix*>(&product.w)) {
      onednn_->run(x, *by_onednn, product.bias, product.y);
    } else {
      dynamic_cast<const InputRows&>(product.w).multiply_few(kernels_.matmul, x, product.bias, product.y);
    }
    activate(product.then.activation, product.y);
    if (product.then.sum.data != nullptr) add(product.then.sum, product.y);
  }

  template <class F>
  static void for_each_row(MatrixView x, std::size_t work_per_element, F f) {
    parallel_for(x.rows, work_per_element * x.cols, [&](std::size_t t) { f(x.row_data(t)); });
  }

  const KernelTable& kernels_;
  std::unique_ptr<const OneDnnMatmul> onednn_;
};

}  // namespace

std::shared_ptr<const Backend> make_cpu_backend(const std::string& isa) {
  return std::make_shared<CpuBackend>(choose_kernels(isa));
}

}  // namespace ffmem
