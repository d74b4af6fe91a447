#include "tools/experiments/stop_words.hpp"

#include <algorithm>
#include <array>

namespace ffmem::tools {
namespace {

constexpr std::string_view kSpace = " \t\n\r\f\v";

constexpr auto kStopWords = std::to_array<std::string_view>(
    {// Articles, determiners and quantifiers.
     "a", "an", "the", "this", "that", "these", "those", "each", "every", "either", "neither", "some", "any", "all", "both",
     "few", "many", "more", "most", "much", "several", "such", "other", "another", "own", "same", "no", "none",
     // Pronouns.
     "i", "me", "my", "mine", "myself", "we", "us", "our", "ours", "ourselves", "you", "your", "yours", "yourself", "he", "him",
     "his", "himself", "she", "her", "hers", "herself", "it", "its", "itself", "they", "them", "their", "theirs", "themselves",
     "who", "whom", "whose", "which", "what", "one",
     // Prepositions.
     "about", "above", "across", "after", "against", "along", "among", "around", "as", "at", "before", "behind", "below",
     "between", "by", "down", "during", "for", "from", "in", "into", "of", "off", "on", "onto", "out", "over", "per", "since",
     "through", "to", "toward", "towards", "under", "until", "up", "upon", "via", "with", "within", "without",
     // Conjunctions.
     "and", "or", "but", "nor", "if", "because", "while", "although", "though", "than", "whether", "so", "yet",
     // Auxiliaries.
     "am", "is", "are", "was", "were", "be", "been", "being", "have", "has", "had", "having", "do", "does", "did", "can",
     "could", "may", "might", "must", "shall", "should", "will", "would",
     // Particles and adverbs of place, time and degree.
     "not", "also", "again", "already", "even", "ever", "here", "how", "just", "never", "now", "only", "once", "rather", "then",
     "there", "too", "very", "when", "where", "why",
     // Pieces of contractions.
     "'s", "'t", "'re", "'ve", "'ll", "'d", "'m", "n't", "s", "t"});

}  // namespace

bool is_stop_word(std::string_view token) {
  const std::size_t begin = token.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return false;
  std::string word(token.substr(begin, token.find_last_not_of(kSpace) - begin + 1));
  for (char& c : word) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return std::ranges::find(kStopWords, word) != kStopWords.end();
}

std::string stop_word_list() {
  std::string list;
  for (const std::string_view word : kStopWords) list.append(list.empty() ? "" : " ").append(word);
  return list;
}

}  // namespace ffmem::tools
