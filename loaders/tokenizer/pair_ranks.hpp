// A hash table from pairs of 32-bit numbers to a 32-bit number, made for many look-ups.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ffmem::tokenization {

class PairRanks {
 public:
  static constexpr std::uint32_t kNone = 0xFFFFFFFF;

  /// Room for `n_pairs` pairs.
  explicit PairRanks(std::size_t n_pairs = 0) {
    std::size_t n_slots = 16;
    while (n_slots < 2 * n_pairs) n_slots *= 2;
    while ((n_slots >> bits_) > 1) ++bits_;
    slots_.resize(n_slots);
  }

  /// A pair that is there already gets the new value. No pair may be (kNone, kNone).
  void set(std::uint32_t left, std::uint32_t right, std::uint32_t value) noexcept {
    const std::uint64_t key = key_of(left, right);
    std::size_t slot = slot_of(key);
    while (slots_[slot].key != key && slots_[slot].key != kEmpty) slot = (slot + 1) % slots_.size();
    slots_[slot] = {key, value};
  }

  std::uint32_t find(std::uint32_t left, std::uint32_t right) const noexcept {
    const std::uint64_t key = key_of(left, right);
    for (std::size_t slot = slot_of(key);; slot = (slot + 1) & (slots_.size() - 1)) {
      if (slots_[slot].key == key) return slots_[slot].value;
      if (slots_[slot].key == kEmpty) return kNone;
    }
  }

 private:
  static constexpr std::uint64_t kEmpty = ~std::uint64_t{0};
  struct Slot {
    std::uint64_t key = kEmpty;
    std::uint32_t value = kNone;
  };

  static std::uint64_t key_of(std::uint32_t left, std::uint32_t right) noexcept { return std::uint64_t{left} << 32 | right; }
  std::size_t slot_of(std::uint64_t key) const noexcept {
    return static_cast<std::size_t>(key * 0x9E3779B97F4A7C15U >> (64 - bits_));
  }

  unsigned bits_ = 0;
  std::vector<Slot> slots_;
};

}  // namespace ffmem::tokenization
