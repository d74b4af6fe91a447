#include "tools/experiments/command_line.hpp"

#include <CLI/CLI.hpp>
#include <limits>
#include <string>

#include "tools/lens.hpp"
#include "tools/option_checks.hpp"
#include "tools/output.hpp"

namespace ffmem::tools {
namespace {

constexpr std::size_t kMostSeed = std::numeric_limits<std::int64_t>::max();  // results hold it as a signed number

/// An option that takes one of two words.
template <class T>
void add_choice(CLI::App& command, const std::string& name, T& value, T first, const std::string& first_word, T second,
                const std::string& second_word, const std::string& what) {
  const auto take = [&value, first, second, first_word](const std::string& word) {
    value = word == first_word ? first : second;
  };
  check_word(command.add_option_function<std::string>(name, take, what), {first_word, second_word})
      ->default_str(value == first ? first_word : second_word);
}

void add_count(CLI::App& command, const std::string& name, std::size_t& value, const std::string& what) {
  check_count(command.add_option(name, value, what)->capture_default_str()->type_name("N"), 1);
}

void add_sources(CLI::App& command, ExperimentOptions& options) {
  add_model_options(command, options.model);
  // One file each time: more would swallow the MODEL behind them.
  command
      .add_option("--train", options.train,
                  "UTF-8 text whose sentences are searched for trigger examples (sections 3 and 4; may be given again)")
      ->allow_extra_args(false)
      ->type_name("FILE");
  command
      .add_option("--valid", options.valid,
                  "UTF-8 text from which prefixes are sampled (section 5 and memory-effects; may be given again)")
      ->allow_extra_args(false)
      ->type_name("FILE");
  command.add_option("-o,--out", options.out, "Folder for the results; intermediate ones in OUT/data are used again")
      ->required()
      ->type_name("FOLDER");
  add_choice(command, "--sentences", options.triggers.sentences, SentenceMode::icu, "icu", SentenceMode::lines, "lines",
             "How a line is cut: Unicode's sentence boundaries, or not");
  check_count(
      command.add_option("--max-sentences", options.triggers.max_sentences, "Only the first N sentences of the training text"),
      1, kMostSentences)
      ->type_name("N");
  check_count(command.add_option("--context", options.triggers.context,
                                 "Tokens at which a sentence is cut (default: the model's, at most 4096)"),
              1)
      ->type_name("N");
  check_count(command.add_option("--batch-tokens", options.triggers.batch_tokens, "Tokens run at a time"), 1, kMostBatchTokens)
      ->capture_default_str()
      ->type_name("N");
}

void add_definitions(CLI::App& command, ExperimentOptions& options) {
  add_choice(command, "--lens", options.value_lens, Lens::raw, "raw", Lens::final_norm, "final-norm",
             "Values, and feed-forward outputs beside them: times the output embedding as they are (the paper), or through the "
             "final norm");
  add_choice(command, "--stream-lens", options.stream_lens, Lens::raw, "raw", Lens::final_norm, "final-norm",
             "The same for the residual stream, and feed-forward outputs beside it (section 5.2)");
  add_choice(command, "--target", options.target, Target::next, "next", Target::last_read, "last-read",
             "A trigger example's token: the one behind the prefix (the paper), or its last (the authors' script)");
  add_choice(command, "--agreeing", options.agreeing, AgreeingMemories::active, "active", AgreeingMemories::all, "all",
             "Zero agreement: among memories whose coefficient is not 0, scored weighted, or among all values, scored bare");
  check_number(command.add_option("--active-above", options.active_above, "A memory is active if its |coefficient| is greater"),
               0.0)
      ->capture_default_str()
      ->type_name("X");
  command.add_flag(
      "--every-prefix", options.triggers.every_prefix,
      "Let several prefixes of one sentence be examples of a key (the paper; without it the best one is, as in its\n"
      "authors' code)");
  command.add_flag("--smallest", options.triggers.smallest,
                   "Trigger examples with the most negative coefficients (gated layers, GELU and the like); values are then "
                   "negated, as the\n"
                   "layer adds them there");
  command.add_flag("--one-per-sentence", options.one_per_sentence, "Sample one position of a sentence (the authors' code)");
}

void add_sizes(CLI::App& command, ExperimentOptions& options) {
  check_count(command.add_option("--seed", options.seed, "Of everything that is sampled"), 0, kMostSeed)
      ->capture_default_str()
      ->type_name("N");
  check_count(command.add_option("--top", options.triggers.top, "Trigger examples of each key"), 1, kMostTop)
      ->capture_default_str()
      ->type_name("N");
  add_count(command, "--examples", options.n_examples, "Sampled prefixes (sections 5.1 and 5.2)");
  add_count(command, "--removal-keys", options.removal_keys, "Keys a layer in token-removal");
  add_count(command, "--annotated-keys", options.annotated_keys, "Keys a layer in annotation");
  add_count(command, "--annotated-examples", options.annotated_examples, "Examples of a key that an annotator reads");
  command
      .add_option("--annotations", options.annotations,
                  "annotation, last-layer-changes: the folder filled in by one annotator, or by two")
      ->expected(1, 2)
      ->type_name("FOLDER [FOLDER]");
  add_count(command, "--changes", options.changes, "last-layer-changes: cases to label");
  check_count(command.add_option("--effect-layer", options.effect_layer,
                                 "memory-effects: whose memories are removed, counted from 0 (default: the last)"))
      ->type_name("LAYER");
  add_count(command, "--effect-examples", options.effect_examples, "memory-effects: prefixes on which they are removed");
  command.add_flag("--quiet", options.quiet, "No progress");
}

}  // namespace

void warn_of_no_gnuplot() { note("gnuplot is not installed: figures are left as numbers (.csv) and scripts (.gp)"); }

void add_experiment_options(CLI::App& command, const std::shared_ptr<ExperimentOptions>& options) {
  add_sources(command, *options);
  add_definitions(command, *options);
  add_sizes(command, *options);
}

}  // namespace ffmem::tools
