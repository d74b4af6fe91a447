// Output that is whole or absent: written beside its target under a temporary name, synced, then renamed over it.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

namespace ffmem {

class AtomicFile {
 public:
  /// Creates `PATH.tmp.PID` in the target's folder. Throws file_unwritable (no such folder, no permission, the target is a
  /// directory), naming the target.
  explicit AtomicFile(std::filesystem::path target);

  /// Removes the temporary file unless commit() was reached.
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// Appends. Throws file_unwritable (disk full, ...).
  void write(const void* data, std::size_t n_bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }

  /// Syncs file and folder and renames. Throws file_unwritable. Nothing may be written afterwards.
  void commit();

 private:
  std::filesystem::path target_;
  std::filesystem::path temporary_;
  int descriptor_ = -1;
};

}  // namespace ffmem
