#include "hooks/points.hpp"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "ops/error.hpp"

namespace ffmem {
namespace {

struct Names {
  std::string_view point;
  std::string_view transformer_lens;  // without "blocks.L."; empty: none
};

constexpr std::array<Names, kNumPoints> kNames{{{"residual_pre", "hook_resid_pre"},
                                                {"attention_out", "hook_attn_out"},
                                                {"residual_mid", "hook_resid_mid"},
                                                {"ffn_in", "ln2.hook_normalized"},
                                                {"key_scores", "mlp.hook_pre"},
                                                {"coefficients", "mlp.hook_post"},
                                                {"ffn_out", "hook_mlp_out"},
                                                {"residual_post", "hook_resid_post"},
                                                {"final_hidden", "ln_final.hook_normalized"},
                                                {"logits", ""}}};

/// Insertions, deletions and replacements that turn a into b.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

std::size_t shared_prefix(std::string_view a, std::string_view b) {
  return static_cast<std::size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}

bool is_near(std::string_view given, const Names& names) {
  if (!names.transformer_lens.empty() && given.ends_with(names.transformer_lens)) return true;
  return shared_prefix(given, names.point) >= 4 ||
         edit_distance(given, names.point) <= std::max<std::size_t>(2, given.size() / 3);
}

}  // namespace

std::string_view name(Point point) noexcept { return kNames[static_cast<std::size_t>(point)].point; }

Point point_from_name(std::string_view given) {
  for (const Point point : kAllPoints) {
    if (name(point) == given) return point;
  }
  std::string near;
  std::string all;
  for (const Names& names : kNames) {
    all += (all.empty() ? "" : ", ") + std::string(names.point);
    if (is_near(given, names)) near += (near.empty() ? "" : ", ") + std::string(names.point);
  }
  fail(ErrorCode::point_unknown, "inspection point '", given, "' is unknown; ",
       near.empty() ? "the points are: " + all : "near names: " + near);
}

bool is_per_layer(Point point) noexcept { return point != Point::final_hidden && point != Point::logits; }

}  // namespace ffmem
