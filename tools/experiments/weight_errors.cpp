#include "tools/experiments/weight_errors.hpp"

#include <cmath>
#include <map>

#include "hooks/record.hpp"
#include "ops/scalar/scalar_backend.hpp"
#include "runtime/session.hpp"

namespace ffmem::tools {
namespace {

Record all_points(const std::shared_ptr<const Model>& model, std::span<const TokenId> tokens) {
  Record record({.points = {kAllPoints.begin(), kAllPoints.end()}});
  Hook* const hooks[] = {&record};
  Session(model, {.context = tokens.size()}).run(tokens, LogitsRows::all, hooks);
  return record;
}

struct Sums {
  double differences = 0.0;  // of squares
  double expected = 0.0;

  void add(ConstMatrixView is, ConstMatrixView should_be) {
    for (std::size_t r = 0; r < should_be.rows; ++r) {
      for (std::size_t c = 0; c < should_be.cols; ++c) {
        const auto x = static_cast<double>(should_be.row(r)[c]);
        const double difference = static_cast<double>(is.row(r)[c]) - x;
        differences += difference * difference;
        expected += x * x;
      }
    }
  }
};

}  // namespace

std::vector<PointError> weight_errors(const std::filesystem::path& folder, const std::shared_ptr<const Model>& model,
                                      std::span<const TokenId> tokens) {
  const Record is = all_points(model, tokens);
  const Record should_be = all_points(Model::load(folder, {.backend = make_scalar_backend()}), tokens);
  std::map<Point, Sums> sums;
  for (const auto& [point, layer] : should_be.recorded()) sums[point].add(is.at(point, layer), should_be.at(point, layer));
  std::vector<PointError> errors;
  errors.reserve(sums.size());
  for (const auto& [point, s] : sums) errors.push_back({point, std::sqrt(s.differences / s.expected)});
  return errors;
}

}  // namespace ffmem::tools
