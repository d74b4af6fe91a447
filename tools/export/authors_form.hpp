// Trigger examples as the authors of the paper write them: the `top_values` records of github.com/mega002/ff-layers,
// analysis/generate_outputs.py (get_trigger_examples), which analysis/trigger_examples_jsonl_to_textual.py reads.
//
// A line for each unit ("dim"), all layers in it:
//   {"dim": 17, "top_values": [[{"rank": 0, "layer_index": 0, "token_indice": 5, "fc1_value": 3.1, "text": "..."}, ...], ...]}
// `text` is the whole sentence. `token_indice` counts words and the beginning-of-text token before them, so that it is the
// number of words that the trigger prefix has begun. For a model of words that is the authors' number; for one of word pieces
// it is the word that the last piece belongs to, so that their scripts, which cut `text` into words, find the place there too.
// A prefix of spaces alone is read to the first word: there is none before it.
// Their reader prints one word more than the prefix, and their agreement script takes the one before that: the last read.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string_view>

#include "tools/export/selection.hpp"
#include "tools/trigger_store.hpp"

namespace ffmem::tools {

/// Words, as white space (Unicode's White_Space) parts them, that have begun in `text`, which may end within one.
std::size_t words_begun(std::string_view text);

/// Writes the file, whole or not at all. Layers that are not selected, and keys that never fired, are empty lists; a key with
/// fewer examples than the store has room for has a shorter list. done(lines so far) may throw. Throws file_unwritable.
void export_authors_form(const TriggerStore& store, const ExportSelection& selection, const std::filesystem::path& out,
                         const std::function<void(std::size_t)>& done);

}  // namespace ffmem::tools
