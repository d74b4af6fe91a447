// Every removal of one layer's memories on the sampled prefixes (removal_effects.hpp), with the memory's own view of the
// predictions, kept in OUT/data/memory-effects.safetensors.
//
// | tensor                            | type | shape      | what                                                        |
// |-----------------------------------|------|------------|-------------------------------------------------------------|
// | prefix_offsets, prefix_tokens     | i64, i32 | [E + 1], [..] | the prefixes, without the prefix token              |
// | sentence, next                    | i64, i32 | [E]    | each one's sentence in the text, the token behind it        |
// | prediction, layer_prediction      | i32  | [E]        | the model's; top(y) by the value lens                       |
// | example, unit                     | i32  | [cases]    | by example, then by unit                                    |
// | coefficient                       | f32  | [cases]    | m, not 0                                                    |
// | log_p_change, divergence          | f32  | [cases]    | log p'(t) - log p(t), KL(p || p')                           |
// | top_after                         | i32  | [cases]    | the model's prediction without the memory                   |
// | own_top                           | i32  | [cases]    | top of the value, of its negative where m < 0, bare         |
// | rank_prediction, rank_layer       | i32  | [cases]    | rank from 0 of the two predictions there                    |
#pragma once

#include <vector>

#include "tools/experiments/example_set.hpp"
#include "tools/experiments/removal_effects.hpp"
#include "tools/experiments/workbench.hpp"

namespace ffmem::tools {

struct EffectTable {
  ExampleSet examples{};
  std::size_t layer = 0;
  RemovalMethod method = RemovalMethod::algebra;
  std::vector<TokenId> prediction{};        // [examples]
  std::vector<TokenId> layer_prediction{};  // [examples]
  std::vector<Removal> removals{};
  std::vector<TokenId> own_top{};               // [removals]
  std::vector<std::int32_t> rank_prediction{};  // [removals]
  std::vector<std::int32_t> rank_layer{};       // [removals]
};

/// Of options().effect_layer, which Workbench has checked. Computed where it is not there.
EffectTable effect_table(Workbench& bench);

}  // namespace ffmem::tools
