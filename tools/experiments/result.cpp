#include "tools/experiments/result.hpp"

#include <fmt/format.h>

#include <algorithm>

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

std::string_view point_name(Figure::Kind kind) {
  return kind == Figure::Kind::lines ? "point" : kind == Figure::Kind::boxes ? "box" : "bar";
}

/// "Each point: 812 to 1024 prefixes; seed 1"; empty where there is no point.
std::string sample_text(const Figure& figure, const Result& result) {
  const auto& [of, least, most] = figure.samples;
  const auto seed = std::ranges::find_if(result.settings, [](const auto& setting) { return setting.first == "seed"; });
  if (most == 0 || seed == result.settings.end()) return "";
  return fmt::format("Each {}: {} {}; seed {}", point_name(figure.kind),
                     least == most ? std::to_string(most) : fmt::format("{} to {}", least, most), of, seed->second);
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
    figure.note = sample_text(figure, result);
    result.figures_drawn = draw_figure(folder, figure) && result.figures_drawn;
  }
  write_file(folder / "result.json", to_json_text(result));
  return result;
}

}  // namespace ffmem::tools
