// The k largest elements of one row.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "ops/cpu/kernel_table.hpp"

namespace ffmem {

/// Room for candidates that top_k_row needs.
constexpr std::size_t top_k_room(std::size_t k) noexcept { return 2 * k + 64; }

/// Writes the indices of the k largest elements, largest first, equal ones by smaller index, NaN as smallest. 1 <= k <= n;
/// `candidates` has top_k_room(k) elements.
void top_k_row(const KernelTable& kernels, const float* x, std::size_t n, std::size_t k, std::span<std::uint32_t> candidates,
               std::uint32_t* indices) noexcept;

}  // namespace ffmem
