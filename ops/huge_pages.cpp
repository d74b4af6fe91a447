#include "ops/huge_pages.hpp"

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>

namespace ffmem {

void use_huge_pages(const AlignedBuffer& buffer) noexcept {
#if defined(MADV_HUGEPAGE)
  constexpr std::uintptr_t kHugePage = std::uintptr_t{2} << 20;
  const auto begin = (reinterpret_cast<std::uintptr_t>(buffer.data()) + kHugePage - 1) / kHugePage * kHugePage;
  const auto end = (reinterpret_cast<std::uintptr_t>(buffer.data()) + buffer.bytes()) / kHugePage * kHugePage;
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);  // NOLINT(performance-no-int-to-ptr)
#else
  static_cast<void>(buffer);
#endif
}

}  // namespace ffmem
