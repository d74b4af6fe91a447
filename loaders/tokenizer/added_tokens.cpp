#include "loaders/tokenizer/added_tokens.hpp"

#include <algorithm>

#include "loaders/tokenizer/characters.hpp"
#include "loaders/utf8.hpp"

namespace ffmem::tokenization {
namespace {

bool is_kind(std::string_view text, std::size_t at, std::uint8_t kind) {
  return CharTable::get().is(utf8_at(text, at).code, kind);
}

bool stands_alone(std::string_view text, std::size_t begin, std::size_t end) {
  return (begin == 0 || !is_kind(text, utf8_before(text, begin), CharKind::word)) &&
         (end == text.size() || !is_kind(text, end, CharKind::word));
}

// Not looking before `first`.
std::size_t space_begin(std::string_view text, std::size_t first, std::size_t end) {
  while (end > first && is_kind(text, utf8_before(text, end), CharKind::space)) end = utf8_before(text, end);
  return end;
}

/// Where white space ends. Asked for places in order; each stretch is read once, however many tokens begin in it.
class SpaceEnds {
 public:
  explicit SpaceEnds(std::string_view text) : text_(text) {}

  std::size_t behind(std::size_t begin) {
    if (begin > end_) end_ = begin;
    while (end_ < text_.size() && is_kind(text_, end_, CharKind::space)) end_ += utf8_at(text_, end_).length;
    return end_;
  }

 private:
  std::string_view text_;
  std::size_t end_ = 0;
};

}  // namespace

void AddedTokenFinder::add(const AddedToken& token, std::string_view form) {
  if (form.empty()) return;
  is_first_[static_cast<unsigned char>(form.front())] = true;
  std::size_t node = 0;
  for (const char byte : form) {
    std::size_t next = child(node, byte);
    if (next == kNone) {
      next = nodes_.size();
      nodes_[node].children.emplace_back(byte, next);
      nodes_.emplace_back();
    }
    node = next;
  }
  if (nodes_[node].token != kNone) return;
  nodes_[node].token = tokens_.size();
  tokens_.push_back(token);
}

std::size_t AddedTokenFinder::child(std::size_t node, char byte) const noexcept {
  for (const auto& [label, next] : nodes_[node].children) {
    if (label == byte) return next;
  }
  return kNone;
}

/// The next place where a form may begin, or the text's end.
std::size_t AddedTokenFinder::candidate(std::string_view text, std::size_t from) const noexcept {
  if (nodes_.front().children.size() == 1) {
    return std::min(text.find(nodes_.front().children.front().first, from), text.size());
  }
  while (from < text.size() && !is_first_[static_cast<unsigned char>(text[from])]) ++from;
  return from;
}

std::optional<AddedTokenFinder::Found> AddedTokenFinder::longest_at(std::string_view text, std::size_t begin) const {
  std::optional<Found> longest;
  std::size_t node = 0;
  for (std::size_t at = begin; at < text.size(); ++at) {
    node = child(node, text[at]);
    if (node == kNone) break;
    if (nodes_[node].token != kNone) longest = Found{at + 1, &tokens_[nodes_[node].token]};
  }
  return longest;
}

void AddedTokenFinder::split(std::string_view text, FunctionRef<void(Part)> visit) const {
  std::size_t done = 0;
  std::size_t from = 0;
  SpaceEnds space_ends(text);
  while (!tokens_.empty()) {
    const std::size_t begin = candidate(text, from);
    if (begin == text.size()) break;
    const auto found = longest_at(text, begin);
    from = found ? found->end : begin + 1;
    if (!found || (found->token->single_word && !stands_alone(text, begin, found->end))) continue;
    const std::size_t taken_from = found->token->lstrip ? std::max(space_begin(text, done, begin), done) : begin;
    const std::size_t taken_to = found->token->rstrip ? space_ends.behind(found->end) : found->end;
    if (taken_from >= taken_to) continue;  // white space that the token before it took along
    if (done < taken_from) visit({text.substr(done, taken_from - done), std::nullopt});
    visit({text.substr(taken_from, taken_to - taken_from), found->token->id});
    done = taken_to;
  }
  if (done < text.size()) visit({text.substr(done), std::nullopt});
}

}  // namespace ffmem::tokenization
