// A model folder small enough for a test, from the golden GPT-2 (ReLU, 3 layers, width 24, 44 memories, context 32, 64 tokens,
// no tokenizer), and copies of it with something wrong.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "loaders/safetensors_writer.hpp"
#include "tests/loaders/temporary_folder.hpp"

namespace ffmem {

inline const std::filesystem::path kTinyModel = std::filesystem::path(FFMEM_TEST_DATA) / "hf" / "gpt2-relu";

class ModelFolder {
 public:
  /// A copy of the golden model in `source`.
  explicit ModelFolder(const std::filesystem::path& source = kTinyModel);

  std::string path() const { return folder_.path().string(); }
  std::filesystem::path weights() const { return folder_.path() / "model.safetensors"; }

  /// Replaces the first `from` in config.json, which must be there.
  void edit_config(const std::string& from, const std::string& to) const;

  /// Writes the weights anew after `edit` changed their declarations (names, types, shapes; the data stays).
  void edit_tensors(const std::function<void(std::map<std::string, TensorToWrite>&)>& edit) const;

  /// Gives it a tokenizer of the words w0, w1, ... (ids 0 to n_tokens - 1) split at white space; `<s>` and `</s>` are 1 and 2.
  void add_tokenizer(std::size_t n_tokens) const;

  void write(const std::string& name, const std::string& bytes) const { folder_.write(name, bytes); }

 private:
  std::filesystem::path source_;
  TemporaryFolder folder_;
};

}  // namespace ffmem
