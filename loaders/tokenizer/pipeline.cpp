#include "loaders/tokenizer/pipeline.hpp"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "loaders/utf8.hpp"
#include "ops/error.hpp"

namespace ffmem::tokenization {
namespace {

std::string normalized(const Normalizers& normalizers, std::string_view text) {
  TextBudget budget(text);
  NormalizedText result{std::string(text), true, budget};
  for (const auto& normalizer : normalizers) normalizer->apply(result);
  return std::move(result.text);
}

/// The vocabulary and the added tokens, most often its own.
std::shared_ptr<const Vocabulary> with_added(std::shared_ptr<const Vocabulary> vocabulary, const std::vector<AddedToken>& added,
                                             const std::string& origin) {
  const auto is_own = [&](const AddedToken& token) { return vocabulary->find(token.content) == token.id; };
  if (std::ranges::all_of(added, is_own)) return vocabulary;
  auto all = std::make_shared<Vocabulary>(vocabulary->size() + added.size());
  for (std::size_t i = 0; i < vocabulary->size(); ++i) {
    const std::string* token = vocabulary->token(static_cast<TokenId>(i));
    if (token != nullptr) all->add(*token, i, origin);
  }
  for (const AddedToken& token : added) all->add(token.content, static_cast<std::size_t>(token.id), origin + ": added_tokens");
  return all;
}

/// What is looked for in texts. Of tokens with the same form, the special one is found. One that was added twice has both forms
/// (unless it was special before) and the last one's flags, as in `tokenizers`.
std::vector<AddedToken> searched_tokens(const std::vector<AddedToken>& added,
                                        const std::unordered_map<TokenId, const AddedToken*>& last) {
  std::unordered_set<TokenId> special;
  std::vector<AddedToken> tokens;
  for (AddedToken token : added) {
    if (special.contains(token.id)) continue;
    if (token.special) special.insert(token.id);
    const AddedToken& flags = *last.at(token.id);
    token.single_word = flags.single_word;
    token.lstrip = flags.lstrip;
    token.rstrip = flags.rstrip;
    tokens.push_back(std::move(token));
  }
  std::stable_partition(tokens.begin(), tokens.end(), [](const AddedToken& t) { return t.special; });
  return tokens;
}

/// At every place of a text as many bytes as the longest token has may be compared.
void check_length(const AddedToken& token, const std::string& form, const std::string& origin) {
  constexpr std::size_t kMaxBytes = 1024;  // names of special tokens and runs of spaces have tens
  if (form.size() <= kMaxBytes) return;
  fail(ErrorCode::tokenizer_unsupported, origin, ": id ", token.id, ": expected a token of at most ", kMaxBytes,
       " bytes, found ", form.size());
}

}  // namespace

PipelineTokenizer::PipelineTokenizer(PipelineParts parts) : parts_(std::move(parts)) {
  add_tokens();
  if (parts_.bos_token) bos_ = tokens_->find(*parts_.bos_token);
  if (parts_.eos_token) eos_ = tokens_->find(*parts_.eos_token);
}

void PipelineTokenizer::add_tokens() {
  const std::string origin = parts_.origin + ": added_tokens";
  std::erase_if(parts_.added_tokens, [](const AddedToken& token) { return token.content.empty(); });
  tokens_ = with_added(parts_.vocabulary, parts_.added_tokens, parts_.origin);
  std::unordered_map<TokenId, const AddedToken*> last;
  for (const AddedToken& token : parts_.added_tokens) last[token.id] = &token;
  const std::vector<AddedToken> searched = searched_tokens(parts_.added_tokens, last);
  for (const AddedToken& token : searched) {
    check_length(token, token.content, origin);
    if (!token.normalized) {
      raw_finder_.add(token, token.content);
      continue;
    }
    std::string form = normalized(parts_.normalizers, token.content);
    if (form.empty()) {
      fail(ErrorCode::tokenizer_unsupported, origin, ": '", shown_text(token.content),
           "': expected a token that normalisation leaves something of");
    }
    check_length(token, form, origin);
    normalized_finder_.add(token, form);
    if (last.at(token.id)->normalized && form != token.content) normalized_.emplace(token.id, std::move(form));
  }
  is_special_.resize(tokens_->size());
  for (const AddedToken& token : searched) {
    // `tokenizers` leaves out what reads like a special token, so not one that reads differently once normalised.
    if (token.special && !normalized_.contains(token.id)) is_special_[static_cast<std::size_t>(token.id)] = true;
  }
}

std::vector<TokenId> PipelineTokenizer::encode(std::string_view text, Special special) const {
  std::string repaired;
  if (valid_utf8_prefix(text) < text.size()) text = repaired = repair_utf8(text);
  std::vector<TokenId> ids;
  ids.reserve(text.size() / 4 + parts_.prefix.size() + parts_.suffix.size());
  if (special == Special::add) ids = parts_.prefix;
  if (!text.empty()) {
    const WorkspacePool::Lease workspace(workspaces_);
    Encoding encoding{ids, *workspace, TextBudget(text)};
    raw_finder_.split(text, [&](AddedTokenFinder::Part part) {
      if (part.token) {
        ids.push_back(*part.token);
      } else {
        encode_section(part.text, part.text.data() == text.data(), encoding);
      }
    });
  }
  if (special == Special::add) ids.insert(ids.end(), parts_.suffix.begin(), parts_.suffix.end());
  return ids;
}

void PipelineTokenizer::encode_section(std::string_view section, bool at_start, Encoding& encoding) const {
  if (parts_.normalizers.empty()) return encode_normalized(section, at_start, encoding);
  NormalizedText text{std::string(section), at_start, encoding.budget};
  for (const auto& normalizer : parts_.normalizers) normalizer->apply(text);
  if (!text.text.empty()) encode_normalized(text.text, text.at_start, encoding);
}

void PipelineTokenizer::encode_normalized(std::string_view text, bool at_start, Encoding& encoding) const {
  normalized_finder_.split(text, [&](AddedTokenFinder::Part part) {
    if (part.token) {
      encoding.ids.push_back(*part.token);
      return;
    }
    const Piece piece{part.text, at_start && part.text.data() == text.data()};
    pre_tokenize(parts_.pre_tokenizers, piece, encoding.budget,
                 [&](Piece p) { parts_.model->encode(p.text, encoding.workspace, encoding.ids); });
  });
}

const std::string& PipelineTokenizer::known_token(TokenId id) const {
  const std::string* token = tokens_->token(id);
  if (token == nullptr) {
    fail(ErrorCode::token_out_of_range, parts_.origin, ": token id: expected one of the vocabulary (below ", tokens_->size(),
         "), found ", id);
  }
  return *token;
}

const std::string& PipelineTokenizer::decoded_token(TokenId id) const {
  const std::string& token = known_token(id);
  if (normalized_.empty()) return token;
  const auto form = normalized_.find(id);
  return form == normalized_.end() ? token : form->second;
}

std::string PipelineTokenizer::token(TokenId id) const { return known_token(id); }

bool PipelineTokenizer::is_special(TokenId id) const noexcept {
  return id >= 0 && static_cast<std::size_t>(id) < is_special_.size() && is_special_[static_cast<std::size_t>(id)];
}

std::string PipelineTokenizer::token_bytes(TokenId id) const {
  std::string bytes = decoded_token(id);
  TextBudget budget(bytes);
  for (const auto& step : parts_.decoder) bytes = step->inside(std::move(bytes), budget);
  return bytes;
}

class PipelineTokenizer::DecodingStream final : public Stream {
 public:
  DecodingStream(const PipelineTokenizer& tokenizer, SpecialText special)
      : tokenizer_(tokenizer), special_(special), decoding_(tokenizer.parts_.decoder) {}

  std::string push(TokenId id) override {
    const std::string& token = tokenizer_.decoded_token(id);
    if (special_ == SpecialText::skip && tokenizer_.is_special(id)) return {};
    return decoding_.push(token);
  }
  std::string finish() override { return decoding_.finish(); }

 private:
  const PipelineTokenizer& tokenizer_;
  SpecialText special_;
  Decoding decoding_;
};

std::unique_ptr<Tokenizer::Stream> PipelineTokenizer::stream(SpecialText special) const {
  return std::make_unique<DecodingStream>(*this, special);
}

}  // namespace ffmem::tokenization
