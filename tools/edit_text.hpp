// How an intervention is written:
//
//   set     POINT:LAYER:UNIT=VALUE[@POSITION]
//   scale   POINT:LAYER:UNIT=FACTOR[@POSITION]
//   zero    POINT:LAYER[:UNIT][@POSITION]
//   patch   POINT:LAYER[:UNIT][@POSITION]=FILE     rows of the tensor POINT.LAYER that `ffmem capture` wrote
//   add     POINT:LAYER=FILE:TENSOR[*FACTOR][@POSITION]      the tensor is one vector
//
// final_hidden and logits come once per run: there ":LAYER" is left out. Positions count from 0 and include cached ones.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

#include "hooks/intervene.hpp"

namespace ffmem::tools {

/// An edit whose vectors are still in a file.
struct EditText {
  Edit edit;
  std::filesystem::path file;  // patch, add
  std::string tensor;          // patch, add
};

/// "--set", "--zero", ...
std::string_view option_name(Edit::Kind kind) noexcept;

/// Throws UsageError that begins with the option and the text.
EditText parse_edit(Edit::Kind kind, std::string_view text);

/// "coefficients.3", "logits": what a capture calls the tensor of a point.
std::string tensor_name(Point point, std::size_t layer);

}  // namespace ffmem::tools
