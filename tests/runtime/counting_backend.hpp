// A backend that counts what is asked of the one behind it.
#pragma once

#include <atomic>

#include "ops/cpu/cpu_backend.hpp"

namespace ffmem {

class CountingBackend final : public Backend {
 public:
  using Backend::matmul;

  std::string description() const override { return inner_->description(); }
  std::unique_ptr<const PreparedMatrix> prepare(const WeightMatrix& w, WeightFormat format, Inputs inputs) const override {
    ++n_prepared;
    return inner_->prepare(w, format, inputs);
  }
  void matmul(ConstMatrixView x, std::span<const Product> products) const override {
    n_products += products.size();
    inner_->matmul(x, products);
  }
  void gather_rows(const WeightMatrix& table, std::span<const TokenId> ids, MatrixView out) const override {
    inner_->gather_rows(table, ids, out);
  }
  void layer_norm(ConstMatrixView x, const float* weight, const float* bias, float epsilon, MatrixView y) const override {
    inner_->layer_norm(x, weight, bias, epsilon, y);
  }
  void rms_norm(ConstMatrixView x, const float* weight, float epsilon, std::size_t group, MatrixView y) const override {
    inner_->rms_norm(x, weight, epsilon, group, y);
  }
  void activate(Activation activation, MatrixView x) const override { inner_->activate(activation, x); }
  void add(MatrixView x, ConstMatrixView y) const override { inner_->add(x, y); }
  void multiply(MatrixView x, ConstMatrixView y) const override { inner_->multiply(x, y); }
  void scale(MatrixView x, float factor) const override { inner_->scale(x, factor); }
  void softcap(MatrixView x, float cap) const override { inner_->softcap(x, cap); }
  void rotary(MatrixView x, std::size_t head_dim, std::span<const std::uint32_t> positions,
              const RotaryTable& table) const override {
    inner_->rotary(x, head_dim, positions, table);
  }
  void append_kv(const AttentionShape& shape, ConstMatrixView k, ConstMatrixView v,
                 std::span<const SequenceRows> sequences) const override {
    inner_->append_kv(shape, k, v, sequences);
  }
  void attention(const AttentionShape& shape, ConstMatrixView q, std::span<const SequenceRows> sequences,
                 MatrixView out) const override {
    ++n_attentions;
    inner_->attention(shape, q, sequences, out);
  }
  void log_sum_exp(ConstMatrixView x, float* out, float* largest) const override { inner_->log_sum_exp(x, out, largest); }
  void top_k(ConstMatrixView x, std::size_t k, std::uint32_t* indices, float* values, std::size_t first,
             const float* largest) const override {
    inner_->top_k(x, k, indices, values, first, largest);
  }
  void keep_larger(const float* x, std::int32_t label, std::size_t n, float* largest, std::int32_t* labels) const override {
    inner_->keep_larger(x, label, n, largest, labels);
  }
  std::size_t find_above(const float* x, const float* threshold, std::size_t n, std::uint32_t* indices) const override {
    return inner_->find_above(x, threshold, n, indices);
  }
  void softmax_change(const SoftmaxTerms& terms, SoftmaxChange& change) const override {
    inner_->softmax_change(terms, change);
  }

  mutable std::atomic<std::size_t> n_prepared = 0;  // matrices
  mutable std::atomic<std::size_t> n_products = 0;  // of all matmuls
  mutable std::atomic<std::size_t> n_attentions = 0;

 private:
  std::shared_ptr<const Backend> inner_ = make_cpu_backend();
};

}  // namespace ffmem
