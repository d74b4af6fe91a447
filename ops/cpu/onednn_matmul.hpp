// Matrix products by oneDNN, for the shapes in which it keeps a row's bits the same for any number of rows and threads.
//
// Whether it does depends on its version and the instruction set it generates code for (tests/ops/matmul_invariance_test.cpp
// says what was found), so every shape is tried once, when a matrix of that shape is prepared; where the bits differ, the
// backend's own kernels (kernels/matmul.hpp) take the shape instead, for every number of rows.
#pragma once

#include <memory>
#include <string>

#include "ops/f32_matrix.hpp"

namespace ffmem {

/// Thread-safe. Primitives are kept by shape, number of rows and threads.
class OneDnnMatmul {
 public:
  OneDnnMatmul();  // throws backend_failed
  ~OneDnnMatmul();

  /// True if products with matrices of w's shape and layout keep the rule. Tries it with w itself the first time.
  bool is_invariant(const F32Matrix& w) const;

  /// y[t, o] = sum_i x[t, i] w[o, i] + bias[o], as Backend::matmul. Throws backend_failed if oneDNN refuses.
  void run(ConstMatrixView x, const F32Matrix& w, const float* bias, MatrixView y) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// "oneDNN 2.6.3".
std::string onednn_version();

}  // namespace ffmem
