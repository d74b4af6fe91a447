// Without a cache to keep, a run ends behind the last point that a hook asked for.
#include <doctest/doctest.h>

#include "tests/runtime/counting_backend.hpp"
#include "tests/runtime/runs.hpp"

namespace ffmem {
namespace {

const std::vector<TokenId> kTokens{3, 1, 4, 1, 5};

class UpTo : public Hook {
 public:
  UpTo(Point point, std::size_t layer) : point_(point), layer_(layer) {}
  Access access(Point point, std::size_t layer) const override {
    return point == point_ && layer == layer_ ? Access::read : Access::none;
  }
  void read(const PointView& view) override { append_rows(view.values, 0, view.values.rows, seen); }
  std::vector<float> seen;

 private:
  Point point_;
  std::size_t layer_;
};

/// What a layer costs until it has shown a point.
struct Cost {
  std::size_t attentions = 0;
  std::size_t products = 0;
  bool operator==(const Cost&) const = default;
};

constexpr Cost kWholeLayer{.attentions = 1, .products = 6};

Cost cost_up_to(Point point) {
  if (point == Point::residual_pre) return {};
  if (point <= Point::ffn_in) return {.attentions = 1, .products = 4};        // query, key, value, output
  if (point <= Point::coefficients) return {.attentions = 1, .products = 5};  // and the keys of the memories
  return kWholeLayer;
}

}  // namespace

TEST_CASE("session: what a hook sees of a run that ends behind it is what a whole run shows") {
  for (const Point point : kAllPoints) {
    if (!is_per_layer(point)) continue;
    CAPTURE(name(point));
    UpTo full(point, 1);
    UpTo short_run(point, 1);
    Hook* const full_hooks[] = {&full};
    Hook* const short_hooks[] = {&short_run};
    Session keeping(tiny_model());
    keeping.run(kTokens, LogitsRows::all, full_hooks);
    Session passing(tiny_model(), {.keep_cache = false});
    passing.run(kTokens, LogitsRows::none, short_hooks);
    CHECK(full.seen == short_run.seen);
    CHECK_FALSE(full.seen.empty());
  }
}

TEST_CASE("session: without a cache a run ends behind the last point a hook wants") {
  const auto backend = std::make_shared<const CountingBackend>();
  const auto model = Model::load(FFMEM_TEST_DATA "/hf/gpt2-relu", {.backend = backend});
  const std::size_t n_layers = model->config().n_layers;
  const auto cost_of = [&](bool keep_cache, std::span<Hook* const> hooks) {
    backend->n_attentions = 0;
    backend->n_products = 0;
    Session(model, {.keep_cache = keep_cache}).run(kTokens, LogitsRows::none, hooks);
    return Cost{.attentions = backend->n_attentions, .products = backend->n_products};
  };
  const Cost whole{.attentions = n_layers * kWholeLayer.attentions, .products = n_layers * kWholeLayer.products};

  for (const Point point : kAllPoints) {
    if (!is_per_layer(point)) continue;
    CAPTURE(name(point));
    for (std::size_t layer = 0; layer < n_layers; ++layer) {
      CAPTURE(layer);
      UpTo hook(point, layer);
      Hook* const hooks[] = {&hook};
      const Cost last = cost_up_to(point);
      const Cost found = cost_of(false, hooks);
      CHECK(found.attentions == layer * kWholeLayer.attentions + last.attentions);
      CHECK(found.products == layer * kWholeLayer.products + last.products);
      CHECK(cost_of(true, hooks) == whole);  // later runs go on from every layer's cache
    }
  }
  CHECK(cost_of(false, {}) == Cost{});
}

}  // namespace ffmem
