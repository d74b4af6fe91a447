#include "tools/options.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <future>
#include <optional>

#include "loaders/mapped_file.hpp"
#include "loaders/utf8.hpp"
#include "ops/error.hpp"
#include "ops/threads.hpp"
#include "tools/numbers.hpp"
#include "tools/option_checks.hpp"
#include "tools/token_text.hpp"

namespace ffmem::tools {
namespace {

template <class T>
T parse_whole(std::string_view text, std::string_view what) {
  const std::optional<T> value = to_number<T>(text);
  if (!value) throw UsageError(concat(what, ": expected a whole number, found '", text, "'"));
  return *value;
}

/// "3", "2:5", "2:", ":5" of 0 to n, not compared with n.
IndexRange parse_range(std::string_view text, std::size_t n, std::string_view what) {
  const std::size_t colon = text.find(':');
  const std::string_view first = text.substr(0, colon);
  IndexRange range{0, n};
  if (!first.empty() || colon == std::string_view::npos) range.begin = parse_count(first, what);
  if (colon == std::string_view::npos) {
    range.end = range.begin + 1;
  } else if (const std::string_view last = text.substr(colon + 1); !last.empty()) {
    range.end = parse_count(last, what);
  }
  return range;
}

bool separates_ids(char c) { return c == ' ' || c == ',' || c == '\n' || c == '\r' || c == '\t'; }

void check_range(const std::vector<TokenId>& tokens, const ModelConfig& config) {
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] >= 0 && static_cast<std::size_t>(tokens[i]) < config.vocab_size) continue;
    fail(ErrorCode::token_out_of_range, "token id ", tokens[i], " (number ", i, "): the vocabulary has ids 0 to ",
         config.vocab_size - 1);
  }
}

std::vector<TokenId> text_tokens(std::string_view text, const ModelArguments& model, const ModelConfig& config,
                                 const Tokenizer* tokenizer) {
  if (tokenizer == nullptr) {
    fail(ErrorCode::file_not_found, model.folder.native(), ": no tokenizer in this folder; give token ids (--tokens)");
  }
  std::vector<TokenId> tokens = tokenizer->encode(text, Tokenizer::Special::add);
  if (tokens.empty()) {
    const std::optional<TokenId> bos = config.bos ? config.bos : tokenizer->bos();
    if (!bos) fail(ErrorCode::argument_invalid, "the text has no tokens, and the model no beginning-of-text token");
    tokens.push_back(*bos);
  }
  return tokens;
}

/// Null where the folder has none.
std::shared_ptr<const Tokenizer> read_tokenizer(const std::filesystem::path& folder) {
  try {
    return Tokenizer::load(folder);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::file_not_found) throw;
    return nullptr;
  }
}

void check_tokenizer(const Tokenizer& tokenizer, const ModelArguments& arguments, const ModelConfig& config) {
  if (tokenizer.vocab_size() <= config.vocab_size) return;
  fail(ErrorCode::tokenizer_mismatch, arguments.folder.native(), ": the tokenizer has ids up to ", tokenizer.vocab_size() - 1,
       " (", tokenizer.vocab_size(), " tokens), the model's vocabulary has ", config.vocab_size);
}

}  // namespace

WeightMode parse_weight_mode(std::string_view text) {
  for (const WeightMode mode : {WeightMode::f32, WeightMode::bf16, WeightMode::int8, WeightMode::int4}) {
    if (text == name(mode)) return mode;
  }
  throw UsageError(concat("--weights: expected f32, bf16, int8 or int4, found '", text, "'"));
}

void add_threads_option(CLI::App& command, int& threads, const std::string& what) {
  check_count(command.add_option("--threads", threads, what), 1, 4096)->type_name("N");
}

void add_model_options(CLI::App& command, ModelArguments& arguments) {
  command.add_option("MODEL", arguments.folder, "Folder with config.json, weights (safetensors) and tokenizer")
      ->required()
      ->type_name("");
  add_threads_option(command, arguments.threads, "Threads to compute with (default: all there are, or OMP_NUM_THREADS)");
  command
      .add_option_function<std::string>(
          "--weights", [&arguments](const std::string& text) { arguments.weights = parse_weight_mode(text); },
          "How matrices are held: f32 (the reference), bf16, int8 or int4 (smaller, faster, less exact)")
      ->type_name("MODE");
}

std::string model_path_text(const std::filesystem::path& folder) {
  const std::string text = folder.lexically_normal().generic_string();
  return text.size() > 1 && text.ends_with('/') ? text.substr(0, text.size() - 1) : text;
}

std::shared_ptr<const Model> load_model(const ModelArguments& arguments) {
  const ThreadScope threads(arguments.threads);
  return Model::load(arguments.folder, {.weights = arguments.weights});
}

std::shared_ptr<const Tokenizer> require_tokenizer(const ModelArguments& arguments, const ModelConfig& config) {
  auto tokenizer = Tokenizer::load(arguments.folder);
  check_tokenizer(*tokenizer, arguments, config);
  return tokenizer;
}

std::shared_ptr<const Tokenizer> load_tokenizer(const ModelArguments& arguments, const ModelConfig& config) {
  auto tokenizer = read_tokenizer(arguments.folder);
  if (tokenizer) check_tokenizer(*tokenizer, arguments, config);
  return tokenizer;
}

ModelAndTokenizer load_model_and_tokenizer(const ModelArguments& arguments) {
  auto reading = std::async(std::launch::async, read_tokenizer, arguments.folder);
  ModelAndTokenizer loaded{.model = load_model(arguments), .tokenizer = reading.get()};
  if (loaded.tokenizer) check_tokenizer(*loaded.tokenizer, arguments, loaded.model->config());
  return loaded;
}

void require_prompt(const PromptArguments& arguments, std::string_view choices) {
  if (arguments.text || arguments.tokens || !arguments.tokens_file.empty()) return;
  throw UsageError(concat("nothing to run: give ", choices));
}

std::vector<TokenId> prompt_tokens(const PromptArguments& arguments, const ModelArguments& model, const ModelConfig& config,
                                   const Tokenizer* tokenizer) {
  std::vector<TokenId> tokens;
  if (arguments.text) {
    tokens = text_tokens(*arguments.text, model, config, tokenizer);
  } else if (!arguments.tokens_file.empty()) {
    tokens = parse_token_ids(read_text_file(arguments.tokens_file));
  } else {
    tokens = parse_token_ids(arguments.tokens.value_or(""));
  }
  if (tokens.empty()) fail(ErrorCode::argument_invalid, "there are no tokens to run");
  check_range(tokens, config);
  return tokens;
}

std::vector<TokenId> parse_token_ids(std::string_view text) {
  std::vector<TokenId> ids;
  for (auto at = text.begin();;) {
    at = std::find_if_not(at, text.end(), separates_ids);
    if (at == text.end()) return ids;
    const auto end = std::find_if(at, text.end(), separates_ids);
    ids.push_back(parse_whole<TokenId>({at, end}, "token ids"));
    at = end;
  }
}

IndexRange parse_layer_range(std::string_view text, std::size_t n_layers) {
  const IndexRange range = parse_range(text, n_layers, "--layers");
  if (range.begin < range.end && range.end <= n_layers) return range;
  fail(ErrorCode::layer_out_of_range, "--layers ", text, ": the model has layers 0 to ", n_layers - 1,
       " (A:B means A to B - 1)");
}

IndexRange parse_unit_range(std::string_view text, std::size_t n_units) {
  const IndexRange range = parse_range(text, n_units, "--units");
  if (range.begin < range.end && range.end <= n_units) return range;
  fail(ErrorCode::unit_out_of_range, "--units ", text, ": a layer has units 0 to ", n_units - 1, " (A:B means A to B - 1)");
}

std::set<Point> parse_points(const std::vector<std::string>& texts) {
  std::set<Point> points;
  for (const std::string& text : texts) {
    for (std::size_t begin = 0; begin <= text.size();) {
      const std::size_t end = std::min(text.find(',', begin), text.size());
      const std::string_view point = std::string_view(text).substr(begin, end - begin);
      if (point == "all") {
        points.insert(kAllPoints.begin(), kAllPoints.end());
      } else {
        points.insert(parse_point(point));
      }
      begin = end + 1;
    }
  }
  return points;
}

Point parse_point(std::string_view text) {
  try {
    return point_from_name(text);
  } catch (const Error& error) {
    throw UsageError(error.what());
  }
}

std::size_t parse_count(std::string_view text, std::string_view what) { return parse_whole<std::size_t>(text, what); }

float parse_number(std::string_view text, std::string_view what) {
  const std::optional<float> value = to_number<float>(text.starts_with('+') ? text.substr(1) : text);
  if (!value) throw UsageError(concat(what, ": expected a number, found '", text, "'"));
  return *value;
}

bool is_one_of(const std::filesystem::path& path, const std::vector<std::filesystem::path>& files) {
  return std::ranges::any_of(files, [&](const std::filesystem::path& file) {
    std::error_code error;  // one of the two is not there: not the same
    return std::filesystem::equivalent(path, file, error);
  });
}

void check_is_no_input(const std::filesystem::path& out, const std::vector<std::filesystem::path>& inputs) {
  if (is_one_of(out, inputs)) throw UsageError(concat("-o ", out.string(), ": the result would replace what it is made from"));
}

void check_storable(std::string_view name, const std::filesystem::path& of) {
  if (valid_utf8_prefix(name) == name.size()) return;
  fail(ErrorCode::argument_invalid, readable_text(of.native()), ": expected a name in UTF-8, which a result can store");
}

std::string read_standard_input() {
  std::string text;
  std::string buffer(std::size_t{1} << 16, '\0');
  while (true) {
    const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), stdin);
    text.append(buffer, 0, n);
    if (n < buffer.size()) break;
  }
  if (std::ferror(stdin) != 0) fail(ErrorCode::file_unreadable, "standard input: cannot be read");
  return text;
}

}  // namespace ffmem::tools
