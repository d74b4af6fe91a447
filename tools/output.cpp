#include "tools/output.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "loaders/file_errors.hpp"
#include "ops/error.hpp"

namespace ffmem::tools {
namespace {

[[noreturn]] void fail_write() { fail(ErrorCode::file_unwritable, "standard output: ", system_text(errno)); }

}  // namespace

void write_out(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) fail_write();
}

void flush_out() {
  if (std::fflush(stdout) != 0) fail_write();
}

void note(std::string_view text) { std::fprintf(stderr, "ffmem: %.*s\n", static_cast<int>(text.size()), text.data()); }

void reserve_standard_descriptors() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(descriptor, F_GETFD) != -1 || errno != EBADF) continue;
    // open() returns the lowest free number, which is this one. Standard output is opened for reading: writes fail.
    const int mode = descriptor == STDOUT_FILENO ? O_RDONLY : O_RDWR;
    if (::open("/dev/null", mode) != descriptor) fail(ErrorCode::file_unreadable, "/dev/null: ", system_text(errno));
  }
}

}  // namespace ffmem::tools
