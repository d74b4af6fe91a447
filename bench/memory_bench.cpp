// What the trigger search costs beside the work that nobody can save: against the bare forward pass of the same batches. For
// values and the passes over prefixes see paper_bench.cpp.
//
// Usage: memory_bench MODEL TEXT [ROUNDS]
// Both sides of a ratio run in turn within each round; medians over the rounds.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "hooks/top_triggers.hpp"
#include "ops/error.hpp"
#include "runtime/model.hpp"
#include "runtime/session.hpp"
#include "tools/sentence_batches.hpp"
#include "tools/speed/blind_hook.hpp"
#include "tools/trigger_job.hpp"
#include "tools/trigger_search.hpp"

namespace ffmem::bench {
namespace {

constexpr std::size_t kBatches = 40;
constexpr std::size_t kWarmBatches = 10;  // fill the lists, as all but the first moments of a search find them

double seconds_of(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

double median(std::vector<double> values) {
  std::ranges::nth_element(values, values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2));
  return values[values.size() / 2];
}

std::vector<tools::SentenceBatch> read_batches(const tools::TriggerJob& job, const SessionOptions& session) {
  tools::SentenceBatches reader(job.corpus, job.tokenizer, job.info,
                                {.max_tokens = job.search.batch_tokens, .max_sequences = session.max_sequences, .counts = {}});
  std::vector<tools::SentenceBatch> batches(kWarmBatches + kBatches);
  for (std::size_t i = 0; i < batches.size(); ++i) {
    if (reader.next(batches[i])) continue;
    batches.resize(i);
    break;
  }
  if (batches.size() <= kWarmBatches) fail(ErrorCode::corpus_empty, job.corpus.front().string(), ": too short to measure on");
  return batches;
}

void search_against_forward(const tools::TriggerJob& job, int rounds) {
  const SessionOptions options = tools::trigger_session(job.info, job.search);
  Session session(job.model, options);
  const auto batches = read_batches(job, options);
  const ModelConfig& config = job.model->config();
  tools::BlindHook blind;
  TopTriggers search(TriggerTable(config.n_layers, config.d_memory, job.info.top), {});
  const auto run = [&](const tools::SentenceBatch& batch, Hook& hook) {
    search.next_batch(batch.sentences, job.info.prefix_token ? 1 : 0);
    const std::array<Hook*, 1> hooks{&hook};
    session.run({.tokens = batch.tokens, .offsets = batch.offsets}, LogitsRows::none, hooks);
  };
  for (std::size_t i = 0; i < kWarmBatches; ++i) run(batches[i], search);
  std::vector<double> ratios;
  std::vector<double> forward_rates;
  for (int round = 0; round < rounds; ++round) {
    double forward = 0.0;
    double with_search = 0.0;
    std::size_t n_tokens = 0;
    for (std::size_t i = kWarmBatches; i < batches.size(); ++i) {
      forward += seconds_of([&] { run(batches[i], blind); });
      with_search += seconds_of([&] { run(batches[i], search); });
      n_tokens += batches[i].tokens.size();
    }
    ratios.push_back(with_search / forward);
    forward_rates.push_back(static_cast<double>(n_tokens) / forward);
  }
  std::printf(
      "trigger search, all %zu keys, %zu examples a key\n  bare forward pass   %8.0f tokens/s\n"
      "  search costs        %8.2f %% more (median of %d rounds)\n",
      config.n_layers * config.d_memory, job.info.top, median(forward_rates), 100.0 * (median(ratios) - 1.0), rounds);
}

int run(int argc, char** argv) {
  if (argc < 3 || argc > 4) {
    std::fputs("usage: memory_bench MODEL TEXT [ROUNDS]\n", stderr);
    return 2;
  }
  const int rounds = argc > 3 ? std::max(1, std::atoi(argv[3])) : 5;
  const tools::ModelArguments arguments{.folder = argv[1]};
  auto model = tools::load_model(arguments);
  auto tokenizer = tools::require_tokenizer(arguments, model->config());
  const tools::TriggerJob job = tools::make_trigger_job({}, arguments, model, tokenizer, {argv[2]}, "unwritten");
  search_against_forward(job, rounds);
  return 0;
}

}  // namespace
}  // namespace ffmem::bench

int main(int argc, char** argv) {
  try {
    return ffmem::bench::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
