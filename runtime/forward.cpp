// From token ids to the residual stream behind the last layer. Notation: T rows, d model width, d_m memories. A
// pre-norm sequential block is
//     x = x + Attention(norm(x));  x = x + sum_i m_i v_i,  m = f(K norm(x))
// and every other family is this with norms moved (each place asks whether there is one), parallel wiring, or a gate.
#include "runtime/forward.hpp"

#include <algorithm>
#include <array>

#include "runtime/embedding.hpp"
#include "runtime/norm.hpp"

namespace ffmem {
namespace {

class ForwardPass {
 public:
  ForwardPass(const Model& model, const PositionTables& tables, const BatchRows& batch, const HookPlan& plan, bool stop_early,
              Workspace& workspace)
      : model_(model),
        config_(model.config()),
        backend_(model.backend()),
        tables_(tables),
        batch_(batch),
        plan_(plan),
        stop_early_(stop_early),
        workspace_(workspace),
        n_rows_(batch.tokens.size()),
        residual_(workspace.residual.matrix(n_rows_, config_.d_model)) {}

  MatrixView run() {
    embed();
    for (std::size_t layer = 0; layer < config_.n_layers && !done_before(layer, Point::residual_pre); ++layer) {
      visit(Point::residual_pre, layer, residual_);
      attention_block(layer);
      feed_forward_block(layer);
    }
    return residual_;
  }

 private:
  /// residual = embedding of the tokens, with positions, projection and norm where the family has them.
  void embed() {
    const ModelWeights& weights = model_.weights();
    model_.embedding().embed(batch_.tokens, workspace_, residual_);
    if (config_.positions == PositionKind::learned) {
      const MatrixView positions = workspace_.ffn_in.matrix(n_rows_, config_.d_model);
      backend_.gather_rows(weights.position_embedding, batch_.position_rows, positions);
      backend_.add(residual_, positions);
    }
    if (config_.positions == PositionKind::sinusoidal) tables_.add_sinusoidal(batch_.positions, residual_);
    norm(weights.embedding_norm, residual_, residual_);
  }

  /// residual += Attention(norm(residual)); leaves the feed-forward layer's input, [T, d], in workspace_.ffn_in.
  void attention_block(std::size_t l) {
    if (done_before(l, Point::attention_out)) return;
    const LayerWeights& weights = model_.weights().layers[l];
    const MatrixView normed = workspace_.ffn_in.matrix(n_rows_, config_.d_model);
    const MatrixView out = workspace_.attention_out.matrix(n_rows_, config_.d_model);
    norm(weights.attention_in, residual_, normed);
    // A parallel block's feed-forward layer reads the stream as it was before the attention.
    const bool at_once = sums_at_once(Point::attention_out, l, weights.attention_out) && config_.wiring == Wiring::sequential;
    attend(l, normed, out, at_once ? Epilogue{.sum = residual_} : Epilogue{});
    visit(Point::attention_out, l, out);
    norm(weights.attention_out, out, out);

    if (config_.wiring == Wiring::parallel) norm(weights.ffn_in, residual_, normed);
    if (!at_once) backend_.add(residual_, out);
    norm(weights.attention_residual, residual_, residual_);
    visit(Point::residual_mid, l, residual_);
    if (config_.wiring == Wiring::sequential) norm(weights.ffn_in, residual_, normed);
  }

  /// out = W_o attention(q, k, v) of x, and what follows. x, out [T, d].
  void attend(std::size_t l, ConstMatrixView x, MatrixView out, const Epilogue& then) {
    const LayerWeights& weights = model_.weights().layers[l];
    const PreparedLayer& layer = model_.layer(l);
    const MatrixView query = workspace_.query.matrix(n_rows_, config_.n_heads * config_.head_dim);
    const MatrixView key = workspace_.key.matrix(n_rows_, config_.n_kv_heads * config_.head_dim);
    const MatrixView value = workspace_.value.matrix(n_rows_, config_.n_kv_heads * config_.head_dim);
    const MatrixView heads = workspace_.heads.matrix(n_rows_, config_.n_heads * config_.head_dim);
    backend_.matmul(x, std::array{product(layer.query, query), product(layer.key, key), product(layer.value, value)});
    head_norm(weights.query_norm, query);
    head_norm(weights.key_norm, key);
    if (config_.positions == PositionKind::rotary) {
      backend_.rotary(query, config_.head_dim, batch_.positions, tables_.rotary());
      backend_.rotary(key, config_.head_dim, batch_.positions, tables_.rotary());
    }
    const AttentionShape shape{.n_heads = config_.n_heads,
                               .n_kv_heads = config_.n_kv_heads,
                               .head_dim = config_.head_dim,
                               .scale = config_.attention_scale[l],
                               .softcap = config_.attention_softcap,
                               .window = config_.attention_window[l],
                               .alibi_slopes = config_.alibi_slopes.empty() ? nullptr : config_.alibi_slopes.data()};
    backend_.append_kv(shape, key, value, batch_.sequences[l]);
    backend_.attention(shape, query, batch_.sequences[l], heads);
    backend_.matmul(heads, *layer.output.matrix, layer.output.bias, out, then);
  }

  /// residual += sum_i m_i v_i, a block of rows at a time.
  void feed_forward_block(std::size_t l) {
    if (done_before(l, Point::ffn_in)) return;
    for (std::size_t begin = 0; begin < n_rows_; begin += kFeedForwardRows) {
      feed_forward_rows(l, begin, std::min(begin + kFeedForwardRows, n_rows_));
    }
  }

  void feed_forward_rows(std::size_t l, std::size_t begin, std::size_t end) {
    const LayerWeights& weights = model_.weights().layers[l];
    const PreparedLayer& layer = model_.layer(l);
    const MatrixView input = workspace_.ffn_in.matrix(n_rows_, config_.d_model).rows_between(begin, end);
    const MatrixView coefficients = workspace_.coefficients.matrix(end - begin, config_.d_memory);
    const MatrixView output = workspace_.ffn_out.matrix(end - begin, config_.d_model);
    const MatrixView stream = residual_.rows_between(begin, end);

    visit(Point::ffn_in, l, input, begin);
    if (done_before(l, Point::key_scores)) return;
    const bool shows_scores = plan_.wants(Point::key_scores, l);
    const Product scores =
        product(layer.keys, coefficients, {.activation = shows_scores ? Activation::linear : config_.activation});
    const MatrixView ups = layer.ups ? workspace_.ups.matrix(end - begin, config_.d_memory) : MatrixView{};
    if (layer.ups) {
      backend_.matmul(input, std::array{scores, product(layer.ups, ups)});
    } else {
      backend_.matmul(input, {&scores, 1});
    }
    visit(Point::key_scores, l, coefficients, begin);
    if (shows_scores) backend_.activate(config_.activation, coefficients);
    if (layer.ups) backend_.multiply(coefficients, ups);
    visit(Point::coefficients, l, coefficients, begin);
    if (done_before(l, Point::ffn_out)) return;
    const bool at_once = sums_at_once(Point::ffn_out, l, weights.ffn_out);
    backend_.matmul(coefficients, *layer.values.matrix, layer.values.bias, output,
                    at_once ? Epilogue{.sum = stream} : Epilogue{});
    visit(Point::ffn_out, l, output, begin);
    norm(weights.ffn_out, output, output);
    if (!at_once) backend_.add(stream, output);
    norm(weights.ffn_residual, stream, stream);
    visit(Point::residual_post, l, stream, begin);
  }

  static Product product(const PreparedLinear& linear, MatrixView y, const Epilogue& then = {}) {
    return {*linear.matrix, linear.bias, y, then};
  }

  /// True if nothing comes between a product and its addition to the stream: no hook at `point`, no norm.
  bool sums_at_once(Point point, std::size_t layer, const NormWeights& norm) const {
    return !norm.present && !plan_.wants(point, layer);
  }

  void norm(const NormWeights& weights, ConstMatrixView x, MatrixView y) const { apply_norm(backend_, config_, weights, x, y); }

  /// The query/key norms of Qwen3 (each head by itself) and OLMo-2 (all heads together): the weight's length says which.
  void head_norm(const NormWeights& weights, MatrixView x) const {
    if (weights.present) backend_.rms_norm(x, weights.weight.data(), config_.norm_epsilon, weights.weight.size(), x);
  }

  void visit(Point point, std::size_t layer, MatrixView values, std::size_t first_row = 0) const {
    if (!plan_.wants(point, layer)) return;
    plan_.visit({point, layer, first_row, values, batch_.origins.subspan(first_row, values.rows), &backend_});
  }

  /// True if nobody reads this point of this layer or anything behind it.
  bool done_before(std::size_t layer, Point point) const {
    if (!stop_early_) return false;
    if (!plan_.wants_layers()) return true;
    return layer > plan_.last_layer() || (layer == plan_.last_layer() && point > plan_.last_point());
  }

  const Model& model_;
  const ModelConfig& config_;
  const Backend& backend_;
  const PositionTables& tables_;
  const BatchRows& batch_;
  const HookPlan& plan_;
  const bool stop_early_;
  Workspace& workspace_;
  const std::size_t n_rows_;
  const MatrixView residual_;
};

}  // namespace

MatrixView forward(const Model& model, const PositionTables& tables, const BatchRows& batch, const HookPlan& plan,
                   bool stop_early, Workspace& workspace) {
  return ForwardPass(model, tables, batch, plan, stop_early, workspace).run();
}

}  // namespace ffmem
