#include "tools/experiments/workbench.hpp"

#include <algorithm>
#include <array>
#include <system_error>
#include <utility>

#include "loaders/atomic_file.hpp"
#include "loaders/safetensors.hpp"
#include "ops/error.hpp"
#include "tools/experiments/experiments.hpp"
#include "tools/experiments/stored_array.hpp"
#include "tools/fingerprint.hpp"
#include "tools/interrupt.hpp"
#include "tools/leftovers.hpp"
#include "tools/lens.hpp"
#include "tools/progress.hpp"
#include "tools/ranks.hpp"

namespace ffmem::tools {
namespace {

constexpr std::size_t kValueTokens = 10;

/// In the folders of OUT: what this program writes, and what gnuplot does.
constexpr std::array<std::string_view, 8> kWritten{".csv", ".gp", ".html", ".js", ".json", ".partial", ".safetensors", ".txt"};
constexpr std::array<std::string_view, 3> kDrawn{".gnuplot", ".png", ".svg"};

/// The names in OUT of what a run writes there, and of the folders that it makes.
constexpr std::array kPages{"manifest.json", "report.html"};
std::vector<std::string_view> folders_of_runs() {
  std::vector<std::string_view> names{"data", "memories"};
  for (const Experiment& experiment : all_experiments()) names.push_back(experiment.name);
  return names;
}

/// What killed runs left half written in OUT, which may be a folder of the user's, and the folders that this program makes
/// there.
void remove_leftovers_of_runs(const std::filesystem::path& out) {
  for (const char* page : kPages) remove_leftovers(out / page);
  for (const std::string_view folder : folders_of_runs()) {
    remove_leftovers_in(out / folder, kWritten);
    remove_leftovers_in(out / folder, kDrawn);
  }
}

/// A text that a run would write over. OUT may be a folder of the user's, and so may OUT/data, whose texts are then not ours.
void check_texts(const ExperimentOptions& options) {
  std::vector<std::filesystem::path> texts = options.train;
  texts.insert(texts.end(), options.valid.begin(), options.valid.end());
  for (const char* page : kPages) check_is_no_input(options.out / page, texts);
  for (const auto& text : texts) {
    std::error_code error;  // one that is not there is told where it is opened
    const auto file = std::filesystem::canonical(text, error);
    if (std::ranges::find(kWritten, file.extension()) == kWritten.end()) continue;
    for (const std::string_view folder : folders_of_runs()) {
      const bool is_text_of_user = folder == "data" && file.extension() == ".txt";
      if (is_text_of_user || !std::filesystem::equivalent(file.parent_path(), options.out / folder, error)) continue;
      throw UsageError(concat("-o ", options.out.string(), ": the run writes such files where ", text.string(),
                              " lies, which it is to read"));
    }
  }
}

/// Before the work: a mistyped folder would otherwise be one without labels, and a wrong layer show after all other
/// experiments.
void check_options(const ExperimentOptions& options, const ModelConfig& config) {
  if (options.out.empty()) throw UsageError("-o: expected a folder, found an empty path");
  if (std::error_code error; std::filesystem::equivalent(options.out, options.model.folder, error)) {
    throw UsageError(concat("-o ", options.out.string(), ": expected a folder for the results, found the model's own"));
  }
  check_storable(model_path_text(options.model.folder), options.model.folder);
  check_texts(options);
  for (const auto& path : options.annotations) {
    if (std::filesystem::exists(path / "annotation.csv") || std::filesystem::exists(path / "changes.csv")) continue;
    fail(ErrorCode::argument_invalid, "--annotations: ", path.string(),
         ": expected a folder with annotation.csv or changes.csv, found ",
         std::filesystem::exists(path) ? "neither" : "nothing");
  }
  for (std::size_t i = 0; i < options.annotations.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (!std::filesystem::equivalent(options.annotations[i], options.annotations[j])) continue;
      fail(ErrorCode::argument_invalid, "--annotations: ", options.annotations[i].string(),
           ": expected a folder for each annotator, found one twice");
    }
  }
  if (options.effect_layer.value_or(0) >= config.n_layers) {
    fail(ErrorCode::layer_out_of_range, "--effect-layer ", *options.effect_layer, ": the model has layers 0 to ",
         config.n_layers - 1);
  }
}

}  // namespace

bool comes_from(const std::filesystem::path& path, const Origin& origin) {
  if (!std::filesystem::exists(path)) return false;
  try {
    const SafetensorsFile file(path);
    return std::ranges::all_of(origin, [&](const auto& fact) {
      const auto found = file.metadata().find(fact.first);
      return found != file.metadata().end() && found->second == fact.second;
    });
  } catch (const Error&) {
    return false;
  }
}

void require_train(const ExperimentOptions& options) {
  if (options.train.empty()) throw UsageError("this experiment needs the training text: --train FILE");
}

void require_valid(const ExperimentOptions& options) {
  if (options.valid.empty()) throw UsageError("this experiment needs the validation text: --valid FILE");
}

Workbench::Workbench(ExperimentOptions options)
    : options_(std::move(options)),
      model_(load_model(options_.model)),
      tokenizer_(require_tokenizer(options_.model, model_->config())),
      model_fingerprint_(tools::model_fingerprint(options_.model.folder, weight_files(*model_))) {
  check_options(options_, model_->config());
  make_folder(options_.out / "data");
  if (rank() == 0) remove_leftovers_of_runs(options_.out);
}

const std::string& Workbench::train_fingerprint() const {
  if (train_fingerprint_.empty()) train_fingerprint_ = fingerprint(options_.train);
  return train_fingerprint_;
}

const std::string& Workbench::valid_fingerprint() const {
  if (valid_fingerprint_.empty()) valid_fingerprint_ = fingerprint(options_.valid);
  return valid_fingerprint_;
}

std::optional<TokenId> Workbench::prefix_token() const { return tools::prefix_token(model_->config(), *tokenizer_); }

std::size_t Workbench::context() const {
  return sentence_context(options_.triggers.context, model_->config(), prefix_token().has_value());
}

std::string Workbench::model_name() const { return std::filesystem::canonical(options_.model.folder).filename().string(); }

TriggerJob Workbench::trigger_job() const {
  require_train(options_);
  return make_trigger_job(options_.triggers, options_.model, model_, tokenizer_, options_.train,
                          stored_path(options_.triggers.smallest ? "smallest-triggers" : "triggers"));
}

const TriggerStore& Workbench::triggers() {
  if (triggers_) return *triggers_;
  TriggerJob job = trigger_job();
  train_fingerprint_ = job.info.corpus_fingerprint;
  triggers_ = finished_result(job);
  note_use(job.out, triggers_ != nullptr);
  if (!triggers_) {
    if (!options_.quiet) warn_of_replacing(job);
    call_ranks();
    run_trigger_job(job, false, options_.quiet);
    triggers_ = std::make_unique<TriggerStore>(job.out);
  }
  return *triggers_;
}

void Workbench::assist_rank_0() {
  while (wait_for_call()) {
    TriggerJob job = trigger_job();
    run_trigger_job(job, false, true);
  }
}

const ValueTable& Workbench::values(ValueSign sign) {
  if (const auto found = values_.find(sign); found != values_.end()) return found->second;
  const std::size_t k = std::min(kValueTokens, model_->head().vocab_size());
  const std::string weights(name(model_->weight_mode()));
  const bool negated = sign == ValueSign::minus;
  const Origin origin{
      {"lens", std::string(lens_name(options_.value_lens))}, {"negated", negated ? "true" : "false"}, {"first_layer", "0"}};
  const auto make = [&](const std::filesystem::path& file, const Origin&) {
    ValueTable table{.first_layer = 0,
                     .n_layers = n_layers(),
                     .d_memory = d_memory(),
                     .k = k,
                     .lens = options_.value_lens,
                     .sign = sign,
                     .model = model_path_text(options_.model.folder),
                     .model_fingerprint = model_fingerprint_,
                     .weights = weights};
    Progress progress(negated ? "negated values" : "values", static_cast<double>(n_layers() * d_memory()), "values",
                      options_.quiet);
    compute_values(*model_, table, [&](std::size_t done) {
      throw_if_interrupted();
      progress.update(static_cast<double>(done));
    });
    write_value_table(file, table);
  };
  const auto read = [&](const SafetensorsFile& file) {
    stored_array<TokenId>(file, "tokens", {n_layers(), d_memory(), k}, 0, model_->head().vocab_size());
    return read_value_table(file.path());
  };
  return values_.emplace(sign, stored(negated ? "negated-values" : "values", origin, make, read)).first->second;
}

std::filesystem::path Workbench::stored_path(std::string_view name) const {
  const WeightMode mode = model_->weight_mode();
  const std::string_view mode_name = mode == WeightMode::f32 ? "" : ffmem::name(mode);
  return options_.out / "data" / concat(name, mode == WeightMode::f32 ? "" : "-", mode_name, ".safetensors");
}

void Workbench::note_use(const std::filesystem::path& file, bool reused) const {
  data_files_.emplace(file.filename(), reused);  // what the run made itself it may read again
}

std::vector<std::string> Workbench::reused() const {
  std::vector<std::string> names;
  for (const auto& [file, reused] : data_files_) {
    if (reused) names.push_back(file);
  }
  return names;
}

Origin Workbench::train_origin() const {
  require_train(options_);
  const TriggerRequest& request = options_.triggers;
  return {{"train_fingerprint", train_fingerprint()},
          {"sentences", std::string(sentence_mode_name(request.sentences))},
          {"max_sentences", request.max_sentences ? std::to_string(*request.max_sentences) : ""},
          {"context", std::to_string(context())}};
}

Origin Workbench::trigger_origin() const {
  const TriggerRequest& request = options_.triggers;
  Origin origin = train_origin();
  origin.emplace("top", std::to_string(request.top));
  origin.emplace("every_prefix", request.every_prefix ? "true" : "false");
  origin.emplace("smallest", request.smallest ? "true" : "false");
  return origin;
}

Origin Workbench::valid_origin() const {
  require_valid(options_);
  return {{"valid_fingerprint", valid_fingerprint()},
          {"sentences", std::string(sentence_mode_name(options_.triggers.sentences))},
          {"context", std::to_string(context())}};
}

Origin Workbench::sample_origin(std::size_t n_examples) const {
  Origin origin = valid_origin();
  origin.emplace("examples", std::to_string(n_examples));
  origin.emplace("one_per_sentence", options_.one_per_sentence ? "true" : "false");
  origin.emplace("seed", std::to_string(options_.seed));
  return origin;
}

}  // namespace ffmem::tools
