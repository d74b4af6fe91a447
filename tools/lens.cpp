#include "tools/lens.hpp"

#include "ops/error.hpp"

namespace ffmem::tools {

std::string_view lens_name(Lens lens) noexcept { return lens == Lens::raw ? "raw" : "final-norm"; }

Lens lens_from_name(std::string_view name) {
  for (const Lens lens : {Lens::raw, Lens::final_norm}) {
    if (name == lens_name(lens)) return lens;
  }
  fail(ErrorCode::argument_invalid, "lens: expected raw or final-norm, found '", name, "'");
}

}  // namespace ffmem::tools
