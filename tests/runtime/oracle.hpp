// Stored reference numbers ("oracles"): folders with a checkpoint, `oracle.json` and `oracle.safetensors`, and comparing with
// them.
//
// They are searched below tests/data. The environment variable FFMEM_ORACLES names another folder to search instead; each
// folder's worst difference is then printed as well.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "loaders/json_file.hpp"
#include "loaders/safetensors.hpp"
#include "ops/cpu/cpu_backend.hpp"
#include "ops/error.hpp"
#include "ops/scalar/scalar_backend.hpp"
#include "runtime/session.hpp"

namespace ffmem {

struct Oracle {
  explicit Oracle(std::filesystem::path folder_)
      : folder(std::move(folder_)),
        description(read_json_file(folder / "oracle.json")),
        tensors(folder / "oracle.safetensors") {}

  std::string name() const { return folder.filename().string(); }

  const StoredTensor& at(const std::string& tensor) const { return tensors.at(tensor); }

  std::filesystem::path folder;
  nlohmann::json description;
  SafetensorsFile tensors;
};

inline bool oracles_elsewhere() { return std::getenv("FFMEM_ORACLES") != nullptr; }

/// The oracles whose sequences are lists of ids (Hugging Face's) or objects with `tokens` (fairseq's), in order of name.
enum class OracleKind { hugging_face, fairseq };
inline std::vector<std::filesystem::path> oracle_folders(OracleKind kind) {
  const char* elsewhere = std::getenv("FFMEM_ORACLES");
  std::vector<std::filesystem::path> folders;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(elsewhere ? elsewhere : FFMEM_TEST_DATA)) {
    if (entry.path().filename() != "oracle.json") continue;
    const bool objects = read_json_file(entry.path()).at("sequences").at(0).is_object();
    if (objects == (kind == OracleKind::fairseq)) folders.push_back(entry.path().parent_path());
  }
  std::ranges::sort(folders);
  return folders;
}

/// The backends that must agree with the references: the scalar one and that of every instruction set that runs here.
inline std::vector<std::shared_ptr<const Backend>> all_backends() {
  std::vector<std::shared_ptr<const Backend>> backends{make_scalar_backend()};
  for (const std::string& isa : available_isas()) backends.push_back(make_cpu_backend(isa));
  return backends;
}

/// A tolerance |found - expected| <= absolute + relative * |expected|.
struct Tolerance {
  double absolute = 0.0;
  double relative = 0.0;
};

/// Compares tensors and remembers the worst difference of each kind of them ("layer0.coef" is of kind "coef").
class Comparison {
 public:
  explicit Comparison(std::string subject) : subject_(std::move(subject)) {}

  /// Fails the test, printing the worst element, unless `found` has the stored shape and every element is within `tolerance`.
  void check(const StoredTensor& expected, ConstMatrixView found, Tolerance tolerance) {
    const std::vector<std::size_t> shape{found.rows, found.cols};
    REQUIRE_MESSAGE(expected.shape == shape, concat(subject_, ": ", expected.name, ": expected shape ",
                                                    shape_text(expected.shape), ", found ", shape_text(shape)));
    const std::span<const float> values = expected.values<float>();
    double worst_excess = -std::numeric_limits<double>::infinity();
    std::size_t worst = 0;
    double& kind_worst = worst_[kind(expected.name)];
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double difference = distance(values[i], found.row_data(i / found.cols)[i % found.cols]);
      const double excess = difference - tolerance.absolute - tolerance.relative * std::fabs(static_cast<double>(values[i]));
      kind_worst = std::max(kind_worst, difference);
      if (excess > worst_excess) {
        worst_excess = excess;
        worst = i;
      }
    }
    if (values.empty()) return;
    const float value = found.row_data(worst / found.cols)[worst % found.cols];
    CHECK_MESSAGE(worst_excess <= 0.0,
                  concat(subject_, ": ", expected.name, " [", worst / found.cols, ", ", worst % found.cols, "]: expected ",
                         values[worst], ", found ", value, "; the worst difference is ", distance(values[worst], value)));
  }

  /// Prints the worst differences if the oracles are not the tree's own.
  void report() const {
    if (!oracles_elsewhere()) return;
    std::string text;
    for (const auto& [kind, difference] : worst_) text += "  " + kind + " " + std::to_string(difference * 1e6) + "e-6";
    MESSAGE(subject_ << ":" << text);
  }

 private:
  /// NaN is infinitely far from everything.
  static double distance(float expected, float found) {
    const double difference = std::fabs(static_cast<double>(expected) - static_cast<double>(found));
    return std::isnan(difference) ? std::numeric_limits<double>::infinity() : difference;
  }

  static std::string kind(const std::string& tensor) { return tensor.substr(tensor.rfind('.') + 1); }

  std::string subject_;
  std::map<std::string, double> worst_;
};

}  // namespace ffmem
