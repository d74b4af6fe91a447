// What several subcommands ask for on the command line, and what they make of it.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "hooks/points.hpp"
#include "loaders/tokenizer.hpp"
#include "runtime/model.hpp"

namespace CLI {
class App;
}  // namespace CLI

namespace ffmem::tools {

/// A command line that says something malformed. Ends the program with exit code 2.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// MODEL, --threads and --weights.
struct ModelArguments {
  std::filesystem::path folder;
  int threads = 0;  // 0: as available
  WeightMode weights = WeightMode::f32;
};
void add_model_options(CLI::App& command, ModelArguments& arguments);

/// --threads, alone.
void add_threads_option(CLI::App& command, int& threads, const std::string& what);

/// The folder as results record it: as it was given, in its plainest spelling.
std::string model_path_text(const std::filesystem::path& folder);

/// The folder's model, loaded with the threads asked for.
std::shared_ptr<const Model> load_model(const ModelArguments& arguments);

/// The folder's tokenizer, or null where it has none. Throws tokenizer_mismatch if it has ids the model has no embedding for.
std::shared_ptr<const Tokenizer> load_tokenizer(const ModelArguments& arguments, const ModelConfig& config);

/// The same, but throws file_not_found where there is none.
std::shared_ptr<const Tokenizer> require_tokenizer(const ModelArguments& arguments, const ModelConfig& config);

/// load_model and load_tokenizer side by side, for commands whose start a user waits for.
struct ModelAndTokenizer {
  std::shared_ptr<const Model> model;
  std::shared_ptr<const Tokenizer> tokenizer;
};
ModelAndTokenizer load_model_and_tokenizer(const ModelArguments& arguments);

/// What a run starts from: a text, or token ids.
struct PromptArguments {
  std::optional<std::string> text;
  std::optional<std::string> tokens;
  std::filesystem::path tokens_file;
};

/// Throws UsageError if nothing was given; `choices` are the ways to give it ("--prompt or --tokens").
void require_prompt(const PromptArguments& arguments, std::string_view choices);

/// The ids: of the text with the tokenizer's special tokens (an empty text: beginning-of-text alone), or those given.
/// `tokenizer` may be null for ids. Throws UsageError for malformed ids, token_out_of_range for one outside the vocabulary,
/// argument_invalid where nothing is left to run, file_not_found for text without a tokenizer.
std::vector<TokenId> prompt_tokens(const PromptArguments& arguments, const ModelArguments& model, const ModelConfig& config,
                                   const Tokenizer* tokenizer);

/// Token ids separated by spaces, commas or line ends. Throws UsageError.
std::vector<TokenId> parse_token_ids(std::string_view text);

/// Layers or units [begin, end).
struct IndexRange {
  std::size_t begin = 0;
  std::size_t end = 0;
};

/// "3": layer 3; "2:5": 2, 3, 4; "2:" and ":5": from 2, before 5. Throws UsageError for another form, layer_out_of_range
/// where it leaves the model or holds no layer.
IndexRange parse_layer_range(std::string_view text, std::size_t n_layers);

/// The same of the units of a layer. Throws UsageError, unit_out_of_range.
IndexRange parse_unit_range(std::string_view text, std::size_t n_units);

/// "f32", "bf16", "int8", "int4". Throws UsageError.
WeightMode parse_weight_mode(std::string_view text);

/// Throws UsageError naming the near points.
Point parse_point(std::string_view text);

/// Point names, comma separated in each of `texts`; "all" is every point. Throws UsageError.
std::set<Point> parse_points(const std::vector<std::string>& texts);

/// The text as a whole number from 0 on. Throws UsageError naming `what`.
std::size_t parse_count(std::string_view text, std::string_view what);

/// The text as a number. Throws UsageError naming `what`.
float parse_number(std::string_view text, std::string_view what);

/// Whether `path` and one of `files` are the same file, by whatever names.
bool is_one_of(const std::filesystem::path& path, const std::vector<std::filesystem::path>& files);

/// Throws UsageError if `out`, which is to be written, is the same file as one of `inputs`.
void check_is_no_input(const std::filesystem::path& out, const std::vector<std::filesystem::path>& inputs);

/// Throws argument_invalid where a file cannot store the name, which is not UTF-8. `of` is the file or folder that it names.
void check_storable(std::string_view name, const std::filesystem::path& of);

/// All of standard input.
std::string read_standard_input();

}  // namespace ffmem::tools
