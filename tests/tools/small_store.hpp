// A trigger store and its values, small enough to be written down: one layer of two memories with two examples each, and a
// vocabulary in which two tokens are bytes that are no characters, and one adds nothing.
#pragma once

#include <string>
#include <vector>

#include "tests/loaders/temporary_folder.hpp"
#include "tools/trigger_store.hpp"
#include "tools/value_table.hpp"

namespace ffmem {

struct SmallStore {
  TemporaryFolder folder{};
  tools::TriggerInfo info{};
  // Sentences: 0 "c\xC3", 1 " d\xA9", 2 "c" and the token that adds nothing.
  std::vector<TokenId> tokens{3, 1, 4, 2, 3, 0};
  TriggerTable table{1, 2, 2};
  // The first memory's value promotes \xC3, the other's the token that adds nothing.
  tools::ValueTable values{.n_layers = 1, .d_memory = 2, .k = 1, .tokens = {1, 0}, .probabilities = {0.5F, 0.25F}};

  SmallStore() {
    info.model = "/models/small";
    info.model_fingerprint = values.model_fingerprint = "0123456789abcdef";
    values.weights = info.weights;
    info.corpus = {"text"};
    info.top = 2;
    info.context = 16;
    table.coefficient = {2.5F, 1.0F, 0.5F, 0.25F};
    table.sentence = {0, 1, 2, 1};
    table.position = {0, 0, 0, 1};  // followed by \xC3, \xA9, the token that adds nothing, and no token
  }

  /// A search for the most negative coefficients.
  void negate() {
    info.smallest = true;
    values.sign = tools::ValueSign::minus;
    for (float& coefficient : table.coefficient) coefficient = -coefficient;
  }

  /// Takes an example away.
  void make_empty(std::size_t place) {
    table.coefficient[place] = 0.0F;
    table.sentence[place] = -1;
    table.position[place] = -1;
  }

  std::string path(const std::string& name) const { return (folder.path() / name).string(); }

  /// The files "store" and "values".
  void write() const {
    tools::Vocabulary vocabulary;
    vocabulary.offsets = {0, 0, 1, 2, 3, 5};
    vocabulary.bytes =
        "\xC3\xA9"
        "c d";
    tools::write_trigger_store(path("store"), table, info,
                               {.index = {0, 1, 2},
                                .offsets = {0, 2, 4, 6},
                                .walk = [this](const tools::NamedSentences::Sink& append) { append(tokens); }},
                               vocabulary);
    tools::write_value_table(path("values"), values);
  }
};

}  // namespace ffmem
