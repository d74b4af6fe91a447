// What the files beside a tokenizer.json do to its added tokens.
#include <algorithm>
#include <set>
#include <unordered_map>
#include <utility>

#include "loaders/tokenizer/formats.hpp"

namespace ffmem::tokenization {
namespace {

/// Adds tokens as `tokenizers` adds a list: one that is known, in the vocabulary or as an added token, keeps its id, and
/// nothing is done for one that was there, as it is, before.
class TokenAdder {
 public:
  TokenAdder(std::vector<AddedToken> tokens, const Vocabulary& vocabulary)
      : tokens_(std::move(tokens)), vocabulary_(vocabulary), next_id_(static_cast<TokenId>(vocabulary.n_tokens())) {
    for (std::size_t i = 0; i < tokens_.size(); ++i) note(i);
    before_ = last_;
  }

  /// Whether the vocabulary or an added token has it.
  bool knows(const std::string& content) const { return last_.contains(content) || vocabulary_.find(content); }

  void add(AddedToken token) {
    const auto known = last_.find(token.content);
    token.id = known != last_.end() ? tokens_[known->second].id : vocabulary_.find(token.content).value_or(next_id_);
    const auto before = before_.find(token.content);
    if (token.content.empty() || (before != before_.end() && tokens_[before->second] == token)) return;
    tokens_.push_back(std::move(token));
    note(tokens_.size() - 1);
  }

  std::vector<AddedToken> take() { return std::move(tokens_); }

 private:
  void note(std::size_t i) {
    last_[tokens_[i].content] = i;
    next_id_ = std::max(next_id_, tokens_[i].id + 1);
  }

  std::vector<AddedToken> tokens_;
  std::unordered_map<std::string, std::size_t> last_, before_;  // by content, where in tokens_
  const Vocabulary& vocabulary_;
  TokenId next_id_;
};

/// By id: added_tokens_decoder, or else the file's own tokens and, of other ids, added_tokens.json's.
std::vector<AddedToken> tokens_to_add(const std::vector<AddedToken>& own, const std::filesystem::path& folder,
                                      const TokenizerConfig& config) {
  if (config.added_tokens) return *config.added_tokens;
  std::set<TokenId> ids;
  for (const AddedToken& token : own) ids.insert(token.id);
  std::vector<AddedToken> tokens = own;
  for (AddedToken& token : read_added_tokens_json(folder, config)) {
    if (!ids.contains(token.id)) tokens.push_back(std::move(token));
  }
  std::ranges::stable_sort(tokens, {}, &AddedToken::id);
  return tokens;
}

}  // namespace

std::vector<AddedToken> with_tokens_beside(std::vector<AddedToken> own, const std::filesystem::path& folder,
                                           const TokenizerConfig& config, const Vocabulary& vocabulary) {
  std::set<std::string> named, listed;
  for (const AddedToken& token : config.named_tokens) named.insert(token.content);
  std::vector<AddedToken> to_add = tokens_to_add(own, folder, config);
  for (const auto* tokens : {&own, &to_add}) {
    for (const AddedToken& token : *tokens) listed.insert(token.content);
  }
  TokenAdder adder(std::move(own), vocabulary);
  for (AddedToken& token : to_add) {
    token.special |= named.contains(token.content);
    adder.add(std::move(token));
  }
  for (const auto* tokens : {&config.named_tokens, &config.further_special_tokens}) {
    for (const AddedToken& token : *tokens) {
      if (!listed.contains(token.content) && adder.knows(token.content)) adder.add(token);
    }
  }
  return adder.take();
}

}  // namespace ffmem::tokenization
