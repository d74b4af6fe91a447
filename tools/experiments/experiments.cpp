#include "tools/experiments/experiments.hpp"

#include <array>
#include <string>

#include "ops/error.hpp"
#include "tools/experiments/trigger_patterns.hpp"

namespace ffmem::tools {
namespace {

constexpr std::array kExperiments{
    Experiment{"trigger-patterns", "how alike the trigger examples of a key are (3.2, by proxy)", trigger_patterns},
};

}  // namespace

std::span<const Experiment> all_experiments() noexcept { return kExperiments; }

const Experiment& experiment_from_name(std::string_view name) {
  std::string names;
  for (const Experiment& experiment : kExperiments) {
    if (experiment.name == name) return experiment;
    names += (names.empty() ? "" : ", ") + std::string(experiment.name);
  }
  fail(ErrorCode::argument_invalid, "no experiment '", name, "'; there are ", names);
}

}  // namespace ffmem::tools
