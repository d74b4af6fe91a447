// An intervening hook: a list of edits, applied in order wherever their point, layer and positions pass.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "hooks/hook.hpp"

namespace ffmem {

struct Edit {
  enum class Kind {
    set,    // the row (or x[unit]) = amount
    scale,  // the row (or x[unit]) *= amount
    zero,   // the row (or x[unit]) = 0
    patch,  // the row (or x[unit]) becomes that of `vectors` at the row's position: activations of another run
    add,    // the row (or x[unit]) += amount * vectors (or its component)
  };
  Kind kind = Kind::zero;
  Point point = Point::coefficients;
  std::size_t layer = 0;
  std::optional<std::size_t> unit{};        // none: the whole row
  std::optional<std::uint32_t> position{};  // none: every position
  std::optional<std::uint32_t> sequence{};  // none: every sequence of the batch
  float amount = 0.0F;                      // add: 1 adds `vectors` as they are
  std::vector<float> vectors{};             // patch: [n_positions, width], row p for position p; add: [width]
};

/// Makes its edits in the order given; at final_hidden and logits the layer does not matter. An edit whose layer, position or
/// sequence a run has not is never reached: callers that take those from a user compare them with the model's and the run's
/// first.
class Intervene : public Hook {
 public:
  /// Owns the edits. What does not fit a model shows when a run reaches it: see write().
  explicit Intervene(std::vector<Edit> edits);

  Access access(Point point, std::size_t layer) const override;

  /// Throws unit_out_of_range if an edit's unit does not exist at its point, argument_invalid if its vectors do not fit the
  /// width, position_out_of_range if a patch has no row for a position.
  void write(const MutablePointView& view) override;

 private:
  std::vector<Edit> edits_;
};

}  // namespace ffmem
