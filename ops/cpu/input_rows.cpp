#include "ops/cpu/input_rows.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <span>
#include <vector>

#include "ops/parallel.hpp"
#include "ops/rounding.hpp"
#include "ops/threads.hpp"

namespace ffmem {
namespace {

// Inputs and outputs that are copied together, where the file has an output's weights in one piece.
constexpr std::size_t kTile = 64;

// Outputs of a bf16 line.
constexpr std::size_t kBf16Outputs = 2 * kLanes;

// Writes w's elements input by input, `stride` elements from an input to the next.
template <class Element>
void copy_by_input(const WeightMatrix& w, Element* to, std::size_t stride) {
  const auto* const stored = static_cast<const std::byte*>(w.data);
  if (w.row_stride == 1) {
    for (std::size_t i = 0; i < w.cols; ++i) {
      std::memcpy(to + i * stride, stored + i * w.col_stride * sizeof(Element), w.rows * sizeof(Element));
    }
    return;
  }
  for (std::size_t o = 0; o < w.rows; ++o) {
    for (std::size_t i = 0; i < w.cols; ++i) {
      std::memcpy(to + i * stride + o, stored + (o * w.row_stride + i * w.col_stride) * sizeof(Element), sizeof(Element));
    }
  }
}

// The numbers of kBf16Outputs outputs as a line holds them.
void pair_up(const std::uint16_t* numbers, std::uint32_t* line) {
  for (std::size_t o = 0; o < kLanes; ++o) line[o] = numbers[o] | static_cast<std::uint32_t>(numbers[kLanes + o]) << 16;
}

WeightMatrix inputs_of(const WeightMatrix& w, std::size_t first, std::size_t n) {
  return w.transposed().row_slice(first, n).transposed();
}

// Inputs that some row has, ascending, written to `active`. Returns how many.
std::size_t find_active(ConstMatrixView x, std::uint32_t* active) {
  std::size_t n = 0;
  for (std::size_t i = 0; i < x.cols; ++i) {
    active[n] = static_cast<std::uint32_t>(i);  // overwritten by the next unless it counts
    bool is_active = false;
    for (std::size_t t = 0; t < x.rows; ++t) is_active = is_active || x.row_data(t)[i] != 0.0F;
    n += is_active ? 1 : 0;
  }
  return n;
}

}  // namespace

InputRows::InputRows(const WeightMatrix& w)
    : CpuMatrix(w, WeightFormat::f32),
      holds_bf16_(w.dtype == DType::bf16),
      // An odd number of lines: rows that all began at the same place of a page would fight for the same lines of the caches.
      row_bytes_(((holds_bf16_ ? ceil_div(n_panels(), 2) : n_panels()) | 1U) * kLineBytes) {
  allocate(cols() * row_bytes_, holds_bf16_ ? kLineBytes / 2 : kLineBytes, row_bytes_);
  const std::size_t stride = row_bytes_ / (holds_bf16_ ? sizeof(std::uint16_t) : sizeof(float));
  parallel_for(ceil_div(cols(), kTile), kTile * rows() * 10, [&](std::size_t tile) {
    const std::size_t first = tile * kTile;
    const WeightMatrix stored = inputs_of(w, first, std::min(kTile, cols() - first));
    float* const to = buffer().data() + first * row_bytes_ / sizeof(float);
    if (holds_bf16_) {
      // Line by line of outputs, so that no more than a tile is put together at a time.
      for (std::size_t o = 0; o < rows(); o += kBf16Outputs) {
        std::uint16_t block[kTile * kBf16Outputs] = {};
        copy_by_input(stored.row_slice(o, std::min(kBf16Outputs, rows() - o)), block, kBf16Outputs);
        for (std::size_t i = 0; i < stored.cols; ++i) {
          pair_up(block + i * kBf16Outputs, reinterpret_cast<std::uint32_t*>(to) + (i * stride + o) / 2);
        }
      }
    } else if (w.dtype == DType::f32) {
      for (std::size_t o = 0; o < rows(); o += kTile) {
        copy_by_input(stored.row_slice(o, std::min(kTile, rows() - o)), to + o, stride);
      }
    } else {
      for (std::size_t i = 0; i < stored.cols; ++i) read_row(stored.transposed(), i, to + i * stride);
    }
  });
}

void InputRows::multiply_few(const MatmulKernels& kernels, ConstMatrixView x, const float* bias, MatrixView y) const {
  assert(x.rows <= kMaxSparseRows);  // the kernels' sums have room for no more
  static thread_local std::vector<std::uint32_t> active;
  active.resize(std::max(active.size(), x.cols));
  std::size_t n_active = x.cols;
  if (may_skip_zeros()) {
    n_active = find_active(x, active.data());
  } else {
    std::iota(active.begin(), active.end(), 0U);
  }
  const std::uint32_t* const list = active.data();
  const auto kernel = holds_bf16_ ? kernels.sparse_by_bf16 : kernels.sparse;
  const std::size_t parts = std::min(most_parts(kPanelsTogether), static_cast<std::size_t>(available_threads()));
  parallel_tasks(parts, n_active * x.rows * rows() / parts, [&](std::size_t part) {
    const OutputRange range = outputs(part, parts, kPanelsTogether);
    kernel({.x = x.data,
            .x_stride = x.stride,
            .n_rows = x.rows,
            .active = list,
            .n_active = n_active,
            .w = range.lines.first,
            .row_bytes = row_bytes_,
            .bias = bias == nullptr ? nullptr : bias + range.begin,
            .y = y.data + range.begin,
            .y_stride = y.stride,
            .n_out = range.end - range.begin});
  });
}

bool InputRows::may_skip_zeros() const {
  std::call_once(looked_at_, [this] {
    constexpr std::uint32_t kExponent = 0x7f800000U;
    const unsigned half = holds_bf16_ ? 16 : 0;
    bool finite = true;
    for (const float value : std::span(buffer().data(), buffer().size())) {
      const auto bits = std::bit_cast<std::uint32_t>(value);
      finite = finite & ((bits & kExponent) != kExponent) & (((bits << half) & kExponent) != kExponent);
    }
    finite_ = finite;
  });
  return finite_;
}

}  // namespace ffmem
