// What an option takes: checked while the command line is read, so that a mistake ends the program with exit code 2 before any
// work. A rejected value is named with what was expected.
#pragma once

#include <cstddef>
#include <limits>
#include <string>
#include <vector>

namespace CLI {
class Option;
}  // namespace CLI

namespace ffmem::tools {

/// Whole numbers of `least` to `most` in plain decimal digits: -1, 010 or one too large for 64 bits is an error instead of
/// another number.
CLI::Option* check_count(CLI::Option* option, std::size_t least = 0,
                         std::size_t most = std::numeric_limits<std::size_t>::max());

/// Finite numbers of `least` to `most`.
CLI::Option* check_number(CLI::Option* option, double least, double most = std::numeric_limits<double>::max());

/// One of these words; help shows them in place of a type.
CLI::Option* check_word(CLI::Option* option, const std::vector<std::string>& words);

}  // namespace ffmem::tools
