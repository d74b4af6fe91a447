// What the paper's heavy parts reach of the machine: values onto the vocabulary (section 4), and the pass over sampled prefixes
// that sections 5.1 and 5.2 rest on. Shares are of two rates: the multiply-add peak of the threads, and what the products of
// every row with every word reach alone, with nothing done to their results. The best words of an adaptive softmax do not take
// all of them (OutputHead::top_tokens), so that a share there can pass 100 %.
//
// Usage: paper_bench MODEL TEXT [PREFIXES] [ROUNDS]
//   TEXT is where prefixes are sampled (200 of them); both sides of a ratio run in turn within each of the rounds (3), whose
//   medians are printed.
// A checkpoint of the paper's shape: tools/convert/fairseq_to_ffmem.py --random FOLDER.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "ops/aligned_buffer.hpp"
#include "ops/cpu/dispatch.hpp"
#include "ops/error.hpp"
#include "ops/threads.hpp"
#include "runtime/model.hpp"
#include "runtime/output_head.hpp"
#include "runtime/workspace.hpp"
#include "tools/experiments/layer_pass.hpp"
#include "tools/experiments/layer_rows.hpp"
#include "tools/interrupt.hpp"
#include "tools/options.hpp"
#include "tools/speed/machine_peaks.hpp"
#include "tools/speed/median.hpp"
#include "tools/speed/pass_cost.hpp"
#include "tools/speed/seconds.hpp"
#include "tools/value_table.hpp"
#include "tools/wait_policy.hpp"

namespace ffmem::bench {
namespace {

double peak_memory_mib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024.0;
}

/// The matrices that every row of a layer meets, in order.
std::vector<const PreparedMatrix*> layer_matrices(const PreparedLayer& layer) {
  std::vector<const PreparedMatrix*> matrices;
  for (const PreparedLinear* linear : {&layer.query, &layer.key, &layer.value, &layer.output, &layer.keys, &layer.values}) {
    matrices.push_back(linear->matrix.get());
  }
  if (layer.ups) matrices.push_back(layer.ups.matrix.get());
  return matrices;
}

/// Seconds of the products with the vocabulary alone for n rows.
double head_products(const Model& model, std::size_t n_rows) {
  const AlignedBuffer rows(OutputHead::kRowBlock * model.head().hidden_width());
  return tools::seconds_of([&] {
    for (std::size_t done = 0; done < n_rows; done += OutputHead::kRowBlock) {
      tools::throw_if_interrupted();
      const std::size_t n = std::min(OutputHead::kRowBlock, n_rows - done);
      model.head().walk_scores(rows.matrix(n, model.head().hidden_width()), [](const ScoreBlock&, ConstMatrixView) {});
    }
  });
}

/// Seconds of the layers' products alone for n rows.
double layer_products(const Model& model, std::size_t n_rows) {
  const std::size_t width =
      std::max({model.config().d_memory, model.config().d_model, model.config().n_heads * model.config().head_dim});
  const AlignedBuffer in(kFeedForwardRows * width);
  const AlignedBuffer out(kFeedForwardRows * width);
  return tools::seconds_of([&] {
    for (std::size_t done = 0; done < n_rows; done += kFeedForwardRows) {
      tools::throw_if_interrupted();
      const std::size_t n = std::min(kFeedForwardRows, n_rows - done);
      for (std::size_t layer = 0; layer < model.config().n_layers; ++layer) {
        for (const PreparedMatrix* m : layer_matrices(model.layer(layer))) {
          model.backend().matmul(in.matrix(n, m->cols()), *m, nullptr, out.matrix(n, m->rows()));
        }
      }
    }
  });
}

/// What each round took.
struct Rounds {
  double flops = 0.0;                        // of a round
  std::vector<double> seconds = {};          // of all
  std::vector<double> product_seconds = {};  // of the products alone

  void add(double all, double products) {
    seconds.push_back(all);
    product_seconds.push_back(products);
  }
  double median_seconds() const { return tools::median(seconds); }
  void print() const {
    std::vector<double> shares(seconds.size());
    std::ranges::transform(product_seconds, seconds, shares.begin(), std::divides<>());
    const double all = flops / median_seconds();
    const double products = flops / tools::median(product_seconds);
    const double peak = tools::peak_flops(choose_kernels({}).isa, WeightFormat::f32, available_threads());
    std::printf(
        "  %.1f GFLOP/s on %d threads, every word counted: %.0f %% of the products alone, which reach %.0f %% of the "
        "multiply-add peak; %.0f %% of "
        "the peak (medians of %zu rounds)\n",
        all / 1e9, available_threads(), 100.0 * tools::median(shares), 100.0 * products / peak, 100.0 * all / peak,
        seconds.size());
  }
};

void values_onto_vocabulary(const Model& model, std::size_t rounds) {
  const std::size_t n_values = std::min<std::size_t>(model.config().d_memory, 2048);
  Rounds timed{.flops = tools::cost_of(model, {.n_scored = 1}).head_flop * static_cast<double>(n_values)};
  for (std::size_t round = 0; round < rounds; ++round) {
    const double seconds = tools::seconds_of([&] {
      for (std::size_t unit = 0; unit < n_values; unit += OutputHead::kRowBlock) {
        tools::throw_if_interrupted();
        tools::value_top_tokens(model, 0, unit, std::min(OutputHead::kRowBlock, n_values - unit), 10, Lens::raw,
                                tools::ValueSign::plus);
      }
    });
    timed.add(seconds, head_products(model, n_values));
  }
  std::printf("the ten best of %zu words for %zu values: %.0f values/s\n", model.config().vocab_size, n_values,
              static_cast<double>(n_values) / timed.median_seconds());
  timed.print();
}

/// Tokens that the pass runs: of each sentence as many as its longest prefix has, and the beginning-of-text token.
std::size_t tokens_of(const tools::ExampleSet& set, const tools::Workbench& bench) {
  std::size_t n_tokens = 0;
  for (std::size_t first = 0; first < set.size();) {
    const auto batch = tools::next_batch(set, first, bench.prefix_token(), bench.options().triggers.batch_tokens, set.size());
    n_tokens += batch.tokens.size();
    first += batch.n_examples;
  }
  return n_tokens;
}

void layers_of_prefixes(tools::Workbench& bench, std::size_t rounds) {
  const Model& model = *bench.model();
  const std::size_t n_layers = bench.n_layers();
  const tools::ExampleSet examples = tools::sample_examples(bench, bench.options().n_examples, "examples");
  const double before = peak_memory_mib();
  std::unique_ptr<tools::ValuePredictions> values;
  const double once = tools::seconds_of([&] { values = std::make_unique<tools::ValuePredictions>(bench); });
  const std::size_t n_tokens = tokens_of(examples, bench);
  // r, y and o of every layer go to the vocabulary; y once more where the two lenses differ.
  const bool one_lens = bench.options().value_lens == bench.options().stream_lens || !model.weights().final_norm.present;
  const std::size_t n_rows = (one_lens ? 3 : 4) * examples.size() * n_layers;
  const tools::PassCost of_one = tools::cost_of(model, {.n_rows = 1, .n_scored = 1});
  Rounds timed{.flops = of_one.head_flop * static_cast<double>(n_rows) + of_one.layer_flop * static_cast<double>(n_tokens)};
  for (std::size_t round = 0; round < rounds; ++round) {
    const double seconds = tools::seconds_of([&] { tools::measure_layers(bench, *values, examples); });
    timed.add(seconds, layer_products(model, n_tokens) + head_products(model, n_rows));
  }
  const double seconds = timed.median_seconds();
  std::printf(
      "what every value predicts, once: %.1f s\nsections 5.1 and 5.2 on %zu prefixes: %.1f s, %.0f tokens/s, %.0f vectors/s "
      "onto the vocabulary\n",
      once, examples.size(), seconds, static_cast<double>(n_tokens) / seconds, static_cast<double>(n_rows) / seconds);
  timed.print();
  std::printf("  peak memory %.0f MiB, %.0f MiB with the values and the pass beyond %.0f MiB before them\n", peak_memory_mib(),
              peak_memory_mib() - before, before);
}

/// An argument that may be left out. Throws UsageError where it is no whole number above 0.
std::size_t count_of(const char* argument, const char* what, std::size_t otherwise) {
  const std::size_t n = argument == nullptr ? otherwise : tools::parse_count(argument, what);
  if (n == 0) throw tools::UsageError(concat(what, ": expected at least 1, found 0"));
  return n;
}

int run(int argc, char** argv) {
  if (argc < 3 || argc > 5) {
    std::fputs("usage: paper_bench MODEL TEXT [PREFIXES] [ROUNDS]\n", stderr);
    return 2;
  }
  const std::size_t n_examples = count_of(argc > 3 ? argv[3] : nullptr, "PREFIXES", 200);
  const std::size_t rounds = count_of(argc > 4 ? argv[4] : nullptr, "ROUNDS", 3);
  const auto folder = std::filesystem::temp_directory_path() / ("ffmem-paper-bench-" + std::to_string(::getpid()));
  struct Remove {
    const std::filesystem::path& path;
    ~Remove() {
      std::error_code ignored;
      std::filesystem::remove_all(path, ignored);
    }
  } remove{folder};
  tools::ExperimentOptions options;
  options.model.folder = argv[1];
  options.valid = {argv[2]};
  options.out = folder;
  options.n_examples = n_examples;
  options.quiet = true;
  tools::catch_interrupts();
  tools::Workbench bench(options);
  values_onto_vocabulary(*bench.model(), rounds);
  layers_of_prefixes(bench, rounds);
  return 0;
}

}  // namespace
}  // namespace ffmem::bench

int main(int argc, char** argv) {
  ffmem::tools::limit_spinning(argv);
  try {
    return ffmem::bench::run(argc, argv);
  } catch (const ffmem::tools::UsageError& error) {
    std::fprintf(stderr, "paper_bench: %s\n", error.what());
    return 2;
  } catch (const ffmem::Error& error) {
    std::fprintf(stderr, "paper_bench: %s\n", error.what());
    return error.code() == ffmem::ErrorCode::interrupted ? ffmem::tools::kInterruptedExit : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "paper_bench: %s\n", error.what());
    return 1;
  }
}
