// The viewer of the memory pages: HTML, style and script in one file.
#pragma once

#include <string>
#include <string_view>

#include "tools/report/page.hpp"

namespace ffmem::tools {

/// `about` stands at the end of the page; `settings` is a JSON object: layers, memories, per_block, posting_files,
/// value_tokens, histogram_tokens, smallest.
std::string viewer_page(std::string_view model_name, const Facts& about, std::string_view settings);

}  // namespace ffmem::tools
