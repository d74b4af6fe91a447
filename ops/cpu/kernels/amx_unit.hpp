// The tile unit of tile_matmul.hpp by Intel's AMX. As assembly, because the compiler's own macros take no template's numbers
// and leave out what memory they read.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ffmem::kernels {

struct AmxUnit {
  [[gnu::always_inline]] static void configure(std::size_t rows0, std::size_t rows1) noexcept {
    // Palette 1: eight tiles of at most 16 rows of 64 bytes.
    struct Configuration {
      std::uint8_t palette = 1;
      std::uint8_t start_row = 0;
      std::uint8_t reserved[14] = {};
      std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      std::uint8_t rows[16] = {0, 0, 0, 0, 0, 0, 16, 16};
    };
    static_assert(sizeof(Configuration) == 64);
    Configuration c;
    c.rows[0] = c.rows[1] = c.rows[4] = static_cast<std::uint8_t>(rows0);
    c.rows[2] = c.rows[3] = c.rows[5] = static_cast<std::uint8_t>(rows1);
    asm volatile("ldtilecfg %0" : : "m"(c));
  }
  [[gnu::always_inline]] static void release() noexcept { asm volatile("tilerelease"); }

  template <int Tile>
  [[gnu::always_inline]] static void zero() noexcept {
    asm volatile("tilezero %%tmm%c0" : : "i"(Tile));
  }
  template <int Tile>
  [[gnu::always_inline]] static void load(const void* p, std::size_t stride) noexcept {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(p), "r"(stride), "i"(Tile) : "memory");
  }
  template <int Tile>
  [[gnu::always_inline]] static void store(void* p, std::size_t stride) noexcept {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(p), "r"(stride), "i"(Tile) : "memory");
  }
  template <int Sums, int X, int Weights>
  [[gnu::always_inline]] static void dot_bf16() noexcept {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(Sums), "i"(X), "i"(Weights));
  }
  template <int Sums, int X, int Weights>
  [[gnu::always_inline]] static void dot_int8() noexcept {
    asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(Sums), "i"(X), "i"(Weights));
  }
};

}  // namespace ffmem::kernels
