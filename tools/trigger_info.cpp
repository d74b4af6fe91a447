#include "tools/trigger_info.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>

#include "ops/error.hpp"
#include "tools/metadata_fields.hpp"
#include "tools/numbers.hpp"

namespace ffmem::tools {
namespace {

constexpr std::string_view kVersion = "1";

template <class T>
std::string text_or_empty(const std::optional<T>& value) {
  return value ? std::to_string(*value) : std::string();
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    parts.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

}  // namespace

std::string ShardSet::text() const { return whole() ? std::string() : fmt::format("{}/{}", fmt::join(parts, ","), n); }

ShardSet ShardSet::parse(std::string_view text) {
  if (text.empty()) return {};
  const auto slash = text.find('/');
  const auto n = slash == std::string_view::npos ? std::nullopt : to_number<std::size_t>(text.substr(slash + 1));
  ShardSet shards{.n = n.value_or(0), .parts = {}};
  const auto numbers = text.substr(0, slash);
  bool good = shards.n > 0 && !numbers.ends_with(',');
  for (const auto& part : split(numbers, ',')) {
    const auto i = to_number<std::size_t>(part);
    good = good && i && *i < shards.n && (shards.parts.empty() || shards.parts.back() < *i);
    shards.parts.push_back(i.value_or(0));
  }
  if (!good || shards.parts.empty()) {
    fail(ErrorCode::argument_invalid, "shard: expected I/N, or I,J/N with ascending numbers from 0 to N - 1, found '", text,
         "'");
  }
  return shards;
}

std::map<std::string, std::string> to_metadata(const TriggerInfo& info, std::string_view format) {
  return {{"format", std::string(format)},
          {"version", std::string(kVersion)},
          {"model", info.model},
          {"model_fingerprint", info.model_fingerprint},
          {"weights", info.weights},
          {"corpus", fmt::format("{}", fmt::join(info.corpus, "\n"))},
          {"corpus_fingerprint", info.corpus_fingerprint},
          {"sentences", std::string(sentence_mode_name(info.sentences))},
          {"top", std::to_string(info.top)},
          {"every_prefix", info.every_prefix ? "true" : "false"},
          {"smallest", info.smallest ? "true" : "false"},
          {"context", std::to_string(info.context)},
          {"prefix_token", text_or_empty(info.prefix_token)},
          {"max_sentences", text_or_empty(info.max_sentences)},
          {"shard", info.shards.text()},
          {"n_sentences", std::to_string(info.counts.n_sentences)},
          {"n_tokens", std::to_string(info.counts.n_tokens)},
          {"n_cut", std::to_string(info.counts.n_cut)}};
}

TriggerInfo trigger_info(const std::map<std::string, std::string>& metadata, std::string_view format,
                         const std::filesystem::path& file) {
  const MetadataFields fields(metadata, file);
  fields.expect("format", format);
  fields.expect("version", kVersion);
  TriggerInfo info{.model = fields.text("model"),
                   .model_fingerprint = fields.text("model_fingerprint"),
                   .weights = metadata.contains("weights") ? fields.text("weights") : "f32",
                   .corpus = split(fields.text("corpus"), '\n'),
                   .corpus_fingerprint = fields.text("corpus_fingerprint"),
                   .sentences = SentenceMode::icu,
                   .top = fields.whole<std::size_t>("top"),
                   .every_prefix = fields.flag("every_prefix"),
                   .smallest = fields.flag("smallest"),
                   .context = fields.whole<std::size_t>("context"),
                   .prefix_token = fields.whole_or_empty<TokenId>("prefix_token"),
                   .max_sentences = fields.whole_or_empty<std::int64_t>("max_sentences"),
                   .shards = {},
                   .counts = {.n_sentences = fields.whole<std::uint64_t>("n_sentences"),
                              .n_tokens = fields.whole<std::uint64_t>("n_tokens"),
                              .n_cut = fields.whole<std::uint64_t>("n_cut")}};
  try {
    info.sentences = sentence_mode_from_name(fields.text("sentences"));
    info.shards = ShardSet::parse(fields.text("shard"));
  } catch (const Error& error) {
    fail(ErrorCode::store_invalid, file.string(), ": metadata: ", error.what());
  }
  return info;
}

std::string difference(const TriggerInfo& a, const TriggerInfo& b) {
  auto left = to_metadata(a, "");
  const auto right = to_metadata(b, "");
  for (const char* key : {"model", "corpus", "shard", "n_sentences", "n_tokens", "n_cut"}) left.erase(key);
  for (const auto& [key, value] : left) {
    if (value != right.at(key)) return fmt::format("{}: '{}' and '{}'", key, value, right.at(key));
  }
  return {};
}

std::string difference_in_shards_too(const TriggerInfo& a, const TriggerInfo& b) {
  std::string differs = difference(a, b);
  if (!differs.empty() || a.shards.text() == b.shards.text()) return differs;
  return fmt::format("shard: '{}' and '{}'", a.shards.text(), b.shards.text());
}

}  // namespace ffmem::tools
