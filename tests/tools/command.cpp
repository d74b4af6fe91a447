#include "tests/tools/command.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <stdexcept>

#include "loaders/mapped_file.hpp"
#include "tests/loaders/temporary_folder.hpp"

namespace ffmem {
namespace {

int open_or_die(const std::string& path, int flags) {
  const int descriptor = ::open(path.c_str(), flags | O_CLOEXEC, 0600);
  if (descriptor < 0) ::_exit(127);
  return descriptor;
}

/// A new terminal: the end to read what a program writes, and the program's. The latter is -1 where the system gives none.
std::array<int, 2> open_terminal() {
  const int reader = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (reader < 0 || ::grantpt(reader) != 0 || ::unlockpt(reader) != 0) return {reader, -1};
  return {reader, ::open(::ptsname(reader), O_RDWR | O_NOCTTY | O_CLOEXEC)};
}

/// In the child: everything as the setting says, then ffmem.
[[noreturn]] void become_ffmem(const std::vector<std::string>& arguments, const CommandSetting& setting,
                               const std::filesystem::path& folder, const std::array<int, 2>& pipe, int terminal) {
  ::dup2(open_or_die(folder / "in", O_RDONLY), STDIN_FILENO);
  ::dup2(terminal >= 0 ? terminal : open_or_die(folder / "err", O_WRONLY | O_CREAT), STDERR_FILENO);
  const std::string stdout_to = setting.stdout_to.empty() ? (folder / "out").string() : setting.stdout_to;
  ::dup2(pipe[1] >= 0 ? pipe[1] : open_or_die(stdout_to, O_WRONLY | O_CREAT), STDOUT_FILENO);
  if (setting.stdout_closed) ::close(STDOUT_FILENO);
  if (setting.max_file_bytes > 0) {
    const rlimit limit{setting.max_file_bytes, setting.max_file_bytes};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ::setenv("OMP_NUM_THREADS", "1", 1);  // tests run side by side
  std::vector<char*> argv{const_cast<char*>("ffmem")};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  ::execv(FFMEM_COMMAND, argv.data());
  ::_exit(127);
}

/// Reads the first byte, sends SIGINT, reads the rest.
std::string read_and_interrupt(int descriptor, pid_t child) {
  std::string out;
  std::array<char, 4096> buffer{};
  for (ssize_t n; (n = ::read(descriptor, buffer.data(), buffer.size())) > 0;) {
    if (out.empty()) ::kill(child, SIGINT);
    out.append(buffer.data(), static_cast<std::size_t>(n));
  }
  return out;
}

/// Until the program and whoever it started have closed their end.
std::string read_terminal(int reader) {
  std::string text;
  std::array<char, 4096> buffer{};
  for (ssize_t n; (n = ::read(reader, buffer.data(), buffer.size())) > 0;)
    text.append(buffer.data(), static_cast<std::size_t>(n));
  ::close(reader);
  return text;
}

}  // namespace

bool terminals_exist() {
  const std::array<int, 2> terminal = open_terminal();
  for (const int end : terminal) {
    if (end >= 0) ::close(end);
  }
  return terminal[1] >= 0;
}

CommandResult ffmem_command(const std::vector<std::string>& arguments, const CommandSetting& setting) {
  const TemporaryFolder folder;
  folder.write("in", setting.input);
  folder.write("out", "");
  std::array<int, 2> pipe{-1, -1};
  if ((setting.stdout_without_reader || setting.interrupt_after_output) && ::pipe2(pipe.data(), O_CLOEXEC) != 0) {
    throw std::runtime_error("no pipe");
  }
  if (setting.stdout_without_reader) ::close(pipe[0]);
  // One page, which soon makes a program wait for its reader.
  if (setting.interrupt_after_output && ::fcntl(pipe[1], F_SETPIPE_SZ, 1) < 0) throw std::runtime_error("no small pipe");
  const std::array<int, 2> terminal = setting.stderr_terminal ? open_terminal() : std::array<int, 2>{-1, -1};
  if (setting.stderr_terminal && terminal[1] < 0) throw std::runtime_error("no terminal");
  const pid_t child = ::fork();
  if (child == 0) become_ffmem(arguments, setting, folder.path(), pipe, terminal[1]);
  if (terminal[1] >= 0) ::close(terminal[1]);
  if (pipe[1] >= 0) ::close(pipe[1]);
  CommandResult result;
  if (setting.interrupt_after_output) {
    result.out = read_and_interrupt(pipe[0], child);
    ::close(pipe[0]);
  }
  if (setting.stderr_terminal) result.err = read_terminal(terminal[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  result.exit_code = WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
  if (!setting.interrupt_after_output) result.out = read_text_file(folder.path() / "out");
  if (!setting.stderr_terminal) result.err = read_text_file(folder.path() / "err");
  return result;
}

}  // namespace ffmem
