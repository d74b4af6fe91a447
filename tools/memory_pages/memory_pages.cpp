#include "tools/memory_pages/memory_pages.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "hooks/histogram.hpp"
#include "loaders/atomic_file.hpp"
#include "loaders/utf8.hpp"
#include "ops/error.hpp"
#include "tools/interrupt.hpp"
#include "tools/json_text.hpp"
#include "tools/memory_pages/viewer.hpp"
#include "tools/token_text.hpp"

namespace ffmem::tools {
namespace {

constexpr std::size_t kPrefixTokens = 32;  // shown of a prefix, the last ones
constexpr std::size_t kMostBlocks = 256;

/// A list of values that are JSON already.
class JsonArray {
 public:
  template <class T>
  JsonArray& add(const T& value) {
    text_ += (text_.empty() ? "" : ",") + to_json(value).text;
    return *this;
  }
  Json json() const { return {"[" + text_ + "]"}; }

 private:
  std::string text_;
};

/// A memory that promotes a token or fires on it; `order` puts the most telling first.
struct Posting {
  std::size_t order = 0;
  std::size_t memory = 0;
};

struct Postings {
  std::vector<Posting> promote;  // order: place of the token among the value's best
  std::vector<Posting> fire;     // order: the number of examples that do not end in the token
};

class PageWriter {
 public:
  PageWriter(const std::filesystem::path& folder, const MemorySources& sources)
      : folder_(folder), sources_(sources), store_(sources.triggers), n_memories_(store_.n_layers() * store_.d_memory()) {}

  void write() {
    const std::size_t per_block = memories_per_block(n_memories_);
    std::size_t n_blocks = 0;
    for (std::size_t first = 0; first < n_memories_; first += per_block) {
      throw_if_interrupted();
      write_block(n_blocks++, first, std::min(first + per_block, n_memories_));
    }
    for (std::size_t n = n_blocks; n < kMostBlocks; ++n) remove_file(block_path(n));  // of a larger model's pages
    write_postings();
    write_vocabulary();
    write_file(folder_ / "index.html", viewer_page(sources_.model_name, sources_.about, settings(per_block).text));
  }

 private:
  Json settings(std::size_t per_block) const {
    return JsonObject()
        .add("layers", store_.n_layers())
        .add("memories", store_.d_memory())
        .add("per_block", per_block)
        .add("posting_files", kPostingFiles)
        .add("value_tokens", sources_.values.k)
        .add("histogram_tokens", sources_.histogram.n_tokens)
        .add("smallest", store_.info().smallest)
        .json();
  }

  std::filesystem::path block_path(std::size_t number) const { return folder_ / concat("block-", number, ".js"); }

  /// Bytes that are no text would all become U+FFFD.
  static std::string legible(const std::string& bytes) {
    return valid_utf8_prefix(bytes) == bytes.size() ? bytes : readable_text(bytes);
  }

  std::string token_text(TokenId token) const { return legible(text_or_number(store_.token_bytes(token), token)); }

  void write_block(std::size_t number, std::size_t first, std::size_t end) {
    std::string text = "ffmem_block(" + std::to_string(number) + ",[\n";
    for (std::size_t memory = first; memory < end; ++memory)
      text += memory_json(memory).text + (memory + 1 < end ? ",\n" : "\n");
    write_file(block_path(number), text + "]);\n");
  }

  /// [examples found, of them followed by the value's first token, [examples], [value tokens], [histogram], [nearest]]
  Json memory_json(std::size_t memory) {
    const std::size_t layer = memory / store_.d_memory();
    const auto examples = store_.examples(layer, memory % store_.d_memory());
    const std::size_t value = memory * sources_.values.k;
    const TokenId predicted = sources_.values.tokens[value];
    JsonArray shown;
    std::map<TokenId, std::size_t> triggers;
    std::size_t n_agree = 0;
    for (std::size_t i = 0; i < examples.size(); ++i) {
      n_agree += examples[i].next == predicted ? 1 : 0;
      ++triggers[examples[i].prefix.back()];
      if (i < sources_.n_examples) shown.add(example_json(examples[i], predicted));
    }
    for (const auto& [token, count] : triggers) postings_[token].fire.push_back({examples.size() - count, memory});
    JsonArray tokens;
    for (std::size_t i = value; i < value + sources_.values.k; ++i) {
      const TokenId token = sources_.values.tokens[i];
      postings_[token].promote.push_back({i - value, memory});
      tokens.add(JsonArray().add(token_text(token)).add(sources_.values.probabilities[i]).json());
    }
    return JsonArray()
        .add(examples.size())
        .add(n_agree)
        .add(shown.json())
        .add(tokens.json())
        .add(histogram_json(memory))
        .add(nearest_json(memory))
        .json();
  }

  /// [coefficient, prefix but its last token, that token, the next, 1 if that is the value's first token, else 0]; next is null
  /// behind the sentence's end. Texts do not tell tokens apart: two may have the same.
  Json example_json(const TriggerStore::Example& example, TokenId predicted) const {
    return JsonArray()
        .add(example.coefficient)
        .add(legible(store_.text_before_trigger(example, kPrefixTokens)))
        .add(token_text(example.prefix.back()))
        .add(example.next ? std::optional(token_text(*example.next)) : std::nullopt)
        .add(example.next == predicted ? 1 : 0)
        .json();
  }

  Json histogram_json(std::size_t memory) const {
    const auto& counts = sources_.histogram.counts;
    if (counts.empty()) return {"[]"};
    return to_json(std::span(counts).subspan(memory * Histogram::kBins, Histogram::kBins));
  }

  Json nearest_json(std::size_t memory) const {
    JsonArray nearest;
    for (std::size_t i = memory * sources_.nearest.k; i < (memory + 1) * sources_.nearest.k; ++i) {
      nearest.add(JsonArray().add(sources_.nearest.memory[i]).add(sources_.nearest.cosine[i]).json());
    }
    return nearest.json();
  }

  void write_postings() {
    std::array<std::string, kPostingFiles> files;
    for (auto& [token, postings] : postings_) {
      std::string& text = files[static_cast<std::size_t>(token) % kPostingFiles];
      text += (text.empty() ? "" : ",\n") + std::to_string(token) + ":[" + list(postings.promote).text + "," +
              list(postings.fire).text + "]";
    }
    for (std::size_t i = 0; i < kPostingFiles; ++i) {
      write_file(folder_ / ("postings-" + std::to_string(i) + ".js"),
                 "ffmem_postings(" + std::to_string(i) + ",{\n" + files[i] + "});\n");
    }
  }

  static Json list(std::vector<Posting>& postings) {
    std::ranges::sort(postings, [](const Posting& a, const Posting& b) {
      return a.order < b.order || (a.order == b.order && a.memory < b.memory);
    });
    JsonArray memories;
    for (const Posting& posting : postings) memories.add(posting.memory);
    return memories.json();
  }

  void write_vocabulary() const {
    std::string text = "ffmem_vocabulary([\n";
    for (const auto& [token, postings] : postings_) {
      text += JsonArray().add(token).add(token_text(token)).json().text + ",\n";
    }
    write_file(folder_ / "vocabulary.js", text + "]);\n");
  }

  const std::filesystem::path& folder_;
  const MemorySources& sources_;
  const TriggerStore& store_;
  const std::size_t n_memories_;
  std::map<TokenId, Postings> postings_;
};

}  // namespace

std::size_t memories_per_block(std::size_t n_memories) noexcept {
  return std::max<std::size_t>(128, (n_memories + kMostBlocks - 1) / kMostBlocks);
}

void write_memory_pages(const std::filesystem::path& folder, const MemorySources& sources) {
  make_folder(folder);
  PageWriter(folder, sources).write();
}

}  // namespace ffmem::tools
