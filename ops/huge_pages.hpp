// Large pages for memory that is about to be written whole.
#pragma once

#include "ops/aligned_buffer.hpp"

namespace ffmem {

/// Asks the operating system to give the large pages that lie inside `buffer`, which nothing was written to yet: converted
/// weights of half a gigabyte come in hundreds of page faults instead of a hundred thousand. A wish: nothing happens where it
/// is not granted.
void use_huge_pages(const AlignedBuffer& buffer) noexcept;

}  // namespace ffmem
