// Runs the built ffmem as a user does: arguments, standard input, what comes out, and how it ends.
#pragma once

#include <csignal>
#include <string>
#include <vector>

namespace ffmem {

struct CommandResult {
  int exit_code = 0;  // minus the signal's number where a signal ended it
  std::string out;
  std::string err;
};

struct CommandSetting {
  std::string input{};                  // standard input
  std::string stdout_to{};              // a file to send standard output to, instead of into the result
  bool stdout_closed = false;           // the caller closed the descriptor
  bool stdout_without_reader = false;   // a pipe nobody reads
  std::size_t max_file_bytes = 0;       // no file may grow beyond this: a disk that runs full. 0: no limit
  bool interrupt_after_output = false;  // Ctrl-C as soon as something is on standard output, a pipe of one page
  bool stderr_terminal = false;         // standard error is a terminal
};

/// Whether the system gives new terminals: in a container without /dev/pts it does not.
bool terminals_exist();

/// Waits for its end. Throws std::runtime_error where a terminal is asked for and none exists.
CommandResult ffmem_command(const std::vector<std::string>& arguments, const CommandSetting& setting = {});

}  // namespace ffmem
