#include "loaders/tokenizer/workspace.hpp"

#include <algorithm>

namespace ffmem::tokenization {
namespace {

/// After a long text without spaces a workspace is not worth keeping.
constexpr std::size_t kMaxKeptSymbols = 1'000'000;

std::uint64_t mix(std::uint64_t value) noexcept {
  value *= 0x9E3779B97F4A7C15U;
  return value ^ value >> 29;
}

}  // namespace

PieceCache::Place PieceCache::place(std::string_view piece) noexcept {
  std::uint64_t hash = piece.size();
  for (std::size_t at = 0; at < piece.size(); at += sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    std::memcpy(&word, piece.data() + at, std::min(sizeof word, piece.size() - at));
    hash = mix(hash ^ word);
  }
  return {static_cast<std::size_t>(mix(hash) >> 32) % kNumEntries};
}

void PieceCache::store(Place place, std::string_view piece, std::span<const TokenId> ids) noexcept {
  if (ids.empty() || ids.size() > kMaxIds) return;
  Entry& entry = entries_[place.index];
  entry.n_bytes = static_cast<std::uint8_t>(piece.size());
  entry.n_ids = static_cast<std::uint8_t>(ids.size());
  std::copy(piece.begin(), piece.end(), entry.bytes.begin());
  std::copy(ids.begin(), ids.end(), entry.ids.begin());
}

std::unique_ptr<Workspace> WorkspacePool::take() {
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      auto workspace = std::move(idle_.back());
      idle_.pop_back();
      return workspace;
    }
  }
  return std::make_unique<Workspace>();
}

void WorkspacePool::give_back(std::unique_ptr<Workspace> workspace) noexcept {
  if (workspace->symbols.capacity() > kMaxKeptSymbols) return;
  const std::lock_guard lock(mutex_);
  try {
    idle_.push_back(std::move(workspace));
  } catch (const std::bad_alloc&) {
    // Then the next call makes a new one.
  }
}

}  // namespace ffmem::tokenization
