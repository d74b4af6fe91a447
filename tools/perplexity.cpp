// ffmem perplexity: how well a model predicts a text, in windows that begin at 0, stride, 2 stride, ...
//
// Without --lines, Hugging Face's recipe (huggingface.co/docs/transformers/perplexity): of each window, the tokens behind the
// previous window's end are scored, never its first token; the window that reaches the end of the text is the last. Every
// scored token counts the same, where that page's script weighs windows, by a token less than most of them score. With
// --lines, as in training: each token behind the previous window's end predicts the next one, the window's last token the
// first one behind the window, so that of all tokens only the very first is not scored.
//
// Ranks (tools/ranks.hpp) share the windows out. Each window's sum is its own, and rank 0 adds them up in their order, so that
// the result is the same number for any number of ranks.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "loaders/mapped_file.hpp"
#include "loaders/utf8.hpp"
#include "ops/error.hpp"
#include "ops/threads.hpp"
#include "runtime/output_head.hpp"
#include "runtime/session.hpp"
#include "tools/commands.hpp"
#include "tools/fingerprint.hpp"
#include "tools/interrupt.hpp"
#include "tools/json_text.hpp"
#include "tools/option_checks.hpp"
#include "tools/options.hpp"
#include "tools/output.hpp"
#include "tools/perplexity_windows.hpp"
#include "tools/progress.hpp"
#include "tools/rank_files.hpp"
#include "tools/ranks.hpp"
#include "tools/strip.hpp"

namespace ffmem::tools {
namespace {

/// Rows of one run: as many windows as fit, at least one.
constexpr std::size_t kRowsPerRun = 2048;

struct Options {
  ModelArguments model;
  std::filesystem::path file;
  std::size_t window = 0;
  std::size_t stride = 0;
  std::size_t max_tokens = 0;
  bool lines = false;
  bool json = false;
};

/// What a window's scored tokens add up to.
struct WindowSum {
  double log_probability = 0.0;
  std::uint64_t n_scored = 0;
};

/// Every line that is not blank, stripped (as Python's str.strip does it), behind a beginning-of-text token; lines for
/// `max_tokens` (0: all).
std::vector<TokenId> encode_lines(std::string_view text, const Tokenizer& tokenizer, TokenId bos, std::size_t max_tokens) {
  std::vector<TokenId> tokens;
  while (!text.empty() && (max_tokens == 0 || tokens.size() < max_tokens)) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = stripped_as_in_python(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty()) continue;
    tokens.push_back(bos);
    const std::vector<TokenId> ids = tokenizer.encode(line);
    tokens.insert(tokens.end(), ids.begin(), ids.end());
  }
  return tokens;
}

std::vector<TokenId> read_tokens(const Options& options, const ModelConfig& config) {
  const auto tokenizer = require_tokenizer(options.model, config);
  std::string text = read_text_file(options.file);
  if (text.starts_with(kByteOrderMark)) text.erase(0, kByteOrderMark.size());
  if (const std::size_t valid = valid_utf8_prefix(text); valid < text.size()) {
    const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(valid), '\n');
    fail(ErrorCode::text_not_utf8, options.file.string(), ": line ", line, ": byte ", valid, " (from 0) is not UTF-8");
  }
  std::vector<TokenId> tokens;
  if (options.lines) {
    const std::optional<TokenId> bos = config.bos ? config.bos : tokenizer->bos();
    if (!bos) fail(ErrorCode::argument_invalid, "--lines: the model has no beginning-of-text token");
    tokens = encode_lines(text, *tokenizer, *bos, options.max_tokens);
  } else {
    tokens = tokenizer->encode(text, Tokenizer::Special::add);
  }
  if (options.max_tokens > 0 && tokens.size() > options.max_tokens) tokens.resize(options.max_tokens);
  if (tokens.size() < 2) fail(ErrorCode::corpus_empty, options.file.native(), ": fewer than two tokens: nothing to score");
  return tokens;
}

/// Sums log p(next token) over the scored tokens of each window of a run.
class Score : public Hook {
 public:
  explicit Score(const OutputHead& head) : head_(head) {}

  /// The next run is of these windows. sums: one for each, added to until the run after it is announced.
  void next_run(std::span<const Window> windows, std::span<const TokenId> tokens, std::span<WindowSum> sums) {
    targets_.clear();
    sum_of_row_.clear();
    for (std::size_t w = 0; w < windows.size(); ++w) {
      for (std::size_t t = windows[w].begin; t < windows[w].end; ++t) {
        targets_.push_back(t >= windows[w].first_scored && t < windows[w].end_scored ? tokens[t + 1] : kNotScored);
        sum_of_row_.push_back(&sums[w]);
      }
    }
  }

  Access access(Point point, std::size_t /*layer*/) const override {
    return point == Point::final_hidden ? Access::read : Access::none;
  }

  void read(const PointView& view) override {
    const std::size_t n_rows = view.values.rows;
    for (std::size_t begin = 0; begin < n_rows;) {
      std::size_t end = begin;
      while (end < n_rows && targets_[view.first_row + end] != kNotScored) ++end;
      add(view.values.rows_between(begin, end), view.first_row + begin);
      begin = end + 1;
    }
  }

 private:
  static constexpr TokenId kNotScored = -1;

  void add(ConstMatrixView hidden, std::size_t first_row) {
    if (hidden.rows == 0) return;
    log_probabilities_.resize(hidden.rows);
    head_.log_probabilities_of(hidden, std::span(targets_).subspan(first_row, hidden.rows), log_probabilities_.data());
    for (std::size_t i = 0; i < hidden.rows; ++i) {
      WindowSum& sum = *sum_of_row_[first_row + i];
      sum.log_probability += static_cast<double>(log_probabilities_[i]);
      ++sum.n_scored;
    }
  }

  const OutputHead& head_;
  std::vector<TokenId> targets_;        // [rows of the run]
  std::vector<WindowSum*> sum_of_row_;  // likewise
  std::vector<float> log_probabilities_;
};

/// Runs the windows, several at a time.
std::vector<WindowSum> score(const std::shared_ptr<const Model>& model, std::span<const TokenId> tokens,
                             std::span<const Window> windows, int n_threads) {
  std::vector<WindowSum> sums(windows.size());
  if (windows.empty()) return sums;
  const std::size_t length = windows.front().end - windows.front().begin;  // no later one is longer
  const std::size_t per_run = std::max<std::size_t>(1, kRowsPerRun / length);
  Session session(model, {.max_sequences = per_run,
                          .context = length,
                          .max_batch_tokens = per_run * length,
                          .keep_cache = false,
                          .n_threads = n_threads});
  Score hook(model->head());
  Hook* const hooks[] = {&hook};
  const auto begin = static_cast<double>(windows.front().begin);
  Progress progress("perplexity", static_cast<double>(windows.back().end) - begin, "tokens", rank() > 0);
  for (std::size_t first = 0; first < windows.size(); first += per_run) {
    throw_if_interrupted();
    const auto now = windows.subspan(first, std::min(per_run, windows.size() - first));
    std::vector<TokenId> batch;
    std::vector<std::size_t> offsets{0};
    for (const Window& window : now) {
      batch.insert(batch.end(), tokens.begin() + static_cast<std::ptrdiff_t>(window.begin),
                   tokens.begin() + static_cast<std::ptrdiff_t>(window.end));
      offsets.push_back(batch.size());
    }
    hook.next_run(now, tokens, std::span(sums).subspan(first, now.size()));
    session.run({batch, offsets}, LogitsRows::none, hooks);
    progress.update(static_cast<double>(now.back().end) - begin);
  }
  return sums;
}

/// The first window of a rank; that of rank n_ranks() is the number of windows.
std::size_t first_of_rank(int of, std::size_t n_windows) {
  return n_windows * static_cast<std::size_t>(of) / static_cast<std::size_t>(n_ranks());
}

/// Every rank's sums, in the order of the windows, on rank 0; elsewhere none.
std::vector<WindowSum> gather(std::vector<WindowSum> sums, std::size_t n_windows, const std::string& files_read) {
  if (rank() > 0) {
    send_files_read(0, files_read);
    send_to(0, sums.data(), sums.size() * sizeof(WindowSum));
    return {};
  }
  for (int from = 1; from < n_ranks(); ++from) {
    check_files_read(from, files_read);
    std::vector<WindowSum> theirs(first_of_rank(from + 1, n_windows) - first_of_rank(from, n_windows));
    receive_from(from, theirs.data(), theirs.size() * sizeof(WindowSum));
    sums.insert(sums.end(), theirs.begin(), theirs.end());
  }
  return sums;
}

/// All windows' sums on rank 0, each rank's work done; elsewhere none.
std::vector<WindowSum> score_in_ranks(const Options& options, const std::shared_ptr<const Model>& model,
                                      std::span<const TokenId> tokens, std::span<const Window> windows) {
  const std::size_t begin = first_of_rank(rank(), windows.size());
  const std::size_t end = first_of_rank(rank() + 1, windows.size());
  std::vector<WindowSum> sums = score(model, tokens, windows.subspan(begin, end - begin), options.model.threads);
  if (n_ranks() == 1) return sums;
  const std::string model_files = model_fingerprint(options.model.folder, weight_files(*model));
  return gather(std::move(sums), windows.size(), model_files + " " + fingerprint({options.file}));
}

void run(const Options& options) {
  const ThreadScope threads(options.model.threads);
  const auto model = load_model(options.model);
  const std::size_t context = model->config().max_positions;
  const std::size_t window = options.window == 0 ? context : options.window;
  const std::size_t default_stride = options.lines ? window : std::max<std::size_t>(1, window / 2);
  const std::size_t stride = options.stride == 0 ? default_stride : options.stride;
  if (window > context) {
    fail(ErrorCode::context_exceeded, "--window ", window, ": the model's context is ", context);
  }
  if (stride > window) throw UsageError(concat("--stride ", stride, ": expected at most the window of ", window, " tokens"));

  const std::vector<TokenId> tokens = read_tokens(options, model->config());
  catch_interrupts();
  const std::vector<Window> windows = make_windows(tokens.size(), window, stride, options.lines);
  const std::vector<WindowSum> sums = score_in_ranks(options, model, tokens, windows);
  if (rank() > 0) return;
  WindowSum total;
  for (const WindowSum& sum : sums) {
    total.log_probability += sum.log_probability;
    total.n_scored += sum.n_scored;
  }
  if (std::isnan(total.log_probability)) {
    fail(ErrorCode::argument_invalid, options.model.folder.string(), ": the log-probabilities of ", options.file.string(),
         " are not numbers: do the model's weights hold NaN?");
  }
  const double nats = -total.log_probability / static_cast<double>(total.n_scored);
  if (options.json) {
    write_out(JsonObject()
                  .add("tokens_scored", total.n_scored)
                  .add("nats_per_token", nats)
                  .add("perplexity", std::exp(nats))
                  .add("tokens", tokens.size())
                  .add("window", window)
                  .add("stride", stride)
                  .add("lines", options.lines)
                  .line());
  } else {
    write_out(fmt::format("tokens scored   {}\nnats per token  {:.4f}\nperplexity      {:.4f}\n", total.n_scored, nats,
                          std::exp(nats)));
  }
}

}  // namespace

void add_perplexity(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("perplexity", "How well a model predicts a text file");
  add_model_options(*command, options->model);
  command->add_option("FILE", options->file, "UTF-8 text")->required()->type_name("");
  check_count(command->add_option("--window", options->window, "Tokens of a window (default: the model's context)"), 2)
      ->type_name("N");
  check_count(
      command->add_option("--stride", options->stride,
                          "Tokens from one window's begin to the next's (default: half a window; with --lines a window)"),
      1)
      ->type_name("N");
  check_count(command->add_option("--max-tokens", options->max_tokens, "Use the first N tokens only"), 2)->type_name("N");
  command->add_flag("--lines", options->lines,
                    "Take the file line by line: each line that is not blank, stripped, behind a beginning-of-text token");
  command->add_flag("--json", options->json, "One JSON object");
  command->footer(
      "Hugging Face's recipe: of each window, the tokens behind the previous window's end are scored, but never a window's\n"
      "first token; every scored token counts the same. With --lines, as in training: each token of a window predicts the\n"
      "next one, the last one the first token behind the window. A smaller stride gives each token more context and takes\n"
      "longer. Ranks of mpirun share the windows.\n"
      "Examples:\n"
      "  ffmem perplexity models/gpt2 wiki.test.tokens\n"
      "  ffmem perplexity models/gpt2 wiki.test.tokens --stride 1024     # windows side by side\n"
      "  ffmem perplexity models/wikitext2-relu-12x256 wiki.test.tokens --lines     # how its card measures");
  command->callback([options] { run(*options); });
}

}  // namespace ffmem::tools
