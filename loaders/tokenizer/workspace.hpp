// What encoding needs besides the tokenizer: scratch memory, and the ids of pieces seen before.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <span>
#include <string_view>
#include <vector>

#include "ops/dtype.hpp"

namespace ffmem::tokenization {

/// The ids of short pieces, in a table of fixed size where a newer piece displaces an older one. For one thread.
class PieceCache {
 public:
  static constexpr std::size_t kMaxBytes = 30;
  static constexpr std::size_t kMaxIds = 8;

  PieceCache() : entries_(kNumEntries) {}

  /// Where the piece (1 to kMaxBytes bytes) has its place.
  struct Place {
    std::size_t index;
  };
  static Place place(std::string_view piece) noexcept;

  /// Empty if the piece is not there.
  std::span<const TokenId> find(Place place, std::string_view piece) const noexcept {
    const Entry& entry = entries_[place.index];
    if (entry.n_bytes != piece.size() || std::memcmp(entry.bytes.data(), piece.data(), piece.size()) != 0) return {};
    return {entry.ids.data(), entry.n_ids};
  }

  /// Does nothing for no ids or more than kMaxIds.
  void store(Place place, std::string_view piece, std::span<const TokenId> ids) noexcept;

 private:
  struct alignas(64) Entry {
    std::uint8_t n_bytes = 0;  // 0: empty
    std::uint8_t n_ids = 0;
    std::array<char, kMaxBytes> bytes;
    std::array<TokenId, kMaxIds> ids;
  };
  static constexpr std::size_t kNumEntries = std::size_t{1} << 15;  // 2 MiB

  std::vector<Entry> entries_;
};

struct Workspace {
  PieceCache cache;
  std::vector<TokenId> symbols;
  std::vector<std::uint32_t> ranks;           // of the pair that starts at each symbol
  std::vector<std::uint32_t> previous, next;  // neighbours, by position
  std::vector<std::uint64_t> heap;
};

/// Workspaces for any number of threads: one for each call that runs at the same time, kept for later calls.
class WorkspacePool {
 public:
  class Lease {
   public:
    explicit Lease(WorkspacePool& pool) : pool_(pool), workspace_(pool.take()) {}
    ~Lease() { pool_.give_back(std::move(workspace_)); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    Workspace& operator*() const noexcept { return *workspace_; }

   private:
    WorkspacePool& pool_;
    std::unique_ptr<Workspace> workspace_;
  };

 private:
  std::unique_ptr<Workspace> take();
  void give_back(std::unique_ptr<Workspace> workspace) noexcept;

  std::mutex mutex_;
  std::vector<std::unique_ptr<Workspace>> idle_;
};

}  // namespace ffmem::tokenization
