#include "tools/export/authors_form.hpp"

#include <unicode/uchar.h>

#include <algorithm>
#include <string>
#include <vector>

#include "loaders/atomic_file.hpp"
#include "loaders/utf8.hpp"
#include "tools/json_text.hpp"

namespace ffmem::tools {
namespace {

bool is_space(std::string_view text, std::size_t at, const Utf8Step& step) {
  return step.kind == Utf8Step::Kind::valid && u_isUWhiteSpace(static_cast<UChar32>(utf8_at(text, at).code)) != 0;
}

/// Without the space that some tokenizers put before the first word.
std::string sentence_text(const TriggerStore& store, std::span<const TokenId> tokens) {
  const std::string bytes = store.bytes(tokens);
  return bytes.starts_with(' ') ? bytes.substr(1) : bytes;
}

Json record(const TriggerStore& store, const TriggerStore::Example& example, std::size_t layer, std::size_t rank) {
  return JsonObject()
      .add("rank", rank)
      .add("layer_index", layer)
      .add("token_indice", std::max<std::size_t>(1, words_begun(store.bytes(example.prefix))))
      .add("fc1_value", example.coefficient)
      .add("text", sentence_text(store, example.tokens))
      .json();
}

std::string line(const TriggerStore& store, const ExportSelection& selection, std::size_t unit) {
  std::vector<std::vector<Json>> layers(store.n_layers());
  for (std::size_t layer = selection.layers.begin; layer < selection.layers.end; ++layer) {
    const auto examples = store.examples(layer, unit, selection.top);
    for (std::size_t rank = 0; rank < examples.size(); ++rank) {
      layers[layer].push_back(record(store, examples[rank], layer, rank));
    }
  }
  return JsonObject().add("dim", unit).add("top_values", layers).line();
}

}  // namespace

std::size_t words_begun(std::string_view text) {
  std::size_t n_words = 0;
  bool within = false;
  for (std::size_t at = 0; at < text.size();) {
    const auto step = utf8_step(text, at);
    const bool space = is_space(text, at, step);
    n_words += !space && !within ? 1 : 0;
    within = !space;
    at += step.length;
  }
  return n_words;
}

void export_authors_form(const TriggerStore& store, const ExportSelection& selection, const std::filesystem::path& out,
                         const std::function<void(std::size_t)>& done) {
  AtomicFile file(out);
  for (std::size_t unit = selection.units.begin; unit < selection.units.end; ++unit) {
    file.write(line(store, selection, unit));
    done(unit + 1 - selection.units.begin);
  }
  file.commit();
}

}  // namespace ffmem::tools
