// What an annotator gets, and what comes back: annotation.csv (which patterns each prefix has) and patterns.csv (what they
// are). The rules are those of paper section 3.1.
#pragma once

#include <array>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "tools/experiments/result.hpp"
#include "tools/experiments/workbench.hpp"

namespace ffmem::tools {

inline constexpr std::size_t kPatternColumns = 6;  // patterns a prefix may have
inline constexpr std::size_t kLeastPrefixes = 3;   // that a pattern must occur in

/// A key to annotate and the prefixes that an annotator reads.
struct KeyToAnnotate {
  std::size_t layer = 0;  // from 0; from 1 in the files
  std::size_t unit = 0;
  std::vector<TriggerStore::Example> examples;
};

/// Of every layer options().annotated_keys random keys, among those that have trigger examples, with their best
/// options().annotated_examples. The same for the same seed and trigger examples.
std::vector<KeyToAnnotate> keys_to_annotate(Workbench& bench);

/// annotation.csv and patterns.csv with empty fields to fill in, and instructions.txt; `smallest`: the examples are those of
/// the most negative coefficients.
std::vector<Material> annotation_material(const std::vector<KeyToAnnotate>& keys, const Tokenizer& tokenizer, bool smallest);

/// What people have left in annotation.csv and patterns.csv.
enum class Sheets {
  blank,         // nothing, or the files are not there
  filled_in,     // work on the prefixes of these keys
  of_other_keys  // work on others, or files that are no longer the CSV that they were
};
Sheets sheets_in(const std::filesystem::path& folder, const std::vector<KeyToAnnotate>& keys);

enum class PatternType { shallow, semantic };

struct Pattern {
  std::size_t number = 0;
  std::string description;
  PatternType type = PatternType::shallow;
  std::size_t n_prefixes = 0;  // that have it
};

/// What one annotator found in one key.
struct KeyAnnotation {
  std::vector<Pattern> patterns;                   // by number
  std::vector<std::vector<std::size_t>> examples;  // [examples]: of each prefix the places of its patterns in `patterns`
};

/// A prefix by the types of its patterns.
enum class Coverage { shallow, both, semantic, none };
inline constexpr std::size_t kCoverages = 4;
inline constexpr std::array<std::string_view, kCoverages> kCoverageNames{"shallow", "shallow + semantic", "semantic",
                                                                         "not covered"};
Coverage coverage(const KeyAnnotation& key, std::size_t example);

/// One annotator's annotation.csv and patterns.csv; one element for each of `keys`. Throws what CsvTable throws and
/// argument_invalid, naming file, line and column: a key or example that is not among those to annotate, is there twice or is
/// missing; a pattern without description, of a type that is neither shallow nor semantic, described twice, not described or in
/// fewer than three prefixes.
std::vector<KeyAnnotation> read_annotations(const std::filesystem::path& folder, const std::vector<KeyToAnnotate>& keys);

}  // namespace ffmem::tools
