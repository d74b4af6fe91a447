#include "loaders/resident_pages.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <optional>
#include <vector>

#include "loaders/safetensors_writer.hpp"
#include "tests/loaders/temporary_folder.hpp"

namespace ffmem {
namespace {

constexpr std::size_t kSide = 512;

/// Whether the page that holds `address` is in this process' memory (Linux, Documentation/admin-guide/mm/pagemap.rst); nothing
/// where the system does not tell.
std::optional<bool> is_resident(const void* address) {
  const int pages = ::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  if (pages < 0) return std::nullopt;
  const auto page = reinterpret_cast<std::uintptr_t>(address) / static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  std::uint64_t entry = 0;
  const ssize_t n = ::pread(pages, &entry, sizeof entry, static_cast<off_t>(page * sizeof entry));
  ::close(pages);
  return n == sizeof entry ? std::optional((entry >> 63) != 0) : std::nullopt;
}

/// A folder with one matrix [kSide, kSide] of the numbers 0, 1, 2, ...
class MatrixFolder {
 public:
  MatrixFolder() : values_(kSide * kSide) {
    std::iota(values_.begin(), values_.end(), 0.0F);
    write_safetensors(folder_.path() / "model.safetensors", {{"w", DType::f32, {kSide, kSide}, values_.data()}});
  }
  const std::filesystem::path& path() const { return folder_.path(); }
  const std::vector<float>& values() const { return values_; }

 private:
  TemporaryFolder folder_;
  std::vector<float> values_;
};

WeightMatrix matrix_of(const void* data) { return {data, DType::f32, kSide, kSide, kSide, 1}; }

TEST_CASE("release_pages: a mapped matrix leaves memory and comes back with the same numbers") {
  const MatrixFolder folder;
  const Checkpoint checkpoint(folder.path());
  const StoredTensor& stored = checkpoint.at("w");
  const auto* middle = stored.data + stored.n_bytes / 2;
  std::vector<float> row(kSide);
  read_row(matrix_of(stored.data), kSide / 2, row.data());
  CHECK(is_resident(middle).value_or(true));
  release_pages(checkpoint, matrix_of(stored.data).transposed());
  CHECK_FALSE(is_resident(middle).value_or(false));
  for (std::size_t r = 0; r < kSide; ++r) {
    read_row(matrix_of(stored.data), r, row.data());
    CHECK(std::equal(row.begin(), row.end(), folder.values().begin() + static_cast<std::ptrdiff_t>(r * kSide)));
  }
}

TEST_CASE("release_pages: memory that is not the checkpoint's keeps what it holds") {
  const MatrixFolder folder;
  const Checkpoint checkpoint(folder.path());
  const std::vector<float>& values = folder.values();
  const std::vector<float> copy(values.begin(), values.end());
  CHECK_FALSE(release_pages(checkpoint, matrix_of(copy.data())));
  CHECK(copy == values);
  CHECK_FALSE(release_pages(checkpoint, {}));
}

}  // namespace
}  // namespace ffmem
