// The inspection points, in the order in which one layer reaches them. d: model width, d_m: memories, V: vocabulary,
// d': OutputHead::hidden_width().
//
// | point         | shape         | TransformerLens name              | what                                  |
// |---------------|---------------|-----------------------------------|---------------------------------------|
// | residual_pre  | [tokens, d]   | blocks.L.hook_resid_pre           | the stream entering the layer         |
// | attention_out | [tokens, d]   | blocks.L.hook_attn_out (**)       | output projection, before any norm    |
// | residual_mid  | [tokens, d]   | blocks.L.hook_resid_mid           | r: the stream y is added to           |
// | ffn_in        | [tokens, d]   | blocks.L.ln2.hook_normalized (*)  | x: what the keys see                  |
// | key_scores    | [tokens, d_m] | blocks.L.mlp.hook_pre             | x.k + b before f (gated: the gate's)  |
// | coefficients  | [tokens, d_m] | blocks.L.mlp.hook_post            | m                                     |
// | ffn_out       | [tokens, d]   | blocks.L.hook_mlp_out (**)        | y = sum m_i v_i + bias, before a norm |
// | residual_post | [tokens, d]   | blocks.L.hook_resid_post          | o: the layer's output                 |
// | final_hidden  | [tokens, d']  | ln_final.hook_normalized (*)      | what the output matrix reads          |
// | logits        | [tokens, V]   | (the unembedding's output)        | scores; adaptive: log-probabilities   |
//
// In blocks whose two parts run in parallel (GPT-J, Phi, most GPT-NeoX and Falcon) the keys see the stream before attention:
// what a hook writes to residual_mid does not reach ffn_in of that layer.
// (*) here after the norm's scale and bias. (**) Where a norm follows before the addition (Gemma-2, OLMo-2), theirs are behind
// it, and residual_mid and residual_post add what the norm makes.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace ffmem {

enum class Point {
  residual_pre,
  attention_out,
  residual_mid,
  ffn_in,
  key_scores,
  coefficients,
  ffn_out,
  residual_post,
  final_hidden,
  logits
};

inline constexpr std::size_t kNumPoints = 10;
inline constexpr std::array<Point, kNumPoints> kAllPoints{
    Point::residual_pre, Point::attention_out, Point::residual_mid,  Point::ffn_in,       Point::key_scores,
    Point::coefficients, Point::ffn_out,       Point::residual_post, Point::final_hidden, Point::logits};

/// As the table's first column has it. The text lives as long as the program.
std::string_view name(Point point) noexcept;

/// By the name in the table's first column. Throws point_unknown, listing the near names (also where a TransformerLens name
/// was given), or all of them.
Point point_from_name(std::string_view name);

/// False for final_hidden and logits, which come once per run, behind the last layer.
bool is_per_layer(Point point) noexcept;

}  // namespace ffmem
