// Encoding and decoding speed of a tokenizer on a text.
//
// Usage: tokenizer_bench FOLDER TEXT [Google Benchmark's options]
// Reported: bytes of text a second and tokens a second, one thread. `whole`: the text in one call; `lines`: a call for each
// line; `first`: with a tokenizer that has not seen any text.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "loaders/tokenizer.hpp"
#include "ops/error.hpp"

namespace ffmem {
namespace {

struct Input {
  std::filesystem::path folder;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::string text;
  std::vector<std::string> lines;
  std::vector<TokenId> ids;
};

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size() - 1) + 1;
    lines.push_back(text.substr(begin, end - begin));
    begin = end;
  }
  return lines;
}

Input read_input(const char* folder, const char* file) {
  Input input;
  input.folder = folder;
  input.tokenizer = Tokenizer::load(folder);
  std::ifstream in(file, std::ios::binary);
  input.text.assign(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  if (input.text.empty()) fail(ErrorCode::file_not_found, file, ": expected a text, found nothing to read");
  input.lines = lines_of(input.text);
  input.ids = input.tokenizer->encode(input.text);
  return input;
}

void report(benchmark::State& state, const Input& input) {
  const auto n = static_cast<std::int64_t>(state.iterations());
  state.SetBytesProcessed(n * static_cast<std::int64_t>(input.text.size()));
  state.SetItemsProcessed(n * static_cast<std::int64_t>(input.ids.size()));
}

void encode_whole(benchmark::State& state, const Input& input) {
  for ([[maybe_unused]] const auto _ : state) benchmark::DoNotOptimize(input.tokenizer->encode(input.text).data());
  report(state, input);
}

void encode_lines(benchmark::State& state, const Input& input) {
  for ([[maybe_unused]] const auto _ : state) {
    for (const std::string& line : input.lines) benchmark::DoNotOptimize(input.tokenizer->encode(line).data());
  }
  report(state, input);
}

void encode_first(benchmark::State& state, const Input& input) {
  for ([[maybe_unused]] const auto _ : state) {
    state.PauseTiming();
    const auto tokenizer = Tokenizer::load(input.folder);
    state.ResumeTiming();
    benchmark::DoNotOptimize(tokenizer->encode(input.text).data());
  }
  report(state, input);
}

void decode(benchmark::State& state, const Input& input) {
  for ([[maybe_unused]] const auto _ : state) benchmark::DoNotOptimize(input.tokenizer->decode(input.ids).data());
  report(state, input);
}

void load(benchmark::State& state, const Input& input) {
  for ([[maybe_unused]] const auto _ : state) benchmark::DoNotOptimize(Tokenizer::load(input.folder).get());
}

int run(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (argc != 3) {
    std::fputs("usage: tokenizer_bench FOLDER TEXT [--benchmark_...]\n", stderr);
    return 2;
  }
  const Input input = read_input(argv[1], argv[2]);
  const auto add = [&](const char* name, void (*measure)(benchmark::State&, const Input&)) {
    benchmark::RegisterBenchmark(name, [measure, &input](benchmark::State& state) {
      measure(state, input);
    })->Unit(benchmark::kMillisecond);
  };
  add("encode/whole", encode_whole);
  add("encode/lines", encode_lines);
  add("encode/first", encode_first);
  add("decode", decode);
  add("load", load);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace
}  // namespace ffmem

int main(int argc, char** argv) {
  try {
    return ffmem::run(argc, argv);
  } catch (const ffmem::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
