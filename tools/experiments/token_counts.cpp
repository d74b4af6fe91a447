#include "tools/experiments/token_counts.hpp"

#include "loaders/safetensors.hpp"
#include "loaders/safetensors_writer.hpp"
#include "tools/experiments/stored_array.hpp"
#include "tools/interrupt.hpp"
#include "tools/progress.hpp"
#include "tools/sentence_batches.hpp"

namespace ffmem::tools {
namespace {

std::vector<std::int64_t> count(const Workbench& bench) {
  const ExperimentOptions& options = bench.options();
  TriggerInfo info;
  info.context = bench.context();
  info.prefix_token = bench.prefix_token();
  std::vector<std::int64_t> counts(bench.model()->config().vocab_size, 0);
  SentenceReader reader(options.train, options.triggers.sentences);
  const auto most = options.triggers.max_sentences;
  Progress progress("token counts", most ? static_cast<double>(*most) : static_cast<double>(corpus_bytes(options.train)) / 1e6,
                    most ? "sentences" : "MB", options.quiet);
  while (!most || reader.next_index() < *most) {
    const auto sentence = reader.next();
    progress.update(most ? static_cast<double>(reader.next_index()) : static_cast<double>(reader.bytes_done()) / 1e6);
    if (!sentence) break;
    throw_if_interrupted();
    for (const TokenId token : sentence_tokens(*bench.tokenizer(), *sentence, info)) ++counts[static_cast<std::size_t>(token)];
  }
  return counts;
}

}  // namespace

std::vector<std::int64_t> token_counts(const Workbench& bench) {
  const auto make = [&](const std::filesystem::path& file, const Origin& metadata) {
    const std::vector<std::int64_t> counts = count(bench);
    write_safetensors(file, {{"count", DType::i64, {counts.size()}, counts.data()}}, metadata);
  };
  return bench.stored("token-counts", bench.train_origin(), make, [&](const SafetensorsFile& file) {
    return stored_array<std::int64_t>(file, "count", {bench.model()->config().vocab_size}, 0, INT64_MAX);
  });
}

}  // namespace ffmem::tools
