// Oniguruma's dialect of regular expressions (Ruby's), which `tokenizers` uses, in PCRE2's.
//
// The dialects differ where it matters: classes may be nested; `\s`, `\w`, `\b`, `\h` and `\v` mean other sets; `^` and `$`
// always stand for lines; `{n,m}+` is not possessive. Every set is therefore spelt out, by Unicode 16's properties. Left out,
// by error: back references, named groups, calls, conditions, comments, class intersection, POSIX brackets, options other than
// (?i) and (?i:...).
#pragma once

#include <string>
#include <string_view>

namespace ffmem::tokenization {

/// For PCRE2 with UTF, UCP and MULTILINE. `origin` starts the messages. Throws tokenizer_invalid (unbalanced, ends too early),
/// tokenizer_unsupported (a construct of the list above).
std::string pcre2_from_oniguruma(std::string_view regex, const std::string& origin);

}  // namespace ffmem::tokenization
