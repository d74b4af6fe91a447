// manifest.json: what a run was made with and how long it took. The one file in which two runs of the same differ.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tools/experiments/result.hpp"
#include "tools/experiments/workbench.hpp"
#include "tools/report/page.hpp"

namespace ffmem::tools {

/// Seconds of each part.
using Timings = std::vector<std::pair<std::string, double>>;

/// Does `work` and notes how long it took, also where it throws.
template <class Work>
auto timed(Timings& timings, std::string_view name, Work&& work) {
  struct Stop {
    Timings& timings;
    std::string name;
    std::chrono::steady_clock::time_point begin = std::chrono::steady_clock::now();
    ~Stop() { timings.emplace_back(name, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count()); }
  } const stop{timings, std::string(name)};
  return work();
}

/// The manifest as one JSON object: versions, instruction set, threads and ranks, `facts`, every option that bears on a number,
/// in another weight mode than f32 its errors (weight_errors) on the first tokens of the text, the files in OUT/data that an
/// earlier run had made (reused), and seconds, which hold nothing of making those.
std::string manifest(const Workbench& bench, const Facts& facts, const Timings& timings);

}  // namespace ffmem::tools
