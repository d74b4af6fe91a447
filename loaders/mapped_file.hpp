// A whole file mapped read-only into memory.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

#include "ops/error.hpp"

namespace ffmem {

/// Safe to read from several threads at once.
class MappedFile {
 public:
  /// No bytes, and an empty path.
  MappedFile() = default;

  /// Throws file_not_found, or file_unreadable (a directory, a link to nothing, no permission, not mappable), naming the path.
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  /// Valid as long as this object lives (moving it keeps the bytes where they are).
  std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }
  const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

/// False only where there is surely no such file. True for a link to nothing, and where the folder may not be searched: opening
/// it says so.
bool may_exist(const std::filesystem::path& path);

/// The whole of a (small) text file, as bytes. Throws as MappedFile does.
std::string read_text_file(const std::filesystem::path& path);

/// The same for files that are parsed whole, at many times their bytes: one beyond `max_bytes` is refused with `too_large`
/// before it is read.
inline constexpr std::size_t kMaxParsedBytes = std::size_t{1} << 28;  // several times the largest tokenizer.json in use
std::string read_parsed_file(const std::filesystem::path& path, ErrorCode too_large, std::size_t max_bytes = kMaxParsedBytes);

}  // namespace ffmem
