// Characters that are younger than the Unicode tables of ICU 72 (15.0) and PCRE2 10.42 (14.0).
//
// With them, letters and digits are those of Unicode 16, as in `tokenizers` 0.23, whatever the libraries' age.
#pragma once

#include <unicode/uchar.h>

#include <span>
#include <string>
#include <string_view>

namespace ffmem::tokenization {

struct CategoryRange {
  char32_t first, last;
  UCharCategory category;
};

/// The characters of Unicode 15.1 and 16.0, in order.
std::span<const CategoryRange> characters_after_unicode_15() noexcept;

/// Whether this is the short name of a general category ("L", "Lu", "Nd", ...).
bool is_general_category(std::string_view name) noexcept;

/// Those of a general category that PCRE2's tables may lack, as items of a PCRE2 class.
std::string newer_characters(std::string_view category);

}  // namespace ffmem::tokenization
