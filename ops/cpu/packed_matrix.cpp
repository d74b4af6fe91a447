#include "ops/cpu/packed_matrix.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "ops/parallel.hpp"
#include "ops/quantise.hpp"
#include "ops/rounding.hpp"

namespace ffmem {
namespace {

// A panel's weights are read in tiles of so many inputs, whole groups of either size.
constexpr std::size_t kTileInputs = 256;
constexpr std::size_t kLinesAhead = 16;
// Of what a line holds of an output.
constexpr std::size_t kUnitBytes = sizeof(std::uint32_t);
static_assert(kTileInputs % kInt8Group == 0 && kTileInputs % kInt4Group == 0);

std::size_t step_size(WeightFormat format) {
  switch (format) {
    case WeightFormat::f32:
      return kF32Step;
    case WeightFormat::bf16:
      return kBf16Step;
    case WeightFormat::int8:
      return kInt8Step;
    case WeightFormat::int4:
      break;
  }
  return kInt4Step;
}

WeightMatrix slice(const WeightMatrix& w, std::size_t row, std::size_t rows, std::size_t col, std::size_t cols) {
  return w.row_slice(row, rows).transposed().row_slice(col, cols).transposed();
}

// Float32 weights that all are bf16 numbers need no more; the inputs of a row then make whole pairs.
WeightFormat lines_for(const WeightMatrix& w, WeightFormat format) {
  return format == WeightFormat::f32 && w.dtype == DType::bf16 && w.cols % kBf16Step == 0 ? WeightFormat::bf16 : format;
}

// Where an output's weights are, and how far apart: from one output to the next, from one input to the next.
struct StoredElements {
  const std::byte* first;
  std::size_t out_bytes;
  std::size_t in_bytes;
};

// A line of n outputs from N elements each: what the line holds, or the last ones.
template <class Element, std::size_t N>
[[gnu::always_inline]] inline void copy_line(StoredElements w, std::size_t n, std::uint32_t* to) {
  for (std::size_t o = 0; o < n; ++o) {
    std::uint32_t unit = 0;
    for (std::size_t s = 0; s < N; ++s) {
      Element element;
      std::memcpy(&element, w.first + o * w.out_bytes + s * w.in_bytes, sizeof element);
      unit |= static_cast<std::uint32_t>(element) << (8 * sizeof element * s);
    }
    to[o] = unit;
  }
}

// A whole line, which is read long after, by the first product: fetching what it replaces would be in vain.
inline void write_past_caches(const std::uint32_t* line, std::uint32_t* to) {
#if defined(__SSE2__)
  for (std::size_t i = 0; i < kLanes; i += 4) {
    _mm_stream_si128(reinterpret_cast<__m128i*>(to + i), _mm_load_si128(reinterpret_cast<const __m128i*>(line + i)));
  }
#else
  std::memcpy(to, line, kLineBytes);
#endif
}

// Before other threads read what this one wrote so.
inline void end_writes_past_caches() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

template <class Element>
[[gnu::always_inline]] inline void copy_strided(StoredElements w, std::size_t n_out, std::size_t n_in, std::uint32_t* lines) {
  constexpr std::size_t kStep = kUnitBytes / sizeof(Element);
  for (std::size_t i = 0; i < n_in; i += kStep, w.first += kStep * w.in_bytes, lines += kLanes) {
    // Inputs lie too far apart for the hardware to see the next one coming.
    if (w.out_bytes == sizeof(Element)) __builtin_prefetch(w.first + kLinesAhead * w.in_bytes);
    if (n_in - i >= kStep && n_out == kLanes) {
      alignas(kLineBytes) std::uint32_t line[kLanes];
      copy_line<Element, kStep>(w, kLanes, line);
      write_past_caches(line, lines);
    } else if (n_in - i >= kStep) {
      copy_line<Element, kStep>(w, n_out, lines);
    } else {
      copy_line<Element, 1>(w, n_out, lines);
    }
  }
}

// A tile whose stored elements are what the lines hold.
template <class Element>
void copy_tile(const WeightMatrix& w, std::uint32_t* lines) {
  const auto* const first = static_cast<const std::byte*>(w.data);
  const std::size_t out_bytes = w.row_stride * sizeof(Element);
  const std::size_t in_bytes = w.col_stride * sizeof(Element);
  // A constant distance lets the compiler put loads together.
  if (w.row_stride == 1) return copy_strided<Element>({first, sizeof(Element), in_bytes}, w.rows, w.cols, lines);
  if (w.col_stride == 1) return copy_strided<Element>({first, out_bytes, sizeof(Element)}, w.rows, w.cols, lines);
  copy_strided<Element>({first, out_bytes, in_bytes}, w.rows, w.cols, lines);
}

// A tile's weights as float32, a row for each output, and as the 4 bytes that the packed lines hold for an output.
struct Tile {
  float rows[kLanes][kTileInputs];
  std::uint32_t units[kLanes][kTileInputs];

  void read(const WeightMatrix& w) {
    if (w.col_stride == 1) {
      for (std::size_t o = 0; o < w.rows; ++o) read_row(w, o, rows[o]);
      return;
    }
    float line[kLanes];
    const std::size_t step = w.col_stride * element_bytes(w.dtype);
    for (std::size_t i = 0; i < w.cols; ++i) {
      __builtin_prefetch(static_cast<const std::byte*>(w.data) + (i + kLinesAhead) * step);
      read_row(w.transposed(), i, line);
      for (std::size_t o = 0; o < w.rows; ++o) rows[o][i] = line[o];
    }
  }
};

// Each encodes n inputs of one output and returns the number of units.
std::size_t encode_f32(const float* w, std::size_t n, std::uint32_t* units) {
  std::memcpy(units, w, n * sizeof *w);
  return n;
}

std::size_t encode_bf16(const float* w, std::size_t n, std::uint32_t* units) {
  std::uint16_t rounded[kTileInputs + 1];
  round_to_bf16(w, n, rounded);
  rounded[n] = 0;
  const std::size_t n_units = ceil_div(n, kBf16Step);
  for (std::size_t i = 0; i < n_units; ++i) units[i] = rounded[2 * i] | static_cast<std::uint32_t>(rounded[2 * i + 1]) << 16;
  return n_units;
}

std::size_t encode_int8(const float* w, std::size_t n, std::uint32_t* units) {
  std::size_t n_units = 0;
  for (std::size_t begin = 0; begin < n; begin += kInt8Group) {
    const std::size_t size = std::min(kInt8Group, n - begin);
    std::int8_t q[kInt8Group] = {};
    units[n_units++] = std::bit_cast<std::uint32_t>(quantise_int8(w + begin, size, q));
    for (std::size_t i = 0; i < size; i += kInt8Step) {
      std::uint32_t four = 0;
      std::memcpy(&four, q + i, sizeof four);
      units[n_units++] = four ^ 0x80808080U;  // q + 128
    }
  }
  return n_units;
}

std::size_t encode_int4(const float* w, std::size_t n, std::uint32_t* units) {
  std::size_t n_units = 0;
  for (std::size_t begin = 0; begin < n; begin += kInt4Group) {
    const std::size_t size = std::min(kInt4Group, n - begin);
    std::uint8_t q[kInt4Group] = {};
    const Int4Scale group = quantise_int4(w + begin, size, q);
    units[n_units++] = static_cast<std::uint32_t>(group.scale) << 16 | group.minimum;
    for (std::size_t i = 0; i < size; i += kInt4Step) {
      std::uint32_t low = 0;
      std::uint32_t high = 0;
      std::memcpy(&low, q + i, sizeof low);
      std::memcpy(&high, q + i + 4, sizeof high);
      units[n_units++] = low | high << 4;
    }
  }
  return n_units;
}

auto encoder(WeightFormat format) {
  switch (format) {
    case WeightFormat::f32:
      return encode_f32;
    case WeightFormat::bf16:
      return encode_bf16;
    case WeightFormat::int8:
      return encode_int8;
    case WeightFormat::int4:
      break;
  }
  return encode_int4;
}

}  // namespace

PackedMatrix::PackedMatrix(const WeightMatrix& w, WeightFormat format) : CpuMatrix(w, format), lines_(lines_for(w, format)) {
  const std::size_t panel_bytes = n_lines() * kLineBytes;
  allocate(n_panels() * panel_bytes, panel_bytes, kLineBytes);
  parallel_for(n_panels(), kLanes * cols() * 10, [&](std::size_t panel) {
    for (std::size_t input = 0; input < cols(); input += kTileInputs) pack_tile(w, panel, input);
    end_writes_past_caches();
  });
}

MatmulKernel PackedMatrix::kernel(const MatmulKernels& kernels, std::size_t n_rows) const noexcept {
  switch (format()) {
    case WeightFormat::f32:
      return lines_ == WeightFormat::bf16 ? kernels.f32_by_bf16 : kernels.f32;
    case WeightFormat::bf16:
      return kernels.bf16;
    case WeightFormat::int8:
      return n_rows < kManyRows ? kernels.int8 : kernels.int8_of_many;
    case WeightFormat::int4:
      break;
  }
  return kernels.int4;
}

std::size_t PackedMatrix::n_lines() const noexcept {
  const std::size_t group = group_size(format());
  return group == 0 ? ceil_div(cols(), step_size(lines_)) : n_groups() * (1 + group / step_size(lines_));
}

void PackedMatrix::pack_tile(const WeightMatrix& w, std::size_t panel, std::size_t input) const {
  const std::size_t n_out = std::min(kLanes, rows() - panel * kLanes);
  const std::size_t n_in = std::min(kTileInputs, cols() - input);
  const WeightMatrix stored = slice(w, panel * kLanes, n_out, input, n_in);
  const std::size_t groups_before = n_groups() == 0 ? 0 : input / group_size(format());
  const std::size_t line = panel * n_lines() + input / step_size(lines_) + groups_before;
  std::uint32_t* const lines = reinterpret_cast<std::uint32_t*>(buffer().data()) + line * kLanes;
  if (lines_ == WeightFormat::f32 && w.dtype == DType::f32) return copy_tile<std::uint32_t>(stored, lines);
  if (lines_ == WeightFormat::bf16 && w.dtype == DType::bf16) return copy_tile<std::uint16_t>(stored, lines);

  const auto encode = encoder(lines_);
  Tile tile;
  tile.read(stored);
  std::size_t n_units = 0;
  for (std::size_t o = 0; o < n_out; ++o) n_units = encode(tile.rows[o], n_in, tile.units[o]);
  for (std::size_t i = 0; i < n_units; ++i) {
    for (std::size_t o = 0; o < n_out; ++o) lines[i * kLanes + o] = tile.units[o][i];
  }
}

}  // namespace ffmem
