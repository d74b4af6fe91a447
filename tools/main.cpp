// The ffmem command: subcommands, exit codes, and the one place where errors become a line on the screen.
//
// Exit codes: 0; 1 an error, told in one line on standard error; 2 a command line that makes no sense; 130 interrupted.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ops/error.hpp"
#include "tools/commands.hpp"
#include "tools/options.hpp"
#include "tools/output.hpp"
#include "tools/wait_policy.hpp"

namespace ffmem::tools {
namespace {

constexpr int kError = 1;
constexpr int kUsage = 2;
constexpr int kInterrupted = 130;

/// One line, whatever the message holds.
int complain(std::string message, int exit_code) noexcept {
  std::ranges::replace(message, '\n', ' ');
  std::fflush(stdout);
  std::fputs(("ffmem: " + message + "\n").c_str(), stderr);
  return exit_code;
}

void add_commands(CLI::App& app) {
  app.set_version_flag("--version", "ffmem " FFMEM_VERSION);
  app.require_subcommand(1);
  app.failure_message(CLI::FailureMessage::simple);
  add_info(app);
  add_tokenize(app);
  add_generate(app);
  add_perplexity(app);
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
      "`ffmem COMMAND --help` explains a command. Layers, units and positions count from 0.\n"
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

int run(int argc, char** argv) {
  reserve_standard_descriptors();
  std::signal(SIGPIPE, SIG_DFL);
  CLI::App app("Transformer feed-forward layers as key-value memories: run a checkpoint, look inside, change it.", "ffmem");
  add_commands(app);
  check_command_name(app, argc, argv);
  try {
    app.parse(reversed_arguments(argc, argv));
  } catch (const CLI::Success& request) {  // --help, --version
    app.exit(request);
  } catch (const CLI::ParseError& error) {
    const auto chosen = app.get_subcommands();
    return complain(concat(error.what(), "; see ffmem ", chosen.empty() ? "" : chosen.front()->get_name() + " ", "--help"),
                    kUsage);
  }
  flush_out();
  return 0;
}

}  // namespace
}  // namespace ffmem::tools

int main(int argc, char** argv) {
  using namespace ffmem::tools;
  limit_spinning(argv);
  try {
    return run(argc, argv);
  } catch (const UsageError& error) {
    return complain(error.what(), kUsage);
  } catch (const ffmem::Error& error) {
    return complain(error.what(), error.code() == ffmem::ErrorCode::interrupted ? kInterrupted : kError);
  } catch (const std::bad_alloc&) {
    return complain("out of memory", kError);
  } catch (const std::exception& error) {
    return complain(error.what(), kError);
  } catch (...) {
    return complain("an unknown error", kError);
  }
}
