// What the experiments share: the model, the corpora, the options, and intermediate results that are computed once and kept in
// OUT/data, so that no experiment repeats another's work and a killed suite goes on where it was.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "loaders/safetensors.hpp"
#include "loaders/tokenizer.hpp"
#include "ops/error.hpp"
#include "runtime/model.hpp"
#include "runtime/output_head.hpp"
#include "tools/corpus.hpp"
#include "tools/experiments/statistics.hpp"
#include "tools/options.hpp"
#include "tools/trigger_job.hpp"
#include "tools/trigger_store.hpp"
#include "tools/value_table.hpp"

namespace ffmem::tools {

/// The token that a memory's trigger example is compared with.
enum class Target {
  next,       // the token behind the prefix: what the paper says
  last_read,  // the prefix's last token: what the authors' agreement script compares
};

/// Which memories count in zero agreement (paper section 5.1).
enum class AgreeingMemories {
  active,  // those whose coefficient is not 0, scored weighted: top(m v)
  all,     // every value of the layer, scored bare: top(v)
};

struct ExperimentOptions {
  ModelArguments model;
  std::vector<std::filesystem::path> train;  // for trigger examples
  std::vector<std::filesystem::path> valid;  // for sampled prefixes
  std::filesystem::path out;
  TriggerRequest triggers;  // how sentences are cut and searched; its sentence mode holds for `valid` too
  std::uint64_t seed = 1;
  Lens value_lens = Lens::raw;          // how values, and y beside them, are scored
  Lens stream_lens = Lens::final_norm;  // how r, y and o are scored
  Target target = Target::next;
  std::size_t n_examples = 4000;  // sampled prefixes (sections 5.1 and 5.2 of the paper)
  bool one_per_sentence = false;  // one random position of each of n_examples random sentences, as the authors' code
  float active_above = 0.0F;      // a memory is active if |m| is greater
  AgreeingMemories agreeing = AgreeingMemories::active;
  std::size_t removal_keys = 100;   // per layer, in token-removal
  std::size_t annotated_keys = 10;  // per layer, in annotation
  std::size_t annotated_examples = 25;
  std::vector<std::filesystem::path> annotations;  // folders of one annotator or two
  std::size_t changes = 100;                       // last-layer changes to label
  std::optional<std::size_t> effect_layer;         // whose memories are removed (from 0; default: the last)
  std::size_t effect_examples = 200;               // prefixes on which they are
  bool quiet = false;
};

/// Throw UsageError where the text is not given.
void require_train(const ExperimentOptions& options);
void require_valid(const ExperimentOptions& options);

/// What a stored intermediate result was made from; it is used again only where all of it is the same.
using Origin = std::map<std::string, std::string>;

/// True if `path` is a safetensors file whose metadata holds all of `origin`; what is damaged does not.
bool comes_from(const std::filesystem::path& path, const Origin& origin);

class Workbench {
 public:
  /// Loads model and tokenizer, makes the folders and clears them of what killed runs left half written. Throws what loading
  /// throws, file_unwritable, layer_out_of_range (effect_layer), argument_invalid (annotations); UsageError where `out` is the
  /// model's folder, or a text is a file that the run would write over.
  explicit Workbench(ExperimentOptions options);

  const ExperimentOptions& options() const noexcept { return options_; }
  const std::shared_ptr<const Model>& model() const noexcept { return model_; }
  const std::shared_ptr<const Tokenizer>& tokenizer() const noexcept { return tokenizer_; }
  const std::string& model_fingerprint() const noexcept { return model_fingerprint_; }

  /// Of `train` / `valid`, read once. Throws what fingerprint throws.
  const std::string& train_fingerprint() const;
  const std::string& valid_fingerprint() const;

  /// The folder's own name, whatever path it was given by.
  std::string model_name() const;

  std::size_t n_layers() const noexcept { return model_->config().n_layers; }
  std::size_t d_memory() const noexcept { return model_->config().d_memory; }

  /// The token fed before each sentence, if the model has one.
  std::optional<TokenId> prefix_token() const;

  /// Tokens of a sentence's run at most (tools/trigger_job.hpp).
  std::size_t context() const;

  /// The trigger examples of `train`: OUT/data/triggers.safetensors (smallest-triggers.safetensors, with the weight mode's name
  /// as below), searched where it is not there (resumed where it is half done); says so where it replaces another search's.
  /// Throws what the search throws.
  const TriggerStore& triggers();

  /// How the layer adds a value at its key's trigger examples.
  ValueSign example_sign() const noexcept { return tools::example_sign(options_.triggers.smallest); }

  /// What ranks other than 0 (tools/ranks.hpp) do: their part of that search, if rank 0 comes to need it, until rank 0 ends.
  void assist_rank_0();

  /// The ten best tokens of every value v of every layer, or of -v, by options().value_lens: OUT/data/values.safetensors or
  /// negated-values.safetensors.
  const ValueTable& values(ValueSign sign);

  /// What read(file) gives of OUT/data/NAME.safetensors (NAME-int8.safetensors and so on in other weight modes than f32). If
  /// the file is there, its metadata holds all of `origin` (which always gets the model's fingerprint and weight mode), and
  /// read() does not throw an Error over it, it is used; else make(path, metadata) must write it with that metadata, whole or
  /// not at all.
  template <class Make, class Read>
  auto stored(std::string_view name, Origin origin, Make&& make, Read&& read) const {
    const std::filesystem::path path = stored_path(name);
    origin.emplace("model_fingerprint", model_fingerprint_);
    origin.emplace("weights", ffmem::name(model_->weight_mode()));
    if (comes_from(path, origin)) {
      try {
        auto found = read(SafetensorsFile(path));
        note_use(path, true);
        return found;
      } catch (const Error&) {  // damaged
      }
    }
    make(path, origin);
    note_use(path, false);
    return read(SafetensorsFile(path));
  }

  /// The names of the files in OUT/data that this run used as an earlier one had left them.
  std::vector<std::string> reused() const;

  /// What a result that rests on the training text, on the trigger examples, on the validation text, or on n_examples prefixes
  /// sampled from it was made from, for stored().
  Origin train_origin() const;
  Origin trigger_origin() const;
  Origin valid_origin() const;
  Origin sample_origin(std::size_t n_examples) const;

  Random random(std::string_view purpose) const { return {options_.seed, purpose}; }

 private:
  TriggerJob trigger_job() const;
  std::filesystem::path stored_path(std::string_view name) const;
  void note_use(const std::filesystem::path& file, bool reused) const;

  ExperimentOptions options_;
  std::shared_ptr<const Model> model_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::string model_fingerprint_;
  mutable std::string train_fingerprint_;
  mutable std::string valid_fingerprint_;
  mutable std::map<std::string, bool> data_files_;  // that were used: whether the first use found the file
  std::unique_ptr<TriggerStore> triggers_;
  std::map<ValueSign, ValueTable> values_;
};

}  // namespace ffmem::tools
