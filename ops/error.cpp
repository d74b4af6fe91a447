#include "ops/error.hpp"

#include <string_view>

namespace ffmem {
namespace {

constexpr std::size_t kLongest = 4000;
constexpr std::size_t kFirst = 3000;
constexpr std::size_t kLast = 500;

/// Whether a byte is one of a character that spans several, but not its first.
bool continues(char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80; }

std::string shortened(std::string_view text) {
  if (text.size() <= kLongest) return std::string(text);
  std::size_t end = kFirst;
  std::size_t begin = text.size() - kLast;
  while (end > 0 && continues(text[end])) --end;
  while (begin < text.size() && continues(text[begin])) ++begin;
  return concat(text.substr(0, end), " ... ", text.substr(begin));
}

std::string printable(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    // The second block of control characters, U+0080 to U+009F, is C2 80 to C2 9F in UTF-8.
    const bool second_block = text[i] == '\xC2' && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0;
    const auto byte = static_cast<unsigned char>(second_block ? text[++i] : text[i]);
    if (second_block || byte < 0x20 || byte == 0x7F) {
      out.append("\\x").append(1, kDigits[byte >> 4U]).append(1, kDigits[byte & 15U]);
    } else {
      out += static_cast<char>(byte);
    }
  }
  return out;
}

}  // namespace

std::string_view name(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::file_not_found:
      return "file_not_found";
    case ErrorCode::file_unreadable:
      return "file_unreadable";
    case ErrorCode::file_unwritable:
      return "file_unwritable";
    case ErrorCode::header_too_small:
      return "header_too_small";
    case ErrorCode::header_too_large:
      return "header_too_large";
    case ErrorCode::header_exceeds_file:
      return "header_exceeds_file";
    case ErrorCode::header_not_utf8:
      return "header_not_utf8";
    case ErrorCode::header_not_json:
      return "header_not_json";
    case ErrorCode::header_not_an_object:
      return "header_not_an_object";
    case ErrorCode::tensor_name_duplicate:
      return "tensor_name_duplicate";
    case ErrorCode::tensor_dtype_unknown:
      return "tensor_dtype_unknown";
    case ErrorCode::tensor_shape_overflow:
      return "tensor_shape_overflow";
    case ErrorCode::tensor_size_mismatch:
      return "tensor_size_mismatch";
    case ErrorCode::tensor_offsets_invalid:
      return "tensor_offsets_invalid";
    case ErrorCode::data_size_mismatch:
      return "data_size_mismatch";
    case ErrorCode::shard_index_invalid:
      return "shard_index_invalid";
    case ErrorCode::json_invalid:
      return "json_invalid";
    case ErrorCode::config_invalid:
      return "config_invalid";
    case ErrorCode::config_unsupported:
      return "config_unsupported";
    case ErrorCode::family_unknown:
      return "family_unknown";
    case ErrorCode::activation_unknown:
      return "activation_unknown";
    case ErrorCode::tensor_missing:
      return "tensor_missing";
    case ErrorCode::tensor_shape:
      return "tensor_shape";
    case ErrorCode::tensor_dtype:
      return "tensor_dtype";
    case ErrorCode::tokenizer_invalid:
      return "tokenizer_invalid";
    case ErrorCode::tokenizer_unsupported:
      return "tokenizer_unsupported";
    case ErrorCode::tokenizer_mismatch:
      return "tokenizer_mismatch";
    case ErrorCode::text_not_utf8:
      return "text_not_utf8";
    case ErrorCode::point_unknown:
      return "point_unknown";
    case ErrorCode::token_out_of_range:
      return "token_out_of_range";
    case ErrorCode::layer_out_of_range:
      return "layer_out_of_range";
    case ErrorCode::unit_out_of_range:
      return "unit_out_of_range";
    case ErrorCode::position_out_of_range:
      return "position_out_of_range";
    case ErrorCode::context_exceeded:
      return "context_exceeded";
    case ErrorCode::limit_exceeded:
      return "limit_exceeded";
    case ErrorCode::argument_invalid:
      return "argument_invalid";
    case ErrorCode::corpus_empty:
      return "corpus_empty";
    case ErrorCode::store_invalid:
      return "store_invalid";
    case ErrorCode::backend_failed:
      return "backend_failed";
    case ErrorCode::figure_failed:
      return "figure_failed";
    case ErrorCode::interrupted:
      return "interrupted";
  }
  return {};
}

Error::Error(ErrorCode code, const std::string& message) : std::runtime_error(printable(shortened(message))), code_(code) {}

}  // namespace ffmem
