#include "loaders/tokenizer/new_characters.hpp"

#include <unicode/uchar.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <vector>

namespace ffmem::tokenization {
namespace {

constexpr std::uint8_t kPcre2Unicode = 14;  // the version of PCRE2 10.42, the oldest in use

constexpr UCharCategory Ll = U_LOWERCASE_LETTER;
constexpr UCharCategory Lm = U_MODIFIER_LETTER;
constexpr UCharCategory Lo = U_OTHER_LETTER;
constexpr UCharCategory Lu = U_UPPERCASE_LETTER;
constexpr UCharCategory Mc = U_COMBINING_SPACING_MARK;
constexpr UCharCategory Mn = U_NON_SPACING_MARK;
constexpr UCharCategory Nd = U_DECIMAL_DIGIT_NUMBER;
constexpr UCharCategory Pd = U_DASH_PUNCTUATION;
constexpr UCharCategory Po = U_OTHER_PUNCTUATION;
constexpr UCharCategory Sm = U_MATH_SYMBOL;
constexpr UCharCategory So = U_OTHER_SYMBOL;

/// What Unicode 15.1 and 16.0 added to 15.0, in order. Source: DerivedGeneralCategory.txt of 16.0.
constexpr auto kAdded = std::to_array<CategoryRange>({
    {0x897, 0x897, Mn},     {0x1B4E, 0x1B4F, Po},   {0x1B7F, 0x1B7F, Po},   {0x1C89, 0x1C89, Lu},   {0x1C8A, 0x1C8A, Ll},
    {0x2427, 0x2429, So},   {0x2FFC, 0x2FFF, So},   {0x31E4, 0x31E5, So},   {0x31EF, 0x31EF, So},   {0xA7CB, 0xA7CC, Lu},
    {0xA7CD, 0xA7CD, Ll},   {0xA7DA, 0xA7DA, Lu},   {0xA7DB, 0xA7DB, Ll},   {0xA7DC, 0xA7DC, Lu},   {0x105C0, 0x105F3, Lo},
    {0x10D40, 0x10D49, Nd}, {0x10D4A, 0x10D4D, Lo}, {0x10D4E, 0x10D4E, Lm}, {0x10D4F, 0x10D4F, Lo}, {0x10D50, 0x10D65, Lu},
    {0x10D69, 0x10D6D, Mn}, {0x10D6E, 0x10D6E, Pd}, {0x10D6F, 0x10D6F, Lm}, {0x10D70, 0x10D85, Ll}, {0x10D8E, 0x10D8F, Sm},
    {0x10EC2, 0x10EC4, Lo}, {0x10EFC, 0x10EFC, Mn}, {0x11380, 0x11389, Lo}, {0x1138B, 0x1138B, Lo}, {0x1138E, 0x1138E, Lo},
    {0x11390, 0x113B5, Lo}, {0x113B7, 0x113B7, Lo}, {0x113B8, 0x113BA, Mc}, {0x113BB, 0x113C0, Mn}, {0x113C2, 0x113C2, Mc},
    {0x113C5, 0x113C5, Mc}, {0x113C7, 0x113CA, Mc}, {0x113CC, 0x113CD, Mc}, {0x113CE, 0x113CE, Mn}, {0x113CF, 0x113CF, Mc},
    {0x113D0, 0x113D0, Mn}, {0x113D1, 0x113D1, Lo}, {0x113D2, 0x113D2, Mn}, {0x113D3, 0x113D3, Lo}, {0x113D4, 0x113D5, Po},
    {0x113D7, 0x113D8, Po}, {0x113E1, 0x113E2, Mn}, {0x116D0, 0x116E3, Nd}, {0x11BC0, 0x11BE0, Lo}, {0x11BE1, 0x11BE1, Po},
    {0x11BF0, 0x11BF9, Nd}, {0x11F5A, 0x11F5A, Mn}, {0x13460, 0x143FA, Lo}, {0x16100, 0x1611D, Lo}, {0x1611E, 0x16129, Mn},
    {0x1612A, 0x1612C, Mc}, {0x1612D, 0x1612F, Mn}, {0x16130, 0x16139, Nd}, {0x16D40, 0x16D42, Lm}, {0x16D43, 0x16D6A, Lo},
    {0x16D6B, 0x16D6C, Lm}, {0x16D6D, 0x16D6F, Po}, {0x16D70, 0x16D79, Nd}, {0x18CFF, 0x18CFF, Lo}, {0x1CC00, 0x1CCEF, So},
    {0x1CCF0, 0x1CCF9, Nd}, {0x1CD00, 0x1CEB3, So}, {0x1E5D0, 0x1E5ED, Lo}, {0x1E5EE, 0x1E5EF, Mn}, {0x1E5F0, 0x1E5F0, Lo},
    {0x1E5F1, 0x1E5FA, Nd}, {0x1E5FF, 0x1E5FF, Po}, {0x1F8B2, 0x1F8BB, So}, {0x1F8C0, 0x1F8C1, So}, {0x1FA89, 0x1FA89, So},
    {0x1FA8F, 0x1FA8F, So}, {0x1FABE, 0x1FABE, So}, {0x1FAC6, 0x1FAC6, So}, {0x1FADC, 0x1FADC, So}, {0x1FADF, 0x1FADF, So},
    {0x1FAE9, 0x1FAE9, So}, {0x1FBCB, 0x1FBEF, So}, {0x2EBF0, 0x2EE5D, Lo},
});

UBool collect_young(const void* context, UChar32 start, UChar32 limit, UCharCategory category) {
  auto& ranges = *static_cast<std::vector<CategoryRange>*>(const_cast<void*>(context));
  if (category == U_UNASSIGNED || category == U_SURROGATE || category == U_PRIVATE_USE_CHAR) return true;
  for (UChar32 code = start; code < limit; ++code) {
    UVersionInfo version;
    u_charAge(code, version);
    if (version[0] <= kPcre2Unicode) continue;
    const auto c = static_cast<char32_t>(code);
    if (!ranges.empty() && ranges.back().last + 1 == c && ranges.back().category == category) {
      ranges.back().last = c;
    } else {
      ranges.push_back({c, c, category});
    }
  }
  return true;
}

/// All that PCRE2's tables may lack.
const std::vector<CategoryRange>& young_characters() {
  static const auto list = [] {
    std::vector<CategoryRange> ranges;
    u_enumCharTypes(collect_young, &ranges);
    ranges.insert(ranges.end(), kAdded.begin(), kAdded.end());
    return ranges;
  }();
  return list;
}

struct CategoryName {
  std::string_view name;
  std::uint32_t mask;
};

constexpr auto kCategoryNames = std::to_array<CategoryName>({
    {"L", U_GC_L_MASK},   {"Lu", U_GC_LU_MASK}, {"Ll", U_GC_LL_MASK}, {"Lt", U_GC_LT_MASK}, {"Lm", U_GC_LM_MASK},
    {"Lo", U_GC_LO_MASK}, {"M", U_GC_M_MASK},   {"Mn", U_GC_MN_MASK}, {"Mc", U_GC_MC_MASK}, {"Me", U_GC_ME_MASK},
    {"N", U_GC_N_MASK},   {"Nd", U_GC_ND_MASK}, {"Nl", U_GC_NL_MASK}, {"No", U_GC_NO_MASK}, {"P", U_GC_P_MASK},
    {"Pc", U_GC_PC_MASK}, {"Pd", U_GC_PD_MASK}, {"Ps", U_GC_PS_MASK}, {"Pe", U_GC_PE_MASK}, {"Pi", U_GC_PI_MASK},
    {"Pf", U_GC_PF_MASK}, {"Po", U_GC_PO_MASK}, {"S", U_GC_S_MASK},   {"Sm", U_GC_SM_MASK}, {"Sc", U_GC_SC_MASK},
    {"Sk", U_GC_SK_MASK}, {"So", U_GC_SO_MASK}, {"Z", U_GC_Z_MASK},   {"Zs", U_GC_ZS_MASK}, {"Zl", U_GC_ZL_MASK},
    {"Zp", U_GC_ZP_MASK}, {"Cc", U_GC_CC_MASK}, {"Cf", U_GC_CF_MASK},
});

std::uint32_t mask_of(std::string_view name) noexcept {
  for (const CategoryName& category : kCategoryNames) {
    if (category.name == name) return category.mask;
  }
  return 0;
}

}  // namespace

std::span<const CategoryRange> characters_after_unicode_15() noexcept { return kAdded; }

bool is_general_category(std::string_view name) noexcept { return mask_of(name) != 0; }

std::string newer_characters(std::string_view category) {
  const std::uint32_t mask = mask_of(category);
  std::string items;
  for (const CategoryRange& range : young_characters()) {
    if ((U_MASK(range.category) & mask) == 0) continue;
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "\\x{%x}-\\x{%x}", static_cast<unsigned>(range.first),
                  static_cast<unsigned>(range.last));
    items += text.data();
  }
  return items;
}

}  // namespace ffmem::tokenization
