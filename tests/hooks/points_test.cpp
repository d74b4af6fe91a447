#include "hooks/points.hpp"

#include <doctest/doctest.h>

#include <string>

#include "ops/error.hpp"

using namespace ffmem;

namespace {

std::string message_for(const std::string& name) {
  try {
    point_from_name(name);
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::point_unknown);
    return error.what();
  }
  FAIL("no error for " << name);
  return {};
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("points: every point is found by its own name") {
  for (const Point point : kAllPoints) {
    CHECK(point_from_name(name(point)) == point);
  }
}

TEST_CASE("points: only final_hidden and logits do not belong to a layer") {
  for (const Point point : kAllPoints) {
    CHECK(is_per_layer(point) == (name(point) != "final_hidden" && name(point) != "logits"));
  }
}

TEST_CASE("points: a misspelt name gets the near names and no others") {
  const auto message = message_for("coeficient");
  CHECK(has(message, "'coeficient'"));
  CHECK(has(message, "coefficients"));
  CHECK(!has(message, "residual_pre"));
  CHECK(has(message_for("logit"), "logits"));
}

TEST_CASE("points: the start of a name gets all names that begin so") {
  const auto message = message_for("residual");
  CHECK(has(message, "residual_pre"));
  CHECK(has(message, "residual_mid"));
  CHECK(has(message, "residual_post"));
  CHECK(!has(message, "ffn_in"));
}

TEST_CASE("points: a TransformerLens name gets this program's name") {
  CHECK(has(message_for("blocks.3.mlp.hook_post"), "near names: coefficients"));
  CHECK(has(message_for("blocks.0.ln2.hook_normalized"), "near names: ffn_in"));
}

TEST_CASE("points: a name near to none gets the whole list") {
  for (const auto* given : {"", "qqqqqqqq"}) {
    const auto message = message_for(given);
    for (const Point point : kAllPoints) CHECK(has(message, std::string(name(point))));
  }
}
