// What commands print when they must succeed.
#pragma once

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "loaders/mapped_file.hpp"
#include "tests/tools/command.hpp"
#include "tests/tools/tiny_model.hpp"

namespace ffmem {

inline const std::string kDemo = FFMEM_DEMO_MODEL;
inline const std::string kTiny = kTinyModel.string();

inline std::string output(const std::vector<std::string>& arguments, const CommandSetting& setting = {}) {
  const CommandResult result = ffmem_command(arguments, setting);
  CHECK_MESSAGE(result.exit_code == 0, result.err);
  return result.out;
}

inline nlohmann::json json_output(const std::vector<std::string>& arguments) {
  return nlohmann::json::parse(output(arguments));
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
