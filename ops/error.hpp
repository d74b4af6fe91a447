// The one error type of the library, and the words it is built from.
//
// A message names the file or object, the thing in it, what was expected and what was found:
// "model.safetensors: h.3.mlp.c_fc.weight: expected shape [768, 3072], found [3072, 768]".
// Nothing below tools/ prints or exits; everything throws Error.
#pragma once

#include <locale>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace ffmem {

enum class ErrorCode {
  // Files and the operating system.
  file_not_found,
  file_unreadable,  // exists, but cannot be opened, read or mapped (a directory, no permission, ...)
  file_unwritable,  // cannot be created, written, synced or renamed (no permission, disk full, ...)
  // safetensors, one code per rule of the format.
  header_too_small,     // fewer than 8 bytes
  header_too_large,     // more than 100,000,000 bytes
  header_exceeds_file,  // the header would end behind the end of the file
  header_not_utf8,
  header_not_json,
  header_not_an_object,  // the JSON value, or one entry of it, has not the form of the format
  tensor_name_duplicate,
  tensor_dtype_unknown,
  tensor_shape_overflow,   // the product of the dimensions, or the bytes, does not fit 64 bits
  tensor_size_mismatch,    // end - begin is not shape times element size
  tensor_offsets_invalid,  // begin > end, or data not contiguous from 0 in offset order (a hole or an overlap)
  data_size_mismatch,      // the data ends before or behind the last tensor
  shard_index_invalid,     // model.safetensors.index.json contradicts itself or the files
  // Checkpoints and tokenizers.
  json_invalid,
  config_invalid,      // a field is missing, of the wrong type, or out of range
  config_unsupported,  // a known field has a value that this program does not implement
  family_unknown,
  activation_unknown,
  tensor_missing,
  tensor_shape,
  tensor_dtype,
  tokenizer_invalid,
  tokenizer_unsupported,
  tokenizer_mismatch,  // tokenizer and model do not fit each other
  text_not_utf8,
  // Calls.
  point_unknown,
  token_out_of_range,
  layer_out_of_range,
  unit_out_of_range,
  position_out_of_range,
  context_exceeded,  // more tokens than positions, or than the session was made for
  limit_exceeded,    // more memory than the caller allowed
  argument_invalid,
  corpus_empty,
  store_invalid,   // a result file lacks something or does not fit its partner
  backend_failed,  // a library below refused
  figure_failed,   // gnuplot refused a figure
  interrupted,     // the user asked to stop
};

/// "token_out_of_range": the code as it is written above.
std::string_view name(ErrorCode code) noexcept;

class Error : public std::runtime_error {
 public:
  /// what() is one line that a terminal can show, whatever names and values a file brought into the message: control characters
  /// as \xNN, and of more than 4,000 bytes the first 3,000 and the last 500.
  Error(ErrorCode code, const std::string& message);
  ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

/// The parts, streamed one behind the other; numbers as in C, whatever locale the program has set: some go into files.
template <class... Parts>
std::string concat(Parts&&... parts) {
  std::ostringstream out;
  out.imbue(std::locale::classic());
  (out << ... << std::forward<Parts>(parts));
  return out.str();
}

/// Throws Error(code, concat(parts...)).
template <class... Parts>
[[noreturn]] void fail(ErrorCode code, Parts&&... parts) {
  throw Error(code, concat(std::forward<Parts>(parts)...));
}

}  // namespace ffmem
