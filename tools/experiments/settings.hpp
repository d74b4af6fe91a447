// The choices that results name as their settings: each list holds all that bears on the numbers of its kind.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tools/experiments/example_set.hpp"
#include "tools/experiments/workbench.hpp"

namespace ffmem::tools {

using Settings = std::vector<std::pair<std::string, std::string>>;

/// "a.txt, b.txt": without their folders, which bear on no number.
std::string file_names(const std::vector<std::filesystem::path>& paths);

/// What is said of keys without a trigger example: they "never fired" or, of a search for the most negative coefficients, "were
/// never negative".
std::string_view without_examples_text(const ExperimentOptions& options);

/// A sentence and a space for what a run found about values: that they are negated; empty where they are not.
std::string_view negation_text(const ExperimentOptions& options);

/// Of numbers on trigger examples: model, training text, how it was searched.
Settings trigger_settings(const Workbench& bench);

/// Those, and how values are scored.
Settings value_settings(const Workbench& bench);

/// Of numbers on sampled prefixes: model, validation text, sampling.
Settings sample_settings(const Workbench& bench, const ExampleSet& examples);

/// Those, what r, y and o are in this model, and the lens that scores them, by the name of its option: "lens", "stream lens".
Settings stream_settings(const Workbench& bench, const ExampleSet& examples, const std::string& option, Lens lens);

}  // namespace ffmem::tools
