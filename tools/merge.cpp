// ffmem merge: the trigger stores of shards as one. Exact: all shards together give the bytes of an unsharded search.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "hooks/top_triggers.hpp"
#include "ops/error.hpp"
#include "tools/commands.hpp"
#include "tools/interrupt.hpp"
#include "tools/json_text.hpp"
#include "tools/leftovers.hpp"
#include "tools/options.hpp"
#include "tools/output.hpp"
#include "tools/trigger_store.hpp"

namespace ffmem::tools {
namespace {

struct Options {
  std::vector<std::filesystem::path> stores;
  std::filesystem::path out;
  bool json = false;
};

/// a's description, with b's shards and counts added. Throws store_invalid where they are not shards of one search.
TriggerInfo merge_info(const TriggerInfo& a, const TriggerStore& b) {
  const TriggerInfo& other = b.info();
  if (const std::string differs = difference(a, other); !differs.empty()) {
    fail(ErrorCode::store_invalid, b.path().string(), ": is of another search than the stores before it (", differs, ")");
  }
  if (a.shards.n != other.shards.n) {
    fail(ErrorCode::store_invalid, b.path().string(), ": expected a shard of ", a.shards.n, ", found one of ", other.shards.n);
  }
  TriggerInfo merged = a;
  for (const std::size_t part : other.shards.parts) {
    const auto place = std::ranges::lower_bound(merged.shards.parts, part);
    if (place != merged.shards.parts.end() && *place == part) {
      fail(ErrorCode::store_invalid, b.path().string(), ": shard ", part, " of ", a.shards.n, " is there twice");
    }
    merged.shards.parts.insert(place, part);
  }
  merged.counts.n_sentences += other.counts.n_sentences;
  merged.counts.n_tokens += other.counts.n_tokens;
  merged.counts.n_cut += other.counts.n_cut;
  return merged;
}

/// The store that holds a sentence of the merged table: the one whose shard it belongs to.
const TriggerStore& store_of(std::int64_t sentence, const std::vector<std::unique_ptr<TriggerStore>>& stores) {
  for (const auto& store : stores) {
    const ShardSet& shards = store->info().shards;
    const auto part = static_cast<std::size_t>(sentence) % shards.n;
    if (std::ranges::binary_search(shards.parts, part)) return *store;
  }
  fail(ErrorCode::store_invalid, stores.front()->path().string(), ": sentence ", sentence, " belongs to no shard given");
}

NamedSentences merge_sentences(const TriggerTable& table, const std::vector<std::unique_ptr<TriggerStore>>& stores) {
  NamedSentences named{.index = named_sentences(table), .offsets = {0}, .walk = {}};
  named.offsets.reserve(named.index.size() + 1);
  for (const std::int64_t sentence : named.index) {
    const std::size_t n = store_of(sentence, stores).sentence_tokens(sentence).size();
    named.offsets.push_back(named.offsets.back() + static_cast<std::int64_t>(n));
  }
  named.walk = [index = named.index, &stores](const NamedSentences::Sink& append) {
    for (const std::int64_t sentence : index) {
      throw_if_interrupted();
      append(store_of(sentence, stores).sentence_tokens(sentence));
    }
  };
  return named;
}

void run(const Options& options) {
  check_is_no_input(options.out, options.stores);
  remove_leftovers(options.out);
  catch_interrupts();
  std::vector<std::unique_ptr<TriggerStore>> stores;
  for (const auto& path : options.stores) stores.push_back(std::make_unique<TriggerStore>(path));
  TriggerInfo info = stores.front()->info();
  TriggerTable table = stores.front()->table();
  for (std::size_t i = 1; i < stores.size(); ++i) {
    throw_if_interrupted();
    info = merge_info(info, *stores[i]);
    table = merge(table, stores[i]->table(), info.every_prefix);
  }
  write_trigger_store(options.out, table, info, merge_sentences(table, stores), stores.front()->vocabulary());
  if (options.json) {
    write_out(JsonObject()
                  .add("out", options.out)
                  .add("stores", stores.size())
                  .add("whole", info.shards.whole())
                  .add("shards", info.shards.text())
                  .add("sentences", info.counts.n_sentences)
                  .add("tokens", info.counts.n_tokens)
                  .add("cut_sentences", info.counts.n_cut)
                  .add("keys", table.n_layers * table.d_memory)
                  .add("keys_never_fired", keys_with_fewer_than(1, table))
                  .line());
    return;
  }
  const std::string covers = info.shards.whole() ? "the whole corpus" : "shards " + info.shards.text();
  note(fmt::format("{} store{} merged: {}, {} sentences", stores.size(), stores.size() == 1 ? "" : "s", covers,
                   info.counts.n_sentences));
}

}  // namespace

void add_merge(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("merge", "Merge the trigger stores of shards");
  command->add_option("STORES", options->stores, "Files that ffmem triggers --shard wrote")->required();
  command->add_option("-o,--out", options->out, "The merged store to write")->required()->type_name("FILE");
  command->add_flag("--json", options->json, "One JSON line at the end");
  command->footer("Example:\n  ffmem merge part0.safetensors part1.safetensors -o triggers.safetensors");
  command->callback([options] { run(*options); });
}

}  // namespace ffmem::tools
