// The k largest elements of one row, which may come in pieces.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "ops/cpu/kernel_table.hpp"

namespace ffmem {

struct RowElement {
  float value;
  std::uint32_t index;
};

/// Room for candidates that top_k_row needs.
constexpr std::size_t top_k_room(std::size_t k) noexcept { return 2 * k; }

/// Backend::top_k of one row: x [n] are its elements first .. first + n - 1, k >= 1; `candidates` has top_k_room(k) elements.
void top_k_row(const KernelTable& kernels, std::span<const float> x, std::size_t k, std::size_t first,
               std::span<RowElement> candidates, std::uint32_t* indices, float* values) noexcept;

}  // namespace ffmem
