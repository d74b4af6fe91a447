// The operators a forward pass is made of, as one interface. CpuBackend (ops/cpu) is the fast one; ScalarBackend
// (ops/scalar) is the plain loop that defines each operator and tests the others. A GPU would be a third.
//
// Rules for every operator
// * Activations are float32 rows, [tokens, width]. Row t of the output depends on row t of the input alone (attention: on
//   the same sequence's earlier rows too), with the same bits for any number of rows, threads, or neighbours. A host that has
//   denormals flushed to zero, or rounding changed, must do so before OpenMP starts its threads, which keep what they began
//   with.
// * Shapes are checked by the caller; a violated precondition is a bug (assert), not an Error. Matrices have at least one
//   row and one column; a batch may have no rows.
// * Operators may throw std::bad_alloc, prepare and matmul also backend_failed (a library below refused); what outputs then
//   hold is unspecified. Those that say "one thread" below throw nothing. Each host thread keeps, as long as it lives, the room
//   for the rounded rows of its largest matmul.
// * Operators may use several OpenMP threads (see ops/threads.hpp) and are safe to call from several host threads at once.
// * In-place is allowed where an operator takes a single MatrixView, or says so.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "ops/activation.hpp"
#include "ops/dtype.hpp"
#include "ops/matrix_view.hpp"
#include "ops/softmax_change.hpp"
#include "ops/weight_format.hpp"
#include "ops/weight_matrix.hpp"

namespace ffmem {

/// A weight matrix made ready for a backend's matmul: the checkpoint's bytes in place, or a copy in the order that its kernels
/// read.
class PreparedMatrix {
 public:
  virtual ~PreparedMatrix() = default;
  virtual std::size_t rows() const noexcept = 0;         // outputs
  virtual std::size_t cols() const noexcept = 0;         // inputs
  virtual std::size_t owned_bytes() const noexcept = 0;  // 0 where the checkpoint's mapping is used in place
  virtual WeightFormat format() const noexcept { return WeightFormat::f32; }
};

/// What a matrix will be multiplied with. `sparse`: rows that may be mostly zeros, as the coefficients of a ReLU layer; a
/// backend may then leave the zeros out. The product's bits are the same as for `any` inputs of the same matrix prepared so.
enum class Inputs { any, sparse };

enum class RotaryLayout {
  halves,  // x[k] turns with x[k + r/2] (GPT-NeoX, Llama, ...)
  pairs,   // x[2k] turns with x[2k+1] (GPT-J)
};

/// cos and sin of position * inv_freq[k]: two tables [n_positions, r/2].
struct RotaryTable {
  const float* cos = nullptr;
  const float* sin = nullptr;
  std::size_t n_positions = 0;
  std::size_t rotary_dim = 0;  // r: dimensions of each head that turn; the rest stay
  RotaryLayout layout = RotaryLayout::halves;
};

/// Keys of a cache lie in blocks of this many positions so that one vector holds one component of several keys.
inline constexpr std::size_t kKeyBlock = 16;

/// Where one layer's keys and values of one sequence are cached. Views memory of the Session.
/// keys:   [n_kv_heads][capacity / kKeyBlock][head_dim][kKeyBlock]
/// values: [n_kv_heads][capacity][head_dim]
struct KvCacheView {
  float* keys = nullptr;
  float* values = nullptr;
  std::size_t capacity = 0;  // positions, a multiple of kKeyBlock
};

/// One sequence's share of a ragged batch: rows [first_row, first_row + n_rows) are its positions past .. past + n_rows - 1.
struct SequenceRows {
  std::size_t first_row = 0;
  std::size_t n_rows = 0;
  std::size_t past = 0;  // positions already in the cache
  KvCacheView cache;
};

struct AttentionShape {
  std::size_t n_heads = 0;
  std::size_t n_kv_heads = 0;  // query head h reads key/value head h / (n_heads / n_kv_heads)
  std::size_t head_dim = 0;
  float scale = 1.0F;                   // multiplies q.k
  float softcap = 0.0F;                 // c > 0: score = c tanh(score / c), after the scale
  std::size_t window = 0;               // w > 0: position i sees j with i - w < j <= i; 0: all j <= i
  const float* alibi_slopes = nullptr;  // [n_heads] or null: adds slope_h * (j - i) to the scaled score
};

/// What else happens to a product's rows while they are in cache: y = activation(y), then sum += y.
struct Epilogue {
  Activation activation = Activation::linear;
  MatrixView sum = {};  // [T, out], overlaps nothing else; without data: nothing is added
};

/// A matrix of this backend's prepare that rows are multiplied with, and where the product goes: w [out, in], bias [out] or
/// null, y [T, out], which overlaps nothing.
struct Product {
  const PreparedMatrix& w;
  const float* bias;
  MatrixView y;
  Epilogue then = {};
};

class Backend {
 public:
  virtual ~Backend() = default;

  /// "cpu (avx2)": for people.
  virtual std::string description() const = 0;

  /// Makes `w` ready for matmul. Float32 matrices may be used in place (oneDNN and the scalar backend do it), so their mapping
  /// must outlive the result unless its owned_bytes() say that it is a copy.
  virtual std::unique_ptr<const PreparedMatrix> prepare(const WeightMatrix& w, WeightFormat format = WeightFormat::f32,
                                                        Inputs inputs = Inputs::any) const = 0;

  /// Each product's y[t, o] = sum_i x[t, i] w[o, i] + bias[o], rounded as w's format says; x [T, in]. `then` follows, with the
  /// bits that activate(then.activation, y) and add(then.sum, y) give. What reads the same rows should come in one call: they
  /// are made ready once, and no thread waits for another between the products.
  virtual void matmul(ConstMatrixView x, std::span<const Product> products) const = 0;
  void matmul(ConstMatrixView x, const PreparedMatrix& w, const float* bias, MatrixView y, const Epilogue& then = {}) const {
    const Product product{w, bias, y, then};
    matmul(x, {&product, 1});
  }

  /// out[t] = table[ids[t]] as float32. table [V, d], ids [T] in range, out [T, d].
  virtual void gather_rows(const WeightMatrix& table, std::span<const TokenId> ids, MatrixView out) const = 0;

  /// y = (x - mean) / sqrt(var + epsilon) * weight + bias, var the biased variance of the row. weight, bias [d]; either may
  /// be null (1 and 0). x, y [T, d]; y may be x. A fast backend's sums are float32: where they or their squares pass 3.4e38, as
  /// of |x| above about 1e18, y means nothing.
  virtual void layer_norm(ConstMatrixView x, const float* weight, const float* bias, float epsilon, MatrixView y) const = 0;

  /// y = x / sqrt(mean(x²) + epsilon) * weight, over each run of `group` columns (group divides d; group == d: the whole
  /// row; head_dim: each head, as Qwen3's query/key norm). weight [group], or null (1). x, y [T, d]; y may be x. The
  /// range is that of layer_norm.
  virtual void rms_norm(ConstMatrixView x, const float* weight, float epsilon, std::size_t group, MatrixView y) const = 0;

  /// x = f(x), elementwise.
  virtual void activate(Activation activation, MatrixView x) const = 0;

  /// x += y, elementwise, same shape.
  virtual void add(MatrixView x, ConstMatrixView y) const = 0;

  /// x *= y, elementwise, same shape.
  virtual void multiply(MatrixView x, ConstMatrixView y) const = 0;

  /// x *= factor.
  virtual void scale(MatrixView x, float factor) const = 0;

  /// x = cap * tanh(x / cap) (Gemma-2).
  virtual void softcap(MatrixView x, float cap) const = 0;

  /// Turns each head's first rotary_dim dimensions by its position: (a, b) -> (a cos - b sin, b cos + a sin).
  /// x [T, n_heads * head_dim], positions [T] < table.n_positions.
  virtual void rotary(MatrixView x, std::size_t head_dim, std::span<const std::uint32_t> positions,
                      const RotaryTable& table) const = 0;

  /// Writes each sequence's rows of k and v ([T, n_kv_heads * head_dim]) to its cache at positions past .. past + n_rows - 1.
  virtual void append_kv(const AttentionShape& shape, ConstMatrixView k, ConstMatrixView v,
                         std::span<const SequenceRows> sequences) const = 0;

  /// Causal attention of every row over its own sequence's cache, which must hold the row's own key and value already. Each
  /// sequence's rows begin where those of the one before it end.
  /// q, out [T, n_heads * head_dim]. Each query walks its keys in blocks of fixed size counted from position 0, with a
  /// running maximum and sum, so the result has the same bits for prefill and step-by-step decoding.
  virtual void attention(const AttentionShape& shape, ConstMatrixView q, std::span<const SequenceRows> sequences,
                         MatrixView out) const = 0;

  /// out[t] = log(sum_j exp(x[t, j])), and largest[t] the largest x[t, j] (in a row with NaN, that of its numbers, or NaN).
  /// x [T, n], n >= 1, out [T], largest [T] or null.
  virtual void log_sum_exp(ConstMatrixView x, float* out, float* largest = nullptr) const = 0;

  /// Each row's k largest elements, largest first, equal ones by smaller index; NaN counts as smallest. Long rows may come
  /// piece by piece: x holds their elements first .. first + x.cols - 1, and indices, values [T, k] the best min(k, first) of
  /// those before, which become the best min(k, first + x.cols) of all so far. `largest` [T], from log_sum_exp of the same x,
  /// or null: a row with nothing to add is then not read.
  virtual void top_k(ConstMatrixView x, std::size_t k, std::uint32_t* indices, float* values, std::size_t first = 0,
                     const float* largest = nullptr) const = 0;

  /// x, largest, labels [n]: where x[i] > largest[i], puts x[i] there and `label` into labels[i]. After all rows of a matrix
  /// that leaves each column's largest and the first row that had it. NaN in x is passed over. One thread, as find_above.
  virtual void keep_larger(const float* x, std::int32_t label, std::size_t n, float* largest, std::int32_t* labels) const = 0;

  /// Writes the indices i, ascending, with x[i] > threshold[i], for i < n, and returns how many. indices has room for n.
  /// One thread: hooks call it inside their own parallel loops.
  virtual std::size_t find_above(const float* x, const float* threshold, std::size_t n, std::uint32_t* indices) const = 0;

  /// Adds a block of words to `change`; the sums mean nothing where its `largest` has reached kLargestLogitChange. One thread:
  /// callers have many blocks at a time.
  virtual void softmax_change(const SoftmaxTerms& terms, SoftmaxChange& change) const = 0;
};

}  // namespace ffmem
