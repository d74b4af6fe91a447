// The ffmem command: subcommands, exit codes, and the one place where errors become a line on the screen.
//
// Exit codes: 0; 1 an error, told in one line on standard error; 2 a command line that makes no sense; 130 interrupted.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <memory>
#include <new>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ops/error.hpp"
#include "ops/threads.hpp"
#include "ops/version.hpp"
#include "tools/commands.hpp"
#include "tools/interrupt.hpp"
#include "tools/options.hpp"
#include "tools/output.hpp"
#include "tools/ranks.hpp"
#include "tools/wait_policy.hpp"

namespace ffmem::tools {
namespace {

constexpr int kError = 1;
constexpr int kUsage = 2;

/// One line, whatever the message holds.
void complain(std::string message) {
  std::ranges::replace(message, '\n', ' ');
  std::fflush(stdout);
  note(message);
}

/// "..." stands only behind what takes several at a time.
class HelpFormatter : public CLI::Formatter {
  std::string make_option_opts(const CLI::Option* option) const override {
    std::string text = CLI::Formatter::make_option_opts(option);
    const std::size_t dots = text.find(" ...");
    if (!option->get_allow_extra_args() && dots != std::string::npos) text.erase(dots, 4);
    return text;
  }
};

void add_commands(CLI::App& app) {
  app.formatter(std::make_shared<HelpFormatter>());
  app.set_version_flag("--version", concat("ffmem ", version()));
  app.require_subcommand(1);
  app.failure_message(CLI::FailureMessage::simple);
  add_info(app);
  add_tokenize(app);
  add_generate(app);
  add_perplexity(app);
  add_bench(app);
  add_capture(app);
  add_trace(app);
  add_triggers(app);
  add_merge(app);
  add_show(app);
  add_values(app);
  add_report(app);
  add_export(app);
  add_experiment(app);
  add_suite(app);
  app.footer(
      "`ffmem COMMAND --help` explains a command. Layers, units and positions count from 0; in\n"
      "the experiments' results layers count from 1.\n"
      "Exit codes: 0; 1 an error, told in one line; 2 a command line that makes no sense; 130 interrupted.\n"
      "Examples:\n"
      "  ffmem info models/gpt2\n"
      "  ffmem generate models/gpt2 --prompt \"The capital of France is\"\n"
      "  ffmem trace models/gpt2 \"The capital of France is\"\n"
      "  ffmem triggers models/gpt2 train.txt -o triggers.safetensors");
}

/// True for one slip of the fingers: at most two letters differ between a common beginning and a common end.
bool is_near(std::string_view a, std::string_view b) {
  if (a.size() > b.size()) std::swap(a, b);
  const auto begin = static_cast<std::size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
  a.remove_prefix(begin);
  b.remove_prefix(begin);
  while (!a.empty() && a.back() == b.back()) {
    a.remove_suffix(1);
    b.remove_suffix(1);
  }
  return b.size() <= 2;
}

/// The arguments, last first as CLI11 wants them. "--prompt=" becomes "--prompt" and an empty string: CLI11 would take the
/// next argument for the value.
std::vector<std::string> reversed_arguments(int argc, char** argv) {
  std::vector<std::string> arguments;
  for (int i = 1; i < argc; ++i) {
    std::string argument = argv[i];
    const bool empty_value = argument.starts_with("--") && argument.find('=') + 1 == argument.size();
    if (empty_value) argument.pop_back();
    arguments.push_back(std::move(argument));
    if (empty_value) arguments.emplace_back();
  }
  std::ranges::reverse(arguments);
  return arguments;
}

/// Throws for a first word that is no subcommand, naming the near ones.
void check_command_name(const CLI::App& app, int argc, char** argv) {
  if (argc < 2 || argv[1][0] == '-') return;
  const std::string_view given = argv[1];
  std::string near;
  std::string all;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    const std::string& name = command->get_name();
    if (name == given) return;
    all += (all.empty() ? "" : ", ") + name;
    if (is_near(given, name)) near += (near.empty() ? "" : ", ") + name;
  }
  throw UsageError(concat("no command '", given, "'; ", near.empty() ? "there are " + all : "did you mean " + near + "?"));
}

/// Whether ranks other than 0 have a part in the command.
bool works_in_ranks(int argc, char** argv) {
  const std::string_view command = argc < 2 ? "" : argv[1];
  return command == "triggers" || command == "experiment" || command == "suite" || command == "perplexity";
}

RankOutcome run_command(int argc, char** argv) {
  CLI::App app("Transformer feed-forward layers as key-value memories: run a checkpoint, look inside, change it.", "ffmem");
  add_commands(app);
  check_command_name(app, argc, argv);
  try {
    app.parse(reversed_arguments(argc, argv));
  } catch (const CLI::Success& request) {  // --help, --version
    if (rank() > 0) return {};
    std::ostringstream text;
    app.exit(request, text);
    write_out(text.str());
  } catch (const CLI::ParseError& error) {
    const auto chosen = app.get_subcommands();
    return {kUsage, concat(error.what(), "; see ffmem ", chosen.empty() ? "" : chosen.front()->get_name() + " ", "--help")};
  }
  flush_out();
  return {};
}

/// What `work` gives; an error that it throws as the outcome that stands for it.
template <class Work>
RankOutcome outcome_of(Work&& work) {
  try {
    return work();
  } catch (const UsageError& error) {
    return {kUsage, error.what()};
  } catch (const Error& error) {
    return {error.code() == ErrorCode::interrupted ? kInterruptedExit : kError, error.what()};
  } catch (const std::bad_alloc&) {
    return {kError, "out of memory"};
  } catch (const std::exception& error) {
    return {kError, error.what()};
  } catch (...) {
    return {kError, "an unknown error"};
  }
}

RankOutcome run_in_ranks(int argc, char** argv) {
  const RankScope ranks;
  const ThreadScope threads(ranks.threads());
  RankOutcome outcome = ranks.finish(outcome_of([&]() -> RankOutcome {
    if (rank() > 0 && !works_in_ranks(argc, argv)) return {};
    return run_command(argc, argv);
  }));
  // Said before the ranks part: the first that ends with an error has its launcher end the others.
  if (!outcome.message.empty()) complain(std::exchange(outcome.message, {}));
  return outcome;
}

}  // namespace
}  // namespace ffmem::tools

int main(int argc, char** argv) {
  using namespace ffmem::tools;
  limit_spinning(argv);
  const RankOutcome outcome = outcome_of([&] {
    reserve_standard_descriptors();
    std::signal(SIGPIPE, SIG_DFL);
    std::signal(SIGXFSZ, SIG_IGN);  // a limit of file sizes is then an error of the write, which names the file
    return run_in_ranks(argc, argv);
  });
  if (!outcome.message.empty()) complain(outcome.message);
  return outcome.exit_code;
}
