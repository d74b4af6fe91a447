#include "loaders/tokenizer/characters.hpp"

#include <unicode/uchar.h>

#include <algorithm>
#include <map>
#include <string>

#include "loaders/tokenizer/new_characters.hpp"

namespace ffmem::tokenization {
namespace {

/// Kinds that follow from the general category alone.
std::uint8_t kinds_of_category(std::uint32_t category) {
  std::uint8_t kinds = 0;
  if ((category & U_GC_L_MASK) != 0) kinds |= CharKind::letter | CharKind::word;
  if ((category & U_GC_N_MASK) != 0) kinds |= CharKind::number;
  if ((category & (U_GC_M_MASK | U_GC_ND_MASK | U_GC_NL_MASK | U_GC_PC_MASK)) != 0) kinds |= CharKind::word;
  return kinds;
}

/// Kinds of one character for which the category does not tell all.
std::uint8_t kinds_of_character(UChar32 code) {
  std::uint8_t kinds = 0;
  if (u_hasBinaryProperty(code, UCHAR_WHITE_SPACE)) kinds |= CharKind::space;
  if (u_hasBinaryProperty(code, UCHAR_ALPHABETIC) || u_hasBinaryProperty(code, UCHAR_JOIN_CONTROL)) kinds |= CharKind::word;
  return kinds;
}

bool is_punctuation(UChar32 code) {
  const std::uint32_t category = U_MASK(u_charType(code));
  if (code < 0x80) return (category & (U_GC_P_MASK | U_GC_S_MASK)) != 0;
  if (code == 0x166D || code == 0x111C9) return true;  // was punctuation in Unicode 8
  UVersionInfo age;
  u_charAge(code, age);
  return age[0] <= 8 && (category & U_GC_P_MASK) != 0;
}

struct Filling {
  std::vector<std::uint8_t>& kinds;
};

UBool fill_range(const void* context, UChar32 start, UChar32 limit, UCharCategory type) {
  auto& kinds = static_cast<const Filling*>(context)->kinds;
  const std::uint32_t category = U_MASK(type);
  std::fill(kinds.begin() + start, kinds.begin() + limit, kinds_of_category(category));
  if ((category & (U_GC_S_MASK | U_GC_Z_MASK | U_GC_CC_MASK | U_GC_CF_MASK | U_GC_NO_MASK)) != 0) {
    for (UChar32 code = start; code < limit; ++code) kinds[static_cast<std::size_t>(code)] |= kinds_of_character(code);
  }
  if ((category & (U_GC_S_MASK | U_GC_P_MASK | U_GC_MN_MASK)) != 0) {
    for (UChar32 code = start; code < limit; ++code) {
      if (is_punctuation(code)) kinds[static_cast<std::size_t>(code)] |= CharKind::punctuation;
    }
  }
  return true;
}

}  // namespace

CharTable::CharTable() {
  std::vector<std::uint8_t> kinds(kNumCodes);
  const Filling filling{kinds};
  u_enumCharTypes(fill_range, &filling);
  for (const CategoryRange& range : characters_after_unicode_15()) {
    for (char32_t code = range.first; code <= range.last; ++code) {
      kinds[code] |= kinds_of_category(U_MASK(range.category));
    }
  }

  std::map<std::string, std::uint16_t> known;
  for (std::size_t b = 0; b < block_of_.size(); ++b) {
    const auto first = kinds.begin() + static_cast<std::ptrdiff_t>(b * kBlockSize);
    const std::string block(first, first + kBlockSize);
    const auto [found, is_new] = known.try_emplace(block, static_cast<std::uint16_t>(known.size()));
    if (is_new) blocks_.insert(blocks_.end(), block.begin(), block.end());
    block_of_[b] = found->second;
  }
}

const CharTable& CharTable::get() {
  static const CharTable table;
  return table;
}

}  // namespace ffmem::tokenization
