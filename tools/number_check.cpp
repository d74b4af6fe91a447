#include "tools/number_check.hpp"

#include <algorithm>
#include <atomic>

#include "ops/parallel.hpp"

namespace ffmem::tools {

void NumberCheck::read(const PointView& view) {
  std::atomic<bool> good = true;
  parallel_for(view.values.rows, view.values.cols, [&](std::size_t r) {
    // To the end of the row: such a loop the compiler can vectorise.
    if (std::ranges::count_if(view.values.row(r), [](float x) { return std::isnan(x); }) > 0) good = false;
  });
  if (good) return;
  for (std::size_t r = 0; r < view.values.rows; ++r) {
    check_numbers(view.values.row(r), [&](std::size_t) { return concat("the coefficients of layer ", view.layer); });
  }
}

}  // namespace ffmem::tools
