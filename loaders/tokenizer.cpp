#include "loaders/tokenizer.hpp"

#include "loaders/mapped_file.hpp"
#include "loaders/tokenizer/formats.hpp"
#include "ops/error.hpp"

namespace ffmem {

std::shared_ptr<const Tokenizer> Tokenizer::load(const std::filesystem::path& folder) {
  const auto has = [&](const char* name) { return may_exist(folder / name); };
  if (has("tokenizer.json")) return tokenization::load_tokenizer_json(folder / "tokenizer.json");
  if (has("vocab.json") && has("merges.txt")) {
    return tokenization::load_gpt2_files(folder / "vocab.json", folder / "merges.txt");
  }
  if (has("dict.txt")) return tokenization::load_fairseq_dictionary(folder / "dict.txt");
  fail(ErrorCode::file_not_found, folder.string(),
       ": expected tokenizer.json, or vocab.json and merges.txt (GPT-2), or dict.txt (fairseq), found none of them");
}

std::string Tokenizer::decode(std::span<const TokenId> ids, SpecialText special) const {
  const auto decoding = stream(special);
  std::string text;
  for (const TokenId id : ids) text += decoding->push(id);
  return text += decoding->finish();
}

}  // namespace ffmem
