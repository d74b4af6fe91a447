// Comparisons pass over NaN without a word: what a model whose weights hold NaN or infinities gives is refused instead.
#pragma once

#include <cmath>
#include <cstddef>
#include <span>

#include "hooks/hook.hpp"
#include "ops/error.hpp"

namespace ffmem::tools {

/// Throws argument_invalid where one of `values` is NaN; what(i) says what the i-th belongs to, in the plural.
template <class What>
void check_numbers(std::span<const float> values, What&& what) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!std::isnan(values[i])) continue;
    fail(ErrorCode::argument_invalid, what(i), " are not numbers: do the model's weights hold NaN or infinities?");
  }
}

/// Beside another hook that reads coefficients: throws argument_invalid where those of any layer are NaN. Reads the last
/// layer's alone: through the residual stream, NaN among a row's coefficients reaches all that the row gets in later layers.
class NumberCheck : public Hook {
 public:
  explicit NumberCheck(std::size_t n_layers) : n_layers_(n_layers) {}

  Access access(Point point, std::size_t layer) const override {
    return point == Point::coefficients && layer + 1 == n_layers_ ? Access::read : Access::none;
  }

  void read(const PointView& view) override;

 private:
  std::size_t n_layers_;
};

}  // namespace ffmem::tools
