#include "loaders/tokenizer/merge.hpp"

#include <algorithm>
#include <functional>

namespace ffmem::tokenization {
namespace {

constexpr auto kNone = PairRanks::kNone;
// Up to here looking through all pairs beats keeping them in order.
constexpr std::size_t kMaxScanned = 48;

std::uint32_t rank_of(const PairRanks& ranks, TokenId left, TokenId right) noexcept {
  return ranks.find(static_cast<std::uint32_t>(left), static_cast<std::uint32_t>(right));
}

void merge_by_scanning(const PairRanks& ranks, const std::vector<TokenId>& merged, Workspace& workspace) {
  auto& symbols = workspace.symbols;
  auto& pair_ranks = workspace.ranks;
  pair_ranks.resize(symbols.size() - 1);
  for (std::size_t i = 0; i + 1 < symbols.size(); ++i) pair_ranks[i] = rank_of(ranks, symbols[i], symbols[i + 1]);
  while (!pair_ranks.empty()) {
    const auto best = std::min_element(pair_ranks.begin(), pair_ranks.end());
    if (*best == kNone) break;
    const auto i = static_cast<std::size_t>(best - pair_ranks.begin());
    symbols[i] = merged[*best];
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(i) + 1);
    pair_ranks.erase(best);
    if (i > 0) pair_ranks[i - 1] = rank_of(ranks, symbols[i - 1], symbols[i]);
    if (i < pair_ranks.size()) pair_ranks[i] = rank_of(ranks, symbols[i], symbols[i + 1]);
  }
}

/// Symbols as a linked list, candidate pairs in a heap ordered by rank, then position. A pair that has changed since it was
/// put there no longer has the rank it is filed under.
class HeapMerge {
 public:
  HeapMerge(const PairRanks& ranks, const std::vector<TokenId>& merged, Workspace& workspace)
      : ranks_(ranks), merged_(merged), space_(workspace), n_(workspace.symbols.size()) {}

  void run() {
    start();
    while (!space_.heap.empty()) {
      std::pop_heap(space_.heap.begin(), space_.heap.end(), std::greater<>());
      const std::uint64_t top = space_.heap.back();
      space_.heap.pop_back();
      const auto position = static_cast<std::uint32_t>(top);
      if (space_.ranks[position] == static_cast<std::uint32_t>(top >> 32)) merge_at(position);
    }
    compact();
  }

 private:
  static std::uint64_t filed(std::uint32_t rank, std::size_t position) noexcept { return std::uint64_t{rank} << 32 | position; }

  void start() {
    space_.ranks.assign(n_, kNone);
    space_.previous.resize(n_);
    space_.next.resize(n_);
    space_.heap.clear();
    for (std::uint32_t i = 0; i < n_; ++i) {
      space_.previous[i] = i - 1;
      space_.next[i] = i + 1;
      if (i + 1 == n_) break;
      space_.ranks[i] = rank_of(ranks_, space_.symbols[i], space_.symbols[i + 1]);
      if (space_.ranks[i] != kNone) space_.heap.push_back(filed(space_.ranks[i], i));
    }
    std::make_heap(space_.heap.begin(), space_.heap.end(), std::greater<>());
  }

  void merge_at(std::uint32_t position) {
    const std::uint32_t gone = space_.next[position];
    const std::uint32_t after = space_.next[gone];
    space_.symbols[position] = merged_[space_.ranks[position]];
    space_.symbols[gone] = -1;
    space_.ranks[gone] = kNone;
    space_.next[position] = after;
    if (after < n_) space_.previous[after] = position;
    file(position);
    if (position > 0) file(space_.previous[position]);
  }

  /// Files the pair that starts at `position` anew.
  void file(std::uint32_t position) {
    const std::uint32_t right = space_.next[position];
    const std::uint32_t rank = right < n_ ? rank_of(ranks_, space_.symbols[position], space_.symbols[right]) : kNone;
    space_.ranks[position] = rank;
    if (rank == kNone) return;
    space_.heap.push_back(filed(rank, position));
    std::push_heap(space_.heap.begin(), space_.heap.end(), std::greater<>());
  }

  void compact() { std::erase(space_.symbols, TokenId{-1}); }

  const PairRanks& ranks_;
  const std::vector<TokenId>& merged_;
  Workspace& space_;
  std::size_t n_;
};

}  // namespace

void merge_symbols(const PairRanks& ranks, const std::vector<TokenId>& merged, Workspace& workspace) {
  if (workspace.symbols.size() < 2) return;
  if (workspace.symbols.size() <= kMaxScanned) {
    merge_by_scanning(ranks, merged, workspace);
  } else {
    HeapMerge(ranks, merged, workspace).run();
  }
}

}  // namespace ffmem::tokenization
