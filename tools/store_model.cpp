#include "tools/store_model.hpp"

#include "ops/error.hpp"
#include "tools/fingerprint.hpp"

namespace ffmem::tools {

std::filesystem::path find_model_folder(const std::filesystem::path& asked, const TriggerStore& store) {
  if (!asked.empty()) return asked;
  const std::filesystem::path named = store.info().model;
  return std::filesystem::exists(named / "config.json") ? named : std::filesystem::path();
}

std::shared_ptr<const Model> load_model_of(const TriggerStore& store, ModelArguments arguments) {
  arguments.folder = find_model_folder(arguments.folder, store);
  if (arguments.folder.empty()) {
    fail(ErrorCode::file_not_found, store.info().model,
         ": no model there, seen from this folder; --model FOLDER says where it is");
  }
  arguments.weights = parse_weight_mode(store.info().weights);
  auto model = load_model(arguments);
  if (model_fingerprint(arguments.folder, weight_files(*model)) != store.info().model_fingerprint) {
    fail(ErrorCode::store_invalid, arguments.folder.string(), ": is not the model of ", store.path().string(),
         " (expected fingerprint ", store.info().model_fingerprint, "); --model FOLDER says where that is");
  }
  return model;
}

void check_values_of(const TriggerStore& store, const ValueTable& values, const std::filesystem::path& file) {
  const TriggerInfo& info = store.info();
  if (info.model_fingerprint != values.model_fingerprint || info.weights != values.weights) {
    fail(ErrorCode::store_invalid, file.string(), ": expected the values of model ", info.model_fingerprint, " with ",
         info.weights, " weights, as in ", store.path().string(), ", found those of model ", values.model_fingerprint, " with ",
         values.weights, " weights");
  }
  if (values.sign != example_sign(info.smallest)) {
    fail(ErrorCode::store_invalid, file.string(), ": expected ",
         info.smallest ? "negated values (ffmem values --negated)" : "values as they are", ", as the layer adds them at the ",
         info.smallest ? "most negative" : "highest", " coefficients of ", store.path().string(), ", found ",
         info.smallest ? "values as they are" : "negated ones");
  }
  for (const TokenId token : values.tokens) {
    if (static_cast<std::size_t>(token) < store.vocab_size()) continue;
    fail(ErrorCode::store_invalid, file.string(), ": tokens: expected ids below ", store.vocab_size(),
         ", the model's vocabulary, found ", token);
  }
}

}  // namespace ffmem::tools
