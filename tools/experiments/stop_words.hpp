// English function words, which say little about a text's subject.
#pragma once

#include <string>
#include <string_view>

namespace ffmem::tools {

/// True if `token`, without white space around it and in lower case (ASCII), is one of the list's words: articles, pronouns,
/// determiners, prepositions, conjunctions, auxiliaries and common particles, and the pieces that tokenizers make of
/// contractions ("'s", "n't"). Punctuation and numbers are not in it.
bool is_stop_word(std::string_view token);

/// All words of the list, separated by spaces.
std::string stop_word_list();

}  // namespace ffmem::tools
