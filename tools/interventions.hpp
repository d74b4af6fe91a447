// Interventions on the command line: --set, --scale, --zero, --patch and --add become hooks, in the order in which they stand
// there, whatever their kinds. Their grammar is in edit_text.hpp.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "hooks/intervene.hpp"
#include "runtime/model.hpp"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace ffmem::tools {

/// For the help of commands that have them.
inline constexpr std::string_view kInterventionsHelp =
    "Interventions: layers, units and positions count from 0; at final_hidden and logits, leave :LAYER out. POINT is "
    "residual_pre,\n"
    "attention_out, residual_mid, ffn_in, key_scores, coefficients, ffn_out, residual_post, final_hidden or logits.\n";

class Interventions {
 public:
  /// Adds the five options to `command`, which must outlive every call below.
  void add_options(CLI::App& command);

  /// Reads, checks and loads what was asked for, for a run of one sequence over positions 0 to n_positions - 1. Throws
  /// UsageError for malformed options; layer_, unit_ or position_out_of_range; tensor_missing, tensor_shape, tensor_dtype and
  /// what opening a file throws.
  void prepare(const Model& model, std::size_t n_positions);

  /// As they were given, in order: "--zero coefficients:3:17 --zero ffn_out:5"; empty without any.
  std::string text() const;

  /// The files that they are read from. Throws UsageError for malformed options.
  std::vector<std::filesystem::path> files() const;

  /// The hooks, in order; valid as long as this object.
  std::vector<Hook*> hooks() const;

 private:
  std::vector<std::pair<Edit::Kind, std::string>> in_order() const;

  CLI::App* command_ = nullptr;
  std::vector<std::pair<const CLI::Option*, Edit::Kind>> options_;
  std::vector<std::unique_ptr<Hook>> hooks_;
};

}  // namespace ffmem::tools
