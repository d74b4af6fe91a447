// Memory in large pages, for weights, which are written once, whole, and read again and again.
#pragma once

#include "ops/aligned_buffer.hpp"

namespace ffmem {

/// n_elements zeros. Buffers lie one after the other, so that the operating system can give large pages, which one matrix alone
/// would not fill: half a gigabyte comes in hundreds of page faults instead of a hundred thousand. Only a hint: where the
/// system does not grant it, pages are small. A buffer's memory goes back with it, but for its first and last page, which go
/// with the last neighbour. Safe to call from any thread. Throws std::bad_alloc.
AlignedBuffer in_huge_pages(std::size_t n_elements);

}  // namespace ffmem
