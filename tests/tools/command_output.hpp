// What commands print when they must succeed, and when they must not.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "loaders/mapped_file.hpp"
#include "tests/loaders/thrown.hpp"
#include "tests/tools/command.hpp"
#include "tests/tools/tiny_model.hpp"

namespace ffmem {

inline const std::string kDemo = FFMEM_DEMO_MODEL;
inline const std::string kTiny = kTinyModel.string();

using Arguments = std::vector<std::string>;

inline Arguments with(Arguments arguments, const Arguments& more) {
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

inline std::string output(const std::vector<std::string>& arguments, const CommandSetting& setting = {}) {
  const CommandResult result = ffmem_command(arguments, setting);
  CHECK_MESSAGE(result.exit_code == 0, result.err);
  return result.out;
}

inline nlohmann::json json_output(const std::vector<std::string>& arguments) {
  return nlohmann::json::parse(output(arguments));
}

/// Checks that the command ends with `exit_code` and says one line that holds all of `parts`.
inline void check_complaint(const std::vector<std::string>& arguments, int exit_code, const std::vector<std::string>& parts,
                            const CommandSetting& setting = {}) {
  const CommandResult result = ffmem_command(arguments, setting);
  CAPTURE(result.err);
  CHECK(result.exit_code == exit_code);
  CHECK(result.err.starts_with("ffmem: "));
  CHECK(std::count(result.err.begin(), result.err.end(), '\n') == 1);
  for (const std::string& part : parts) {
    CAPTURE(part);
    CHECK(contains(result.err, part));
  }
}

/// The tiny model's reference sequences, generation and interventions.
inline nlohmann::json oracle() { return nlohmann::json::parse(read_text_file(kTinyModel / "oracle.json")); }

/// "1,2,3"
inline std::string joined(const std::vector<int>& ids) {
  std::string text;
  for (const int id : ids) {
    if (!text.empty()) text += ',';
    text += std::to_string(id);
  }
  return text;
}

}  // namespace ffmem
