// ffmem bench: how fast a model runs here, and how near that is to what the machine can do.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <memory>
#include <vector>

#include "ops/error.hpp"
#include "ops/threads.hpp"
#include "ops/version.hpp"
#include "tools/commands.hpp"
#include "tools/interrupt.hpp"
#include "tools/json_text.hpp"
#include "tools/option_checks.hpp"
#include "tools/options.hpp"
#include "tools/output.hpp"
#include "tools/progress.hpp"
#include "tools/speed/machine_rates.hpp"
#include "tools/speed/median.hpp"
#include "tools/speed/processor.hpp"
#include "tools/speed/random_checkpoint.hpp"
#include "tools/speed/speed_run.hpp"

namespace ffmem::tools {
namespace {

const std::map<std::string, LogitsRows> kLogits = {
    {"none", LogitsRows::none}, {"last", LogitsRows::last}, {"all", LogitsRows::all}};

struct Options {
  ModelArguments model;
  std::string shape;
  std::optional<double> activity;
  std::string logits = "last";
  std::optional<std::size_t> prompt;
  SpeedPlan plan;
  bool json = false;
};

/// A phase in numbers: medians of the rounds, each with its own share of what the machine gave around it.
struct Figures {
  double median = 0.0;  // tokens per second
  double slowest = 0.0;
  double fastest = 0.0;
  double flop_per_token = 0.0;
  double bytes_per_token = 0.0;
  double share_of_peak = 0.0;
  double share_of_read_rate = 0.0;
};

Figures figures_of(const PhaseSpeed& phase) {
  const std::vector<double>& rates = phase.tokens_per_second;
  const auto [slowest, fastest] = std::ranges::minmax(rates);
  const auto n_tokens = static_cast<double>(phase.n_tokens);
  std::vector<double> of_peak;
  std::vector<double> of_reads;
  for (std::size_t i = 0; i < rates.size(); ++i) {
    const double seconds = n_tokens / rates[i];
    const MachineRates& machine = phase.machine[i];
    of_peak.push_back((phase.cost.layer_flop / machine.layer_flops + phase.cost.head_flop / machine.head_flops +
                       phase.cost.attention_flop / machine.f32_flops) /
                      seconds);
    of_reads.push_back(phase.cost.bytes / machine.read_bytes / seconds);
  }
  return {.median = median(rates),
          .slowest = slowest,
          .fastest = fastest,
          .flop_per_token = phase.cost.flop() / n_tokens,
          .bytes_per_token = phase.cost.bytes / n_tokens,
          .share_of_peak = median(of_peak),
          .share_of_read_rate = median(of_reads)};
}

/// The median of one rate over all phases and rounds.
double machine_rate(const SpeedResult& result, double MachineRates::*rate) {
  std::vector<double> rates;
  for (const PhaseSpeed* phase : {&result.prompt, &result.decode}) {
    for (const MachineRates& machine : phase->machine) rates.push_back(machine.*rate);
  }
  return median(rates);
}

Json as_json(const Figures& f, std::size_t n_tokens) {
  return JsonObject()
      .add("tokens", n_tokens)
      .add("tokens_per_second", f.median)
      .add("slowest", f.slowest)
      .add("fastest", f.fastest)
      .add("flop_per_token", f.flop_per_token)
      .add("bytes_per_token", f.bytes_per_token)
      .add("share_of_peak", f.share_of_peak)
      .add("share_of_read_rate", f.share_of_read_rate)
      .json();
}

std::string as_text(const Figures& f) {
  const bool reads = f.share_of_read_rate > f.share_of_peak;
  return fmt::format("{:.1f} tokens/s ({:.1f} to {:.1f}); {:.1f} MFLOP and {:.2f} MB a token, {:.0f} % of the {}", f.median,
                     f.slowest, f.fastest, f.flop_per_token / 1e6, f.bytes_per_token / 1e6,
                     100.0 * std::max(f.share_of_peak, f.share_of_read_rate), reads ? "read rate" : "multiply-add peak");
}

std::shared_ptr<const Model> make_model(const Options& options) {
  if (options.shape.empty() == options.model.folder.empty()) {
    throw UsageError("bench: either a MODEL folder or --shape NAME says what to run");
  }
  if (options.shape.empty()) {
    if (options.activity) throw UsageError("bench: --activity is for a random model (--shape)");
    return load_model(options.model);
  }
  const DType stored = options.model.weights == WeightMode::f32 ? DType::f32 : DType::bf16;
  return Model::from_checkpoint(random_checkpoint(find_shape(options.shape), {.stored = stored, .activity = options.activity}),
                                {.weights = options.model.weights});
}

std::vector<std::string> names_of_shapes() {
  std::vector<std::string> names;
  for (const ModelShape& shape : known_shapes()) names.push_back(shape.name);
  return names;
}

SpeedResult measure(const Options& options, const std::shared_ptr<const Model>& model) {
  const SpeedPlan& plan = options.plan;
  const std::size_t n_tokens = (plan.repeat + 1) * plan.batch * (plan.prompt + plan.new_tokens);
  Progress progress("bench", static_cast<double>(n_tokens), "tokens");
  return measure_speed(model, plan, [&](std::size_t done) { progress.update(static_cast<double>(done)); });
}

void print_json(const Options& options, const Model& model, const SpeedResult& result) {
  const SpeedPlan& plan = options.plan;
  const auto given = [](const std::string& text) { return text.empty() ? Json{"null"} : to_json(text); };
  write_out(JsonObject()
                .add("model", given(model_path_text(options.model.folder)))
                .add("shape", given(options.shape))
                .add("parameters", model.weights().n_parameters)
                .add("weights", name(model.weight_mode()))
                .add("batch", plan.batch)
                .add("repeat", plan.repeat)
                .add("logits", options.logits)
                .add("ffmem", version())
                .add("compiler", __VERSION__)
                .add("processor", processor_name())
                .add("backend", model.backend().description())
                .add("threads", available_threads())
                .add("peak_flops", JsonObject()
                                       .add("f32", machine_rate(result, &MachineRates::f32_flops))
                                       .add("weights", machine_rate(result, &MachineRates::layer_flops))
                                       .add("head", machine_rate(result, &MachineRates::head_flops))
                                       .json())
                .add("read_bytes_per_second", machine_rate(result, &MachineRates::read_bytes))
                .add("memory_bytes", JsonObject()
                                         .add("resident", result.resident_bytes)
                                         .add("converted_weights", model.owned_bytes())
                                         .add("kv_cache", result.session.kv_cache_bytes)
                                         .add("workspace", result.session.workspace_bytes)
                                         .json())
                .add("active_share", result.active_share)
                .add("prompt", as_json(figures_of(result.prompt), plan.prompt))
                .add("decode", as_json(figures_of(result.decode), plan.new_tokens))
                .line());
}

void print_text(const Options& options, const Model& model, const SpeedResult& result) {
  const SpeedPlan& plan = options.plan;
  const auto mebibytes = [](std::size_t bytes) { return static_cast<double>(bytes) / (1 << 20); };
  std::string text =
      fmt::format("model    {}, {:.1f} million parameters, run as {}\n",
                  options.shape.empty() ? model_path_text(options.model.folder) : options.shape + " (random weights)",
                  static_cast<double>(model.weights().n_parameters) / 1e6, name(model.weight_mode()));
  text += fmt::format("machine  {}, {}, {} thread{}: {:.1f} GFLOP/s in f32, {:.1f} with these weights, {:.1f} GB/s read\n",
                      processor_name().value_or("unnamed processor"), model.backend().description(), available_threads(),
                      available_threads() == 1 ? "" : "s", machine_rate(result, &MachineRates::f32_flops) / 1e9,
                      machine_rate(result, &MachineRates::layer_flops) / 1e9,
                      machine_rate(result, &MachineRates::read_bytes) / 1e9);
  text += fmt::format("memory   {:.1f} MiB resident; KV cache {:.1f}, workspace {:.1f}, converted weights {:.1f} MiB\n",
                      mebibytes(result.resident_bytes), mebibytes(result.session.kv_cache_bytes),
                      mebibytes(result.session.workspace_bytes), mebibytes(model.owned_bytes()));
  if (result.active_share) text += fmt::format("active   {:.1f} % of the memories\n", 100.0 * *result.active_share);
  text += fmt::format("prompt   {} x {}, logits {}: {}\n", plan.batch, plan.prompt, options.logits,
                      as_text(figures_of(result.prompt)));
  text += fmt::format("decode   {} x {}: {}\n", plan.batch, plan.new_tokens, as_text(figures_of(result.decode)));
  write_out(text);
}

/// The plan's own prompt where it fits, else as long a one as the context leaves beside the new tokens.
std::size_t usual_prompt(const ModelConfig& config, const SpeedPlan& plan) {
  const std::size_t left = config.max_positions - std::min(plan.new_tokens, config.max_positions - 1);
  return std::min(plan.prompt, left);
}

void run(Options options) {
  const ThreadScope threads(options.model.threads);
  catch_interrupts();
  options.plan.logits = kLogits.at(options.logits);
  options.plan.n_threads = options.model.threads;
  const auto model = make_model(options);
  options.plan.prompt = options.prompt.value_or(usual_prompt(model->config(), options.plan));
  const SpeedResult result = measure(options, model);
  (options.json ? print_json : print_text)(options, *model, result);
}

void add_plan_options(CLI::App& command, std::optional<std::size_t>& prompt, SpeedPlan& plan) {
  check_count(
      command.add_option("--prompt", prompt, "Tokens of each prompt, run at once (default: 512, or what the context leaves)"),
      1)
      ->type_name("N");
  const auto count = [&](const char* name, std::size_t& value, const char* what) {
    check_count(command.add_option(name, value, what), 1)->capture_default_str()->type_name("N");
  };
  count("--new", plan.new_tokens, "Tokens after it, one at a time");
  count("--batch", plan.batch, "Sequences side by side, which share each reading of the weights");
  count("--repeat", plan.repeat, "Rounds measured, after one to warm up");
}

}  // namespace

void add_bench(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("bench", "How fast a model runs here: prompts, new tokens, share of the machine's peak");
  add_model_options(*command, options->model);
  command->get_option("MODEL")->required(false);
  check_word(command->add_option(
                 "--shape", options->shape,
                 "A model of random weights instead of MODEL: " + fmt::format("{}", fmt::join(names_of_shapes(), ", "))),
             names_of_shapes())
      ->type_name("NAME");
  check_number(
      command->add_option("--activity", options->activity, "With a ReLU shape: the share of memories that is active, above 0"),
      0.0, 1.0)
      ->type_name("SHARE");
  add_plan_options(*command, options->prompt, options->plan);
  check_word(command->add_option("--logits", options->logits, "Which positions of a prompt get scores over the vocabulary"),
             {"none", "last", "all"})
      ->capture_default_str();
  command->add_flag("--json", options->json, "One JSON object");
  command->footer(
      "Prints medians over the rounds, the slowest and the fastest. Tokens are random, the same every time. Arithmetic counts\n"
      "the matrix products and attention, bytes every weight and cached key and value once for each run; their shares are of\n"
      "what the same threads reach in a loop of nothing but multiply-adds or reads directly before and after each phase of\n"
      "each round, medians too; layers, attention and output head each by the rate of what it multiplies. --shape stores its\n"
      "weights as F32, or for other --weights as BF16, each matrix as that family's files have it.\n"
      "Examples:\n"
      "  ffmem bench models/gpt2\n"
      "  ffmem bench --shape gpt2 --weights bf16 --logits all --json\n"
      "  ffmem bench --shape gpt2 --batch 8\n"
      "  ffmem bench --shape paper --activity 0.15     # and 1: what leaving inactive memories out saves");
  command->callback([options] { run(*options); });
}

}  // namespace ffmem::tools
