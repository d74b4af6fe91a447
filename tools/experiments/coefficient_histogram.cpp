#include "tools/experiments/coefficient_histogram.hpp"

#include <array>

#include "hooks/histogram.hpp"
#include "loaders/safetensors.hpp"
#include "loaders/safetensors_writer.hpp"
#include "runtime/session.hpp"
#include "tools/experiments/example_set.hpp"
#include "tools/experiments/stored_array.hpp"
#include "tools/interrupt.hpp"
#include "tools/number_check.hpp"
#include "tools/progress.hpp"
#include "tools/sentence_batches.hpp"
#include "tools/trigger_search.hpp"

namespace ffmem::tools {
namespace {

CoefficientHistogram compute(const Workbench& bench) {
  const ExperimentOptions& options = bench.options();
  const TriggerJob job = validation_job(bench);
  const SessionOptions session_options = trigger_session(job.info, job.search);
  Session session(bench.model(), session_options);
  SentenceBatches batches(options.valid, bench.tokenizer(), job.info,
                          {.max_tokens = options.triggers.batch_tokens,
                           .max_sequences = session_options.max_sequences,
                           .counts = {},
                           .enough_tokens = kHistogramTokens});
  Histogram histogram(bench.n_layers(), bench.d_memory());
  histogram.skip_first(job.info.prefix_token.has_value());
  NumberCheck check(bench.n_layers());
  const std::array<Hook*, 2> hooks{&check, &histogram};
  Progress progress("coefficient histogram", static_cast<double>(kHistogramTokens), "tokens", options.quiet);
  SentenceBatch batch;
  std::size_t n_tokens = 0;
  while (batches.next(batch)) {
    throw_if_interrupted();
    session.run({.tokens = batch.tokens, .offsets = batch.offsets}, LogitsRows::none, hooks);
    n_tokens = batch.counts.n_tokens;
    progress.update(static_cast<double>(n_tokens));
  }
  return {.n_tokens = n_tokens, .counts = histogram.counts()};
}

}  // namespace

CoefficientHistogram coefficient_histogram(const Workbench& bench) {
  Origin origin = bench.valid_origin();
  origin.emplace("tokens", std::to_string(kHistogramTokens));
  const std::vector<std::size_t> shape{bench.n_layers(), bench.d_memory(), Histogram::kBins};
  const auto make = [&](const std::filesystem::path& file, const Origin& metadata) {
    const CoefficientHistogram histogram = compute(bench);
    const auto n_tokens = static_cast<std::int64_t>(histogram.n_tokens);
    write_safetensors(file, {{"n_tokens", DType::i64, {1}, &n_tokens}, {"counts", DType::u32, shape, histogram.counts.data()}},
                      metadata);
  };
  return bench.stored("coefficient-histogram", origin, make, [&](const SafetensorsFile& file) {
    const std::int64_t n_tokens = stored_array<std::int64_t>(file, "n_tokens", {1}, 0, INT64_MAX).front();
    return CoefficientHistogram{.n_tokens = static_cast<std::size_t>(n_tokens),
                                .counts = stored_array<std::uint32_t>(file, "counts", shape)};
  });
}

}  // namespace ffmem::tools
