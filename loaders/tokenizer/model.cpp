#include "loaders/tokenizer/model.hpp"

#include <array>
#include <cstdio>

#include "loaders/tokenizer/byte_alphabet.hpp"
#include "loaders/tokenizer/merge.hpp"
#include "loaders/utf8.hpp"
#include "ops/error.hpp"

namespace ffmem::tokenization {

WordLevel::WordLevel(std::shared_ptr<const Vocabulary> vocabulary, const std::string& unknown_token, std::string origin)
    : vocabulary_(std::move(vocabulary)), unknown_(vocabulary_->find(unknown_token)), origin_(std::move(origin)) {}

void WordLevel::encode(std::string_view piece, Workspace&, std::vector<TokenId>& ids) const {
  const auto id = vocabulary_->find(piece);
  if (!id && !unknown_) {
    fail(ErrorCode::tokenizer_invalid, origin_, ": the text has '", shown_text(piece),
         "': expected a token for unknown words, found none");
  }
  ids.push_back(id ? *id : *unknown_);
}

Bpe::Bpe(std::shared_ptr<const Vocabulary> vocabulary, const std::vector<Merge>& merges, BpeOptions options, Input input,
         std::string origin)
    : vocabulary_(std::move(vocabulary)),
      options_(std::move(options)),
      input_(input),
      origin_(std::move(origin)),
      ranks_(merges.size()),
      crossings_(merges.size()) {
  merged_.reserve(merges.size());
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const Merge& merge = merges[rank];
    ranks_.set(static_cast<std::uint32_t>(merge.left), static_cast<std::uint32_t>(merge.right),
               static_cast<std::uint32_t>(rank));
    merged_.push_back(merge.merged);
  }
  if (input_ == Input::bytes) {
    index_bytes();
  } else {
    index_characters();
    index_crossings(merges);
  }
}

bool Bpe::has_byte_alphabet(const Vocabulary& vocabulary) {
  for (const std::string& character : byte_alphabet()) {
    if (!vocabulary.find(character)) return false;
  }
  return true;
}

void Bpe::index_bytes() {
  for (std::size_t byte = 0; byte < 256; ++byte) byte_symbols_[byte] = *vocabulary_->find(byte_alphabet()[byte]);
  if (!options_.ignore_merges) return;
  for (std::size_t id = 0; id < vocabulary_->size(); ++id) {
    const std::string* token = vocabulary_->token(static_cast<TokenId>(id));
    if (token == nullptr) continue;
    if (auto bytes = bytes_of_spelling(*token)) whole_tokens_.emplace(std::move(*bytes), static_cast<TokenId>(id));
  }
}

void Bpe::index_characters() {
  for (std::size_t byte = 0; byte < 256; ++byte) {
    std::array<char, 8> name{};
    std::snprintf(name.data(), name.size(), "<0x%02X>", static_cast<unsigned>(byte));
    byte_symbols_[byte] = vocabulary_->find(name.data()).value_or(-1);
  }
  for (std::size_t id = 0; id < vocabulary_->size(); ++id) {
    const std::string* token = vocabulary_->token(static_cast<TokenId>(id));
    if (token == nullptr || token->empty()) continue;
    const Utf8Char c = utf8_at(*token, 0);
    if (c.length != token->size()) continue;
    if (c.code >= character_symbols_.size()) character_symbols_.resize(c.code + 1, -1);
    character_symbols_[c.code] = static_cast<TokenId>(id);
  }
}

/// A merge of two tokens crosses the place between the left one's last character and the right one's first.
void Bpe::index_crossings(const std::vector<Merge>& merges) {
  for (const Merge& merge : merges) {
    const std::string& left = *vocabulary_->token(merge.left);
    const std::string& right = *vocabulary_->token(merge.right);
    crossings_.set(utf8_at(left, utf8_before(left, left.size())).code, utf8_at(right, 0).code, 1);
  }
}

std::optional<TokenId> Bpe::whole_token(std::string_view piece) const {
  if (input_ == Input::characters) return vocabulary_->find(piece);
  const auto found = whole_tokens_.find(std::string(piece));
  if (found == whole_tokens_.end()) return std::nullopt;
  return found->second;
}

void Bpe::encode(std::string_view piece, Workspace& workspace, std::vector<TokenId>& ids) const {
  if (piece.size() <= PieceCache::kMaxBytes) return encode_short(piece, workspace, ids);
  if (options_.ignore_merges) {
    if (const auto id = whole_token(piece)) return ids.push_back(*id);
  }
  if (input_ == Input::characters && !options_.ignore_merges) return encode_stretches(piece, workspace, ids);
  encode_uncached(piece, workspace, ids);
}

/// Cuts where no merge can cross, so that the parts can be encoded one by one with the same result. Without pre-tokenizer
/// (SentencePiece's models) these are about the words, and the whole text is one piece.
void Bpe::encode_stretches(std::string_view piece, Workspace& workspace, std::vector<TokenId>& ids) const {
  const auto flush = [&](std::string_view stretch) {
    if (stretch.size() <= PieceCache::kMaxBytes) {
      encode_short(stretch, workspace, ids);
    } else {
      encode_uncached(stretch, workspace, ids);
    }
  };
  std::size_t begin = 0;
  char32_t before = 0;
  bool before_is_known = false;
  for (std::size_t at = 0; at < piece.size();) {
    const Utf8Char c = utf8_at(piece, at);
    const bool is_known = symbol_of(c.code) >= 0;
    if (is_known && before_is_known && crossings_.find(before, c.code) == PairRanks::kNone) {
      flush(piece.substr(begin, at - begin));
      begin = at;
    }
    before = c.code;
    before_is_known = is_known;
    at += c.length;
  }
  flush(piece.substr(begin));
}

void Bpe::encode_short(std::string_view piece, Workspace& workspace, std::vector<TokenId>& ids) const {
  const PieceCache::Place place = PieceCache::place(piece);
  if (const auto known = workspace.cache.find(place, piece); !known.empty()) {
    ids.insert(ids.end(), known.begin(), known.end());
    return;
  }
  const std::size_t n_before = ids.size();
  const auto whole = options_.ignore_merges ? whole_token(piece) : std::nullopt;
  if (whole) {
    ids.push_back(*whole);
  } else {
    encode_uncached(piece, workspace, ids);
  }
  workspace.cache.store(place, piece, std::span(ids).subspan(n_before));
}

void Bpe::encode_uncached(std::string_view piece, Workspace& workspace, std::vector<TokenId>& ids) const {
  workspace.symbols.clear();
  split_into_symbols(piece, workspace.symbols);
  merge_symbols(ranks_, merged_, workspace);
  ids.insert(ids.end(), workspace.symbols.begin(), workspace.symbols.end());
}

void Bpe::split_into_symbols(std::string_view piece, std::vector<TokenId>& symbols) const {
  if (input_ == Input::bytes) {
    for (const char byte : piece) symbols.push_back(byte_symbols_[static_cast<unsigned char>(byte)]);
    return;
  }
  // As in `tokenizers`, an unknown token waits for the next character that is not one, and byte tokens overtake it.
  TokenId waiting = -1;
  const auto flush = [&] {
    if (waiting >= 0) symbols.push_back(waiting);
    waiting = -1;
  };
  for (std::size_t at = 0; at < piece.size();) {
    const Utf8Char c = utf8_at(piece, at);
    const std::string_view character = piece.substr(at, c.length);
    at += c.length;
    if (const TokenId id = symbol_of(c.code); id >= 0) {
      flush();
      symbols.push_back(id);
    } else if (!(options_.byte_fallback && append_byte_tokens(character, symbols)) && options_.unknown_token) {
      if (!options_.fuse_unknown) flush();
      waiting = unknown_token(character);
    }
  }
  flush();
}

TokenId Bpe::unknown_token(std::string_view character) const {
  const auto id = vocabulary_->find(*options_.unknown_token);
  if (id) return *id;
  fail(ErrorCode::tokenizer_invalid, origin_, ": unk_token '", shown_text(*options_.unknown_token),
       "': expected a token of the vocabulary, found none (the text has '", character, "')");
}

bool Bpe::append_byte_tokens(std::string_view character, std::vector<TokenId>& symbols) const {
  const auto token_of = [&](char byte) { return byte_symbols_[static_cast<unsigned char>(byte)]; };
  for (const char byte : character) {
    if (token_of(byte) < 0) return false;
  }
  for (const char byte : character) symbols.push_back(token_of(byte));
  return true;
}

}  // namespace ffmem::tokenization
