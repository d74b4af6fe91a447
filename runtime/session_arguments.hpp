// Whether what a caller gives to Session fits it: looked at before anything is made or computed.
#pragma once

#include <cstddef>
#include <span>

#include "loaders/model_config.hpp"
#include "runtime/session.hpp"

namespace ffmem {

/// The options with every default filled in. Throws context_exceeded for a context beyond the model's positions,
/// argument_invalid for no sequences or positions, and for sizes that no machine has.
SessionOptions resolve_options(const ModelConfig& config, SessionOptions options);

/// Throws argument_invalid for offsets that do not divide the tokens into 1 to max_sequences sequences that are not empty,
/// context_exceeded for more tokens than a batch or a sequence has room for, token_out_of_range for an id that is not in
/// [0, vocab_size). `lengths` [max_sequences]: what the sequences hold already.
void check_batch(const RaggedBatch& batch, const SessionOptions& options, std::span<const std::size_t> lengths,
                 std::size_t vocab_size);

}  // namespace ffmem
