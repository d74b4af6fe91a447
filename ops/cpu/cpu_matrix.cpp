#include "ops/cpu/cpu_matrix.hpp"

#include <algorithm>

#include "ops/huge_pages.hpp"

namespace ffmem {

std::size_t CpuMatrix::n_groups() const noexcept {
  const std::size_t size = group_size(format_);
  return size == 0 ? 0 : ceil_div(cols_, size);
}

OutputRange CpuMatrix::outputs(std::size_t part, std::size_t parts, std::size_t together) const noexcept {
  const auto first_panel = [&](std::size_t p) { return most_parts(together) * p / parts * together; };
  return {.begin = first_panel(part) * kLanes,
          .end = std::min(first_panel(part + 1) * kLanes, rows_),
          .lines = {.first = lines_.first + first_panel(part) * lines_.panel_stride,
                    .panel_stride = lines_.panel_stride,
                    .line_stride = lines_.line_stride}};
}

void CpuMatrix::allocate(std::size_t n_bytes, std::size_t panel_stride, std::size_t line_stride) {
  buffer_ = in_huge_pages(n_bytes / sizeof(float));
  lines_ = {
      .first = reinterpret_cast<const std::byte*>(buffer_.data()), .panel_stride = panel_stride, .line_stride = line_stride};
}

}  // namespace ffmem
