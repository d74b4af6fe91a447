#include "tools/experiments/result.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "loaders/atomic_file.hpp"
#include "tools/json_text.hpp"

namespace ffmem::tools {
namespace {

Json to_json(const Estimate& estimate) {
  using tools::to_json;
  return JsonObject()
      .add("value", estimate.value)
      .add("low", estimate.low)
      .add("high", estimate.high)
      .add("n", estimate.n)
      .json();
}

/// "Samples of 812 to 1024, seed 1": how many things the result's estimates rest on; empty where it has none.
std::string sample_text(const Result& result) {
  std::size_t least = std::numeric_limits<std::size_t>::max();
  std::size_t most = 0;
  for (const auto& [name, estimate] : result.estimates) {
    if (estimate.n == 0) continue;
    least = std::min(least, estimate.n);
    most = std::max(most, estimate.n);
  }
  const auto seed = std::ranges::find_if(result.settings, [](const auto& setting) { return setting.first == "seed"; });
  if (most == 0 || seed == result.settings.end()) return "";
  return fmt::format("Samples of {}, seed {}", least == most ? std::to_string(most) : fmt::format("{} to {}", least, most),
                     seed->second);
}

}  // namespace

std::string to_json_text(const Result& result) {
  JsonObject settings;
  for (const auto& [name, value] : result.settings) settings.add(name, value);
  JsonObject estimates;
  for (const auto& [name, estimate] : result.estimates) estimates.add(name, to_json(estimate));
  std::vector<std::string> files;
  for (const Table& table : result.tables) files.push_back(table.name + ".csv");
  for (const Figure& figure : result.figures) files.push_back(figure.name + (result.figures_drawn ? ".svg" : ".gp"));
  for (const Material& material : result.materials) files.push_back(material.name);
  return JsonObject()
      .add("name", result.name)
      .add("title", result.title)
      .add("paper", result.paper_place)
      .add("settings", settings.json())
      .add("estimates", estimates.json())
      .add("paper_found", result.paper_found)
      .add("run_found", result.run_found)
      .add("files", files)
      .line();
}

Result write_result(const std::filesystem::path& out, Result result) {
  const std::filesystem::path folder = out / result.name;
  make_folder(folder);
  std::filesystem::remove(folder / "manifest.json");  // it tells of an earlier run
  for (const Table& table : result.tables) write_file(folder / (table.name + ".csv"), to_csv(table));
  for (const Material& material : result.materials) write_file(folder / material.name, material.content);
  for (Figure& figure : result.figures) {
    figure.note = sample_text(result);
    result.figures_drawn = draw_figure(folder, figure) && result.figures_drawn;
  }
  write_file(folder / "result.json", to_json_text(result));
  return result;
}

}  // namespace ffmem::tools
