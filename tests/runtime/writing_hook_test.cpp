// What a hook writes at a point is what the run goes on with: rows of another text, put in at one point, must have the effect
// that they had there.
#include <doctest/doctest.h>

#include <algorithm>

#include "hooks/intervene.hpp"
#include "hooks/record.hpp"
#include "tests/runtime/runs.hpp"

namespace ffmem {
namespace {

const std::vector<TokenId> kText{5, 6, 7, 8, 9, 10};
const std::vector<TokenId> kOtherText{33, 2, 60, 8, 41, 17};

/// Everything that a run of `tokens` shows, with one point's rows in place of its own where `edits` has any.
Record recorded(const std::vector<TokenId>& tokens, std::vector<Edit> edits = {}) {
  Record record({.points = {kAllPoints.begin(), kAllPoints.end()}});
  Intervene intervene(std::move(edits));
  Hook* const hooks[] = {&intervene, &record};
  Session session(tiny_model());
  session.run(tokens, LogitsRows::all, hooks);
  return record;
}

std::vector<float> seen(const Record& record, Point point, std::size_t layer) {
  return rows_of(record.at(point, is_per_layer(point) ? layer : 0));
}

std::vector<float> sum(std::vector<float> a, const std::vector<float>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  return a;
}

Edit patch(const Record& from, Point point, std::size_t layer) {
  return {.kind = Edit::Kind::patch, .point = point, .layer = layer, .vectors = seen(from, point, layer)};
}

}  // namespace

TEST_CASE("session: a run goes on with what a hook wrote, at every point that decides all behind it") {
  struct Step {
    Point patched;
    Point reached;
  };
  // Behind the points of the stream nothing of the run's own text is left; the others decide the next point.
  constexpr Step kSteps[] = {{Point::residual_pre, Point::logits},  {Point::residual_mid, Point::logits},
                             {Point::ffn_in, Point::key_scores},    {Point::key_scores, Point::coefficients},
                             {Point::coefficients, Point::ffn_out}, {Point::residual_post, Point::logits},
                             {Point::final_hidden, Point::logits}};
  const Record text = recorded(kText);
  const Record other = recorded(kOtherText);
  for (const Step& step : kSteps) {
    CAPTURE(name(step.patched));
    for (std::size_t layer = 0; layer < tiny_model()->config().n_layers; ++layer) {
      CAPTURE(layer);
      const Record run = recorded(kOtherText, {patch(text, step.patched, layer)});
      CHECK(seen(run, step.reached, layer) == seen(text, step.reached, layer));
      CHECK(seen(run, step.reached, layer) != seen(other, step.reached, layer));
      if (!is_per_layer(step.patched)) break;
    }
  }
}

TEST_CASE("session: what a hook wrote into a block's output is what is added to the stream") {
  struct Addition {
    Point stream;
    Point output;
    Point sum;
  };
  constexpr Addition kAdditions[] = {{Point::residual_pre, Point::attention_out, Point::residual_mid},
                                     {Point::residual_mid, Point::ffn_out, Point::residual_post}};
  const Record text = recorded(kText);
  const Record other = recorded(kOtherText);
  for (const Addition& addition : kAdditions) {
    CAPTURE(name(addition.output));
    for (std::size_t layer = 0; layer < tiny_model()->config().n_layers; ++layer) {
      CAPTURE(layer);
      const Edit output = patch(text, addition.output, layer);
      // A stream of its own text, so that the sum of its own output would be another.
      Record run = recorded(kOtherText, {output});
      CHECK(seen(run, addition.sum, layer) == sum(seen(other, addition.stream, layer), output.vectors));
      run = recorded(kOtherText, {patch(text, addition.stream, layer), output});
      CHECK(seen(run, addition.sum, layer) == seen(text, addition.sum, layer));
    }
  }
}

TEST_CASE("session: the activation follows what a hook wrote into the key scores") {
  const Record other = recorded(kOtherText);
  for (std::size_t layer = 0; layer < tiny_model()->config().n_layers; ++layer) {
    CAPTURE(layer);
    const Record run =
        recorded(kOtherText, {{.kind = Edit::Kind::scale, .point = Point::key_scores, .layer = layer, .amount = -1}});
    std::vector<float> expected = seen(other, Point::key_scores, layer);
    for (float& x : expected) x = std::max(-x, 0.0F);
    CHECK(seen(run, Point::coefficients, layer) == expected);
  }
}

TEST_CASE("session: the logits that a hook wrote are those that a run returns") {
  const std::vector<float> written = seen(recorded(kText), Point::logits, 0);
  Intervene intervene({{.kind = Edit::Kind::patch, .point = Point::logits, .vectors = written}});
  Hook* const hooks[] = {&intervene};
  Session session(tiny_model());
  CHECK(rows_of(session.run(kOtherText, LogitsRows::all, hooks)) == written);
}

}  // namespace ffmem
