#include "loaders/resident_pages.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>

namespace ffmem {

bool release_pages(const Checkpoint& checkpoint, const WeightMatrix& w) noexcept {
  if (w.empty() || w.rows == 0 || w.cols == 0) return false;
  const auto* begin = static_cast<const std::byte*>(w.data);
  const auto* end = begin + ((w.rows - 1) * w.row_stride + (w.cols - 1) * w.col_stride + 1) * element_bytes(w.dtype);
  const bool in_file = std::ranges::any_of(checkpoint.tensors(), [&](const auto& entry) {
    const StoredTensor& tensor = *entry.second;
    return tensor.data <= begin && end <= tensor.data + tensor.n_bytes;
  });
  // Anonymous memory would come back as zeros.
  if (!in_file) return false;
  // Whole pages: a neighbour's part of the first and the last one is as good as new, too.
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto first = reinterpret_cast<std::uintptr_t>(begin) / page * page;
  ::madvise(reinterpret_cast<void*>(first), reinterpret_cast<std::uintptr_t>(end) - first,  // NOLINT(performance-no-int-to-ptr)
            MADV_DONTNEED);
  return true;
}

std::size_t release_if_copied(const ModelWeights& weights, const WeightMatrix& stored,
                              const PreparedMatrix& prepared) noexcept {
  if (!weights.checkpoint || prepared.owned_bytes() == 0) return 0;
  return release_pages(*weights.checkpoint, stored) ? stored.rows * stored.cols * element_bytes(stored.dtype) : 0;
}

}  // namespace ffmem
