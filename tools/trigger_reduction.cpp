#include "tools/trigger_reduction.hpp"

#include <algorithm>
#include <string>

#include "tools/rank_files.hpp"
#include "tools/ranks.hpp"

namespace ffmem::tools {
namespace {

std::string files_read(const TriggerInfo& info) { return info.model_fingerprint + " " + info.corpus_fingerprint; }

/// Calls transfer(data, bytes) for all parts of a table and its counts, in one order for sender and receiver.
template <class Table, class Counts, class Transfer>
void for_each_part(Table& table, Counts& counts, Transfer&& transfer) {
  transfer(&counts, sizeof(counts));
  transfer(table.coefficient.data(), table.coefficient.size() * sizeof(float));
  transfer(table.sentence.data(), table.sentence.size() * sizeof(std::int64_t));
  transfer(table.position.data(), table.position.size() * sizeof(std::int32_t));
}

void send_search(const TriggerSearch& search, int to) {
  send_files_read(to, files_read(search.info()));
  for_each_part(search.table(), search.info().counts, [to](const void* data, std::size_t n) { send_to(to, data, n); });
}

/// Adds the shards [from, end) that rank `from` has gathered.
void receive_search(TriggerSearch& search, int from, int end) {
  check_files_read(from, files_read(search.info()));
  TriggerTable table(search.table().n_layers, search.table().d_memory, search.table().t);
  TriggerCounts counts;
  for_each_part(table, counts, [from](void* data, std::size_t n) { receive_from(from, data, n); });
  ShardSet shards{.n = static_cast<std::size_t>(n_ranks()), .parts = {}};
  for (int part = from; part < end; ++part) shards.parts.push_back(static_cast<std::size_t>(part));
  search.add(table, shards, counts);
}

}  // namespace

void reduce_to_rank_0(TriggerSearch& search) {
  const int n = n_ranks();
  for (int step = 1; step < n; step *= 2) {
    if (rank() % (2 * step) == step) return send_search(search, rank() - step);
    if (rank() + step < n) receive_search(search, rank() + step, std::min(rank() + 2 * step, n));
  }
}

std::uint64_t sum_on_rank_0(std::uint64_t own) {
  if (rank() > 0) {
    send_to(0, &own, sizeof(own));
    return own;
  }
  std::uint64_t sum = own;
  for (int from = 1; from < n_ranks(); ++from) {
    std::uint64_t other = 0;
    receive_from(from, &other, sizeof(other));
    sum += other;
  }
  return sum;
}

void wait_for_rank_0() {
  char word = 1;
  if (rank() > 0) return receive_from(0, &word, 1);
  for (int to = 1; to < n_ranks(); ++to) send_to(to, &word, 1);
}

}  // namespace ffmem::tools
