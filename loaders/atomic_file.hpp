// Output that is whole or absent: written beside its target under a temporary name, synced, then renamed over it.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace ffmem {

/// For one thread at a time.
class AtomicFile {
 public:
  /// Creates `PATH.tmp.PID` in the target's folder (with a further number where that name is taken), locked (flock) as long as
  /// it has that name. A target that is a symbolic link stands for the file it leads to. Throws file_unwritable, naming the
  /// target: no such folder, no permission, a target that exists and is not a regular file (a directory, a pipe: there is
  /// nothing to rename over) or stands for an open file (/dev/stdout, /dev/fd/3). The file has the permissions of the one that
  /// it replaces.
  explicit AtomicFile(const std::filesystem::path& target);

  /// Removes the temporary file unless commit() was reached.
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// Appends, through a buffer. Throws file_unwritable (disk full, ...); from then on so does every call, and the target stays.
  /// Throws argument_invalid behind commit().
  void write(const void* data, std::size_t n_bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }

  /// Syncs the file, renames it and syncs the folder. Throws file_unwritable; where only the last of these failed, the target
  /// is there already, but may not outlive a power failure. Throws argument_invalid the second time.
  void commit();

 private:
  [[noreturn]] void fail_for_good(int error);
  void write_out(const char* data, std::size_t n_bytes);

  std::filesystem::path target_;
  std::filesystem::path temporary_;
  int descriptor_ = -1;
  std::vector<char> buffer_;
  std::string failure_;  // why a write or sync failed, so that what is written can't be whole any more
};

/// The whole file at once. Throws what AtomicFile does.
void write_file(const std::filesystem::path& path, std::string_view text);

/// The folder and those above it, where they are not there yet. Throws file_unwritable.
void make_folder(const std::filesystem::path& folder);

/// Removes the file, where it is there. Throws file_unwritable.
void remove_file(const std::filesystem::path& path);

}  // namespace ffmem
