// The one forward pass, for every family.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "hooks/hook.hpp"
#include "ops/backend.hpp"
#include "runtime/hook_plan.hpp"
#include "runtime/model.hpp"
#include "runtime/positions.hpp"
#include "runtime/workspace.hpp"

namespace ffmem {

/// One run's rows: a ragged batch with everything the layers need to know about it. Views memory of the Session and the caller.
struct BatchRows {
  std::span<const TokenId> tokens;                       // [T]
  std::span<const std::uint32_t> positions;              // [T]
  std::span<const TokenId> position_rows;                // [T], the row of each position in a learned table
  std::span<const RowOrigin> origins;                    // [T]
  std::span<const std::vector<SequenceRows>> sequences;  // one list per layer: where its keys and values are cached
};

/// Runs embedding and layers over the batch. Returns the residual stream behind the last layer, [T, d], in the workspace; with
/// stop_early, the pass ends behind the last point the plan wants and what is returned has no meaning.
MatrixView forward(const Model& model, const PositionTables& tables, const BatchRows& batch, const HookPlan& plan,
                   bool stop_early, Workspace& workspace);

}  // namespace ffmem
