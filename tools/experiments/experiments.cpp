#include "tools/experiments/experiments.hpp"

#include <array>
#include <string>

#include "ops/error.hpp"
#include "tools/experiments/active_memories.hpp"
#include "tools/experiments/agreeing_memories.hpp"
#include "tools/experiments/annotation.hpp"
#include "tools/experiments/last_layer_changes.hpp"
#include "tools/experiments/layer_composition.hpp"
#include "tools/experiments/memory_effects.hpp"
#include "tools/experiments/predictive_values.hpp"
#include "tools/experiments/residual_predictions.hpp"
#include "tools/experiments/residual_probabilities.hpp"
#include "tools/experiments/token_removal.hpp"
#include "tools/experiments/trigger_patterns.hpp"
#include "tools/experiments/value_agreement.hpp"
#include "tools/experiments/value_ranks.hpp"
#include "tools/experiments/zero_agreement.hpp"

namespace ffmem::tools {
namespace {

constexpr std::array kExperiments{
    Experiment{"trigger-patterns", "how alike the trigger examples of a key are (3.2, by proxy)", require_train,
               trigger_patterns},
    Experiment{"annotation", "patterns that people find in trigger examples (3, Table 1, Figure 2)", require_train, annotation},
    Experiment{"token-removal", "what removing a token of a trigger example does to its key (3.2, Figure 3)", require_train,
               token_removal},
    Experiment{"value-agreement", "values that predict what follows their key's best example (4, Figure 4)", require_train,
               value_agreement},
    Experiment{"value-ranks", "where values rank what follows their key's best example (4, Figure 5)", require_train,
               value_ranks},
    Experiment{"predictive-values", "agreement by max(p), and the surest values (4, Figure 6, Table 2)", require_train,
               predictive_values},
    Experiment{"active-memories", "how many memories a layer uses (5.1, Figure 7)", require_valid, active_memories},
    Experiment{"zero-agreement", "layers whose prediction no memory makes (5.1, Figure 8)", require_valid, zero_agreement},
    Experiment{"agreeing-memories", "what layer and memory agree on (5.1)", require_valid, agreeing_memories},
    Experiment{"residual-predictions", "where the residual stream has the prediction (5.2, Figure 9)", require_valid,
               residual_predictions},
    Experiment{"residual-probabilities", "how probable it is there (5.2, Figure 10)", require_valid, residual_probabilities},
    Experiment{"layer-composition", "whose prediction a layer's output makes (5.2, Figure 11)", require_valid,
               layer_composition},
    Experiment{"last-layer-changes", "what the last layer changes, to be labelled (5.2)", require_valid, last_layer_changes},
    Experiment{"memory-effects", "what each memory does to the output, by removing it", require_valid, memory_effects},
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
