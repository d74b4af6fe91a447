// ffmem tokenize: text to tokens and back, without a model.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>

#include "loaders/mapped_file.hpp"
#include "tools/commands.hpp"
#include "tools/json_text.hpp"
#include "tools/options.hpp"
#include "tools/output.hpp"
#include "tools/token_text.hpp"

namespace ffmem::tools {
namespace {

struct Options {
  std::filesystem::path folder;
  std::optional<std::string> text;
  std::filesystem::path file;
  std::optional<std::string> ids;  // to decode
  bool ids_only = false;
  bool special = false;
  bool json = false;
};

/// Output is collected up to this size, then written.
constexpr std::size_t kPieceBytes = std::size_t{1} << 16;

/// Writes line_of(i) for i < n; many tokens make few writes.
template <class LineOf>
void write_each(std::size_t n, LineOf append_line) {
  std::string piece;
  for (std::size_t i = 0; i < n; ++i) {
    append_line(i, piece);
    if (piece.size() < kPieceBytes) continue;
    write_out(piece);
    piece.clear();
  }
  write_out(piece);
}

void append_id(TokenId id, std::string& text) {
  const fmt::format_int digits(id);
  text.append(digits.data(), digits.size());
}

void print_ids(std::span<const TokenId> ids) {
  write_each(ids.size(), [&](std::size_t i, std::string& text) {
    if (i > 0) text += ' ';
    append_id(ids[i], text);
  });
  write_out("\n");
}

void print_tokens(const Tokenizer& tokenizer, std::span<const TokenId> ids) {
  write_each(ids.size(), [&](std::size_t i, std::string& text) {
    append_id(ids[i], text);
    text += '\t';
    text += visible_text(tokenizer.token(ids[i]));
    text += '\n';
  });
}

std::string tokens_json(const Tokenizer& tokenizer, std::span<const TokenId> ids) {
  std::vector<std::string> spellings;
  for (const TokenId id : ids) spellings.push_back(tokenizer.token(id));
  return JsonObject().add("tokens", ids).add("spellings", spellings).line();
}

void decode(const Options& options, const Tokenizer& tokenizer) {
  const std::vector<TokenId> ids = parse_token_ids(*options.ids == "-" ? read_standard_input() : *options.ids);
  const std::string text = tokenizer.decode(ids);
  write_out(options.json ? JsonObject().add("tokens", ids).add("text", text).line() : text + "\n");
}

void encode(const Options& options, const Tokenizer& tokenizer) {
  std::string text;
  if (!options.file.empty()) {
    text = read_text_file(options.file);
  } else {
    text = *options.text == "-" ? read_standard_input() : *options.text;
  }
  const auto special = options.special ? Tokenizer::Special::add : Tokenizer::Special::none;
  const std::vector<TokenId> ids = tokenizer.encode(text, special);
  if (options.json) {
    write_out(tokens_json(tokenizer, ids));
  } else if (options.ids_only) {
    print_ids(ids);
  } else {
    print_tokens(tokenizer, ids);
  }
}

void run(const Options& options) {
  if (!options.text && !options.ids && options.file.empty()) {
    throw UsageError("nothing to tokenize: give TEXT, - for standard input, --file, or --decode");
  }
  const auto tokenizer = Tokenizer::load(options.folder);
  if (options.ids) {
    decode(options, *tokenizer);
  } else {
    encode(options, *tokenizer);
  }
}

}  // namespace

void add_tokenize(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("tokenize", "Text to tokens, and back");
  command->add_option("MODEL", options->folder, "Folder with a tokenizer; nothing else is needed")->required()->type_name("");
  CLI::Option* text = command->add_option("TEXT", options->text, "The text; - reads standard input")->type_name("");
  CLI::Option* file = command->add_option("--file", options->file, "Read the text from a file")->type_name("FILE");
  CLI::Option* ids_only = command->add_flag("--ids", options->ids_only, "Ids alone, on one line");
  CLI::Option* special =
      command->add_flag("--special", options->special, "Add the special tokens that the tokenizer puts around a text");
  command->add_option("--decode", options->ids, "Print the text of these ids (\"5,17\" or \"5 17\"; - reads standard input)")
      ->type_name("IDS")
      ->excludes(text)
      ->excludes(file)
      ->excludes(ids_only)
      ->excludes(special);
  file->excludes(text);
  command->add_flag("--json", options->json, "One JSON object: tokens (ids) and their spellings, or tokens and text")
      ->excludes(ids_only);
  command->footer(
      "Without --ids: a line for each token, its id and the vocabulary's spelling.\n"
      "Examples:\n"
      "  ffmem tokenize models/gpt2 \"Hello world\"\n"
      "  ffmem tokenize models/gpt2 --file book.txt --ids > ids.txt\n"
      "  ffmem tokenize models/gpt2 --decode \"15496 995\"");
  command->callback([options] { run(*options); });
}

}  // namespace ffmem::tools
