// The Hook interface: look into, or change, a forward pass at the inspection points of hooks/points.hpp.
//
// Hooks are the caller's: they are given to one run (Session::run), must live until it returns, and are forgotten after it,
// also when something throws. A hook may use other sessions, of the same model too, and not the one that runs it. An object
// with state of its own, as all of this folder, serves one run at a time. At a point no hook asked for, a run pays one branch.
// Rows come in blocks: a point's [tokens, width] may arrive in several calls of consecutive rows, so that coefficients are
// still in cache and [tokens, L, d_m] never exists as a whole. Calls come from the thread that called run(), layer by layer,
// each layer's points in the table's order within a block of rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "hooks/points.hpp"
#include "ops/backend.hpp"
#include "ops/matrix_view.hpp"

namespace ffmem {

/// Where a row sits: its sequence's number in the batch, and its position within that sequence (from 0, cached ones included).
struct RowOrigin {
  std::uint32_t sequence = 0;
  std::uint32_t position = 0;
};

/// What a hook sees. Valid during the call only. T is const float for reading, float for intervening.
template <class T>
struct BasicPointView {
  Point point = Point::residual_pre;
  std::size_t layer = 0;               // from 0; 0 for final_hidden and logits
  std::size_t first_row = 0;           // of the batch; 0 for the logits of last rows alone, one a sequence
  BasicMatrixView<T> values;           // [rows, width], rows values.stride apart
  std::span<const RowOrigin> origins;  // [rows]
  const Backend* backend = nullptr;    // the operators, for hooks that compute
};
using PointView = BasicPointView<const float>;
using MutablePointView = BasicPointView<float>;

class Hook {
 public:
  virtual ~Hook() = default;

  enum class Access { none, read, write };

  /// Asked once per run, point and layer (layer 0 for final_hidden and logits).
  virtual Access access(Point point, std::size_t layer) const = 0;

  /// Called where access() said read; a hook that says so has its own. This one throws argument_invalid.
  virtual void read(const PointView& view);

  /// Called where access() said write, likewise; what it leaves in view.values is what the run goes on with. At one point hooks
  /// are called in the order given to run(), so a reading hook sees the changes of those before it.
  virtual void write(const MutablePointView& view);
};

}  // namespace ffmem
