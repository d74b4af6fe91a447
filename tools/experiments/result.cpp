#include "tools/experiments/result.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <set>

#include "loaders/atomic_file.hpp"
#include "loaders/json_file.hpp"
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

/// What an earlier run left, by the result.json in its folder; nothing where none says it.
std::set<std::string> earlier_files(const std::filesystem::path& folder) {
  try {
    return read_json_file(folder / "result.json").at("files").get<std::set<std::string>>();
  } catch (const std::exception&) {  // there is none, or it is not as we write it
    return {};
  }
}

std::set<std::string> own_files(const Result& result) {
  std::set<std::string> files;
  for (const Table& table : result.tables) files.insert(table.name + ".csv");
  for (const Material& material : result.materials) files.insert(material.name);
  for (const Figure& figure : result.figures) {
    for (const char* type : {".csv", ".gp"}) files.insert(figure.name + type);
    if (figure.paper) files.insert(figure.name + ".paper.csv");
    if (!result.figures_drawn) continue;
    for (const char* type : {".svg", ".png"}) files.insert(figure.name + type);
  }
  return files;
}

/// Removes what an earlier run left beside this one's files: plain files of the folder itself, whatever its result.json says.
void remove_earlier_files(const std::filesystem::path& folder, const Result& result) {
  std::set<std::string> own = own_files(result);
  own.insert(result.kept.begin(), result.kept.end());
  for (const std::string& name : earlier_files(folder)) {
    if (own.contains(name) || std::filesystem::path(name).filename() != name) continue;
    if (std::filesystem::is_regular_file(std::filesystem::symlink_status(folder / name))) {
      remove_file(folder / name);
    }
  }
}

}  // namespace

std::string to_json_text(const Result& result) {
  JsonObject settings;
  for (const auto& [name, value] : result.settings) settings.add(name, value);
  JsonObject estimates;
  for (const auto& [name, estimate] : result.estimates) estimates.add(name, to_json(estimate));
  return JsonObject()
      .add("name", result.name)
      .add("title", result.title)
      .add("paper", result.paper_place)
      .add("settings", settings.json())
      .add("estimates", estimates.json())
      .add("paper_found", result.paper_found)
      .add("run_found", result.run_found)
      .add("files", own_files(result))
      .line();
}

Result write_result(const std::filesystem::path& out, Result result, FormerFiles former) {
  const std::filesystem::path folder = out / result.name;
  make_folder(folder);
  remove_file(folder / "manifest.json");  // it tells of an earlier run
  for (const Table& table : result.tables) write_file(folder / (table.name + ".csv"), to_csv(table));
  for (const Material& material : result.materials) write_file(folder / material.name, material.content);
  for (Figure& figure : result.figures) {
    figure.note = sample_text(figure, result);
    result.figures_drawn = draw_figure(folder, figure) && result.figures_drawn;
  }
  if (former == FormerFiles::go) remove_earlier_files(folder, result);
  write_file(folder / "result.json", to_json_text(result));
  return result;
}

}  // namespace ffmem::tools
