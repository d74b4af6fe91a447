#include "tests/tools/tiny_model.hpp"

#include <stdexcept>

#include "loaders/mapped_file.hpp"
#include "loaders/safetensors.hpp"
#include "ops/error.hpp"

namespace ffmem {

ModelFolder::ModelFolder(const std::filesystem::path& source) : source_(source) {
  for (const char* file : {"config.json", "model.safetensors"}) write(file, read_text_file(source / file));
}

void ModelFolder::edit_config(const std::string& from, const std::string& to) const {
  std::string text = read_text_file(folder_.path() / "config.json");
  const std::size_t at = text.find(from);
  if (at == std::string::npos) throw std::runtime_error("config.json has no " + from);
  write("config.json", text.replace(at, from.size(), to));
}

void ModelFolder::edit_tensors(const std::function<void(std::map<std::string, TensorToWrite>&)>& edit) const {
  const SafetensorsFile original(source_ / "model.safetensors");
  std::map<std::string, TensorToWrite> tensors;
  for (const auto& [name, tensor] : original.tensors()) tensors[name] = {name, tensor.dtype, tensor.shape, tensor.data};
  edit(tensors);
  std::vector<TensorToWrite> list;
  for (const auto& [name, tensor] : tensors) list.push_back(tensor);
  write_safetensors(weights(), list);
}

void ModelFolder::add_tokenizer(std::size_t n_tokens) const {
  std::string vocabulary;
  for (std::size_t i = 0; i < n_tokens; ++i) {
    const std::string word = i == 1 ? "<s>" : i == 2 ? "</s>" : concat("w", i);
    vocabulary += concat(i == 0 ? "" : ", ", '"', word, "\": ", i);
  }
  const auto added = [](int id, const std::string& word) {
    return R"({"id": )" + std::to_string(id) + R"(, "content": ")" + word +
           R"(", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true})";
  };
  write("tokenizer.json", R"({"version": "1.0", "truncation": null, "padding": null, "added_tokens": [)" + added(1, "<s>") +
                              ", " + added(2, "</s>") +
                              R"(], "normalizer": null, "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null,
                              "decoder": null, "model": {"type": "WordLevel", "unk_token": "w0", "vocab": {)" +
                              vocabulary + "}}}");
}

}  // namespace ffmem
