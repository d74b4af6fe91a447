// Whether what a caller gives to OutputHead fits it: looked at once a call, before anything is computed.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "runtime/output_head.hpp"

namespace ffmem {

/// Throws argument_invalid, naming the argument, unless its rows are `width` wide.
void check_width(std::string_view argument, ConstMatrixView view, std::size_t width);

/// The same for [rows, width].
void check_shape(std::string_view argument, ConstMatrixView view, std::size_t rows, std::size_t width);

/// Throws argument_invalid unless there is one target a row, token_out_of_range for one that is not in [0, vocab_size).
void check_targets(std::span<const TokenId> targets, std::size_t rows, std::size_t vocab_size);

/// Throws argument_invalid for a row that is not below `rows` or comes behind a later one, token_out_of_range likewise.
void check_queries(std::span<const TargetQuery> queries, std::size_t rows, std::size_t vocab_size);

}  // namespace ffmem
