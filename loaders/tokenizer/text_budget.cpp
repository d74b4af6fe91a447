#include "loaders/tokenizer/text_budget.hpp"

#include "ops/error.hpp"

namespace ffmem::tokenization {

void TextBudget::refuse(std::string_view origin) const {
  fail(ErrorCode::tokenizer_unsupported, origin, ": expected to make at most ", total_, " bytes of this text, found more");
}

}  // namespace ffmem::tokenization
