// What the command says. Everything for standard output, which may feed the next program in a pipe, goes through here, so that
// a full disk or a closed descriptor is an error and not a silent loss.
#pragma once

#include <string_view>

namespace ffmem::tools {

/// Appends to standard output's buffer. Throws Error(file_unwritable).
void write_out(std::string_view text);

/// Hands the buffer to the operating system: after each piece of streamed text, and once at the end of the program.
/// Throws Error(file_unwritable).
void flush_out();

/// Opens /dev/null in place of each standard descriptor that the caller closed, so that no file of ours gets its number;
/// writing to a closed standard output stays an error.
void reserve_standard_descriptors();

/// "ffmem: TEXT" as a line on standard error: what a person should know, but no program reads.
void note(std::string_view text);

}  // namespace ffmem::tools
