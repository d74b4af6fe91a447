#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "loaders/tokenizer/characters.hpp"
#include "loaders/tokenizer/decoder.hpp"
#include "loaders/tokenizer/formats.hpp"
#include "loaders/tokenizer/vocabulary.hpp"
#include "loaders/utf8.hpp"
#include "ops/error.hpp"

namespace ffmem::tokenization {
namespace {

constexpr std::array kSpecialWords = {"<s>", "<pad>", "</s>", "<unk>"};  // ids 0 to 3
constexpr TokenId kEndOfSentence = 2;
constexpr TokenId kUnknown = 3;

/// White space as Python's str.split has it.
bool separates_words(char32_t code) { return CharTable::get().is(code, CharKind::space) || (code >= 0x1C && code <= 0x1F); }

class FairseqTokenizer final : public Tokenizer {
 public:
  FairseqTokenizer(Vocabulary words, std::string origin) : words_(std::move(words)), origin_(std::move(origin)) {
    decoder_.push_back(space_joining_step());
  }

  std::vector<TokenId> encode(std::string_view text, Special special) const override {
    std::string repaired;
    if (valid_utf8_prefix(text) < text.size()) text = repaired = repair_utf8(text);
    std::vector<TokenId> ids;
    if (special == Special::add) ids.push_back(kEndOfSentence);
    std::size_t begin = 0;
    const auto take_word = [&](std::size_t end) {
      if (begin < end) ids.push_back(words_.find(text.substr(begin, end - begin)).value_or(kUnknown));
    };
    for (std::size_t at = 0; at < text.size();) {
      const Utf8Char c = utf8_at(text, at);
      if (separates_words(c.code)) {
        take_word(at);
        begin = at + c.length;
      }
      at += c.length;
    }
    take_word(text.size());
    return ids;
  }

  std::size_t vocab_size() const noexcept override { return words_.size(); }
  std::string token(TokenId id) const override { return known_word(id); }
  std::optional<TokenId> find(std::string_view token) const override { return words_.find(token); }
  bool is_special(TokenId id) const noexcept override { return id >= 0 && id <= kEndOfSentence; }
  std::string token_bytes(TokenId id) const override { return " " + known_word(id); }
  std::optional<TokenId> bos() const noexcept override { return kEndOfSentence; }
  std::optional<TokenId> eos() const noexcept override { return kEndOfSentence; }
  std::unique_ptr<Stream> stream(SpecialText special) const override { return std::make_unique<WordStream>(*this, special); }

 private:
  class WordStream final : public Stream {
   public:
    WordStream(const FairseqTokenizer& tokenizer, SpecialText special)
        : tokenizer_(tokenizer), special_(special), decoding_(tokenizer.decoder_) {}
    std::string push(TokenId id) override {
      const std::string& word = tokenizer_.known_word(id);
      return special_ == SpecialText::skip && tokenizer_.is_special(id) ? std::string() : decoding_.push(word);
    }
    std::string finish() override { return decoding_.finish(); }

   private:
    const FairseqTokenizer& tokenizer_;
    SpecialText special_;
    Decoding decoding_;
  };

  const std::string& known_word(TokenId id) const {
    const std::string* word = words_.token(id);
    if (word == nullptr) {
      fail(ErrorCode::token_out_of_range, origin_, ": token id: expected 0 to ", words_.size() - 1, ", found ", id);
    }
    return *word;
  }

  Vocabulary words_;
  std::string origin_;
  DecoderSteps decoder_;
};

std::string_view without_trailing_space(std::string_view line) {
  while (!line.empty() && (line.back() == ' ' || line.back() == '\t' || line.back() == '\r')) line.remove_suffix(1);
  return line;
}

/// The word of a line "WORD COUNT", with or without a flag behind it.
std::string word_of(std::string_view line, const std::string& place) {
  constexpr std::string_view kOverwrite = " #fairseq:overwrite";
  line = without_trailing_space(line);
  if (line.ends_with(kOverwrite))
    fail(ErrorCode::tokenizer_unsupported, place, ": this program does not implement", kOverwrite);
  const std::size_t space = line.rfind(' ');
  const std::string_view count = space == std::string_view::npos ? std::string_view() : line.substr(space + 1);
  long long value = 0;
  const auto [end, error] = std::from_chars(count.data(), count.data() + count.size(), value);
  if (space == 0 || count.empty() || error != std::errc() || end != count.data() + count.size()) {
    fail(ErrorCode::tokenizer_invalid, place, ": expected a word, a space and a count, found '", shown_text(line), "'");
  }
  return std::string(line.substr(0, space));
}

}  // namespace

std::shared_ptr<const Tokenizer> load_fairseq_dictionary(const std::filesystem::path& file) {
  const std::string text = read_tokenizer_text(file);
  Vocabulary words;
  for (const char* word : kSpecialWords) words.add(word, words.size(), file.string());
  std::string_view rest = text;
  for (std::size_t number = 1; !rest.empty(); ++number) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const std::string place = concat(file.string(), ": line ", number);
    words.add(word_of(rest.substr(0, end), place), words.size(), place);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return std::make_shared<FairseqTokenizer>(std::move(words), file.string());
}

}  // namespace ffmem::tokenization
