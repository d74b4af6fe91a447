// Workbenches over small golden models with trigger examples of a made-up text, for tests of the experiments on keys and
// values.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "loaders/mapped_file.hpp"
#include "tests/loaders/temporary_folder.hpp"
#include "tests/tools/tiny_model.hpp"
#include "tools/experiments/workbench.hpp"

namespace ffmem {

/// Plain ReLU, gated with an untied head, and an adaptive softmax.
inline const std::vector<std::string> kKeyValueGoldens{"hf/gpt2-relu", "hf/llama", "fairseq/adaptive"};

class KeyValueModel {
 public:
  explicit KeyValueModel(const std::string& golden = "hf/gpt2-relu") {
    const auto source = std::filesystem::path(FFMEM_TEST_DATA) / golden;
    for (const char* file : {"config.json", "model.safetensors"}) model_.write(file, read_text_file(source / file));
    const bool has_words = std::filesystem::exists(source / "dict.txt");
    if (has_words) {
      model_.write("dict.txt", read_text_file(source / "dict.txt"));
    } else {
      model_.add_tokenizer(64);
    }
    std::string text;
    for (std::size_t s = 0; s < 40; ++s) {
      for (std::size_t w = 0; w < 1 + (s * 7) % 11; ++w) {
        text += (has_words ? "word" : "w") + std::to_string(3 + (s * 31 + w * w * 5 + w) % 53) + " ";
      }
      text += "\n";
    }
    train_ = folder_.write("train.txt", text);
  }

  tools::ExperimentOptions options(const std::string& out = "out") const {
    tools::ExperimentOptions options;
    options.model.folder = model_.path();
    options.train = {train_};
    options.out = folder_.path() / out;
    options.triggers.sentences = tools::SentenceMode::lines;
    options.triggers.top = 5;
    options.removal_keys = 4;
    options.annotated_keys = 2;
    options.annotated_examples = 4;
    options.quiet = true;
    return options;
  }

  const std::filesystem::path& folder() const { return folder_.path(); }

 private:
  ModelFolder model_;
  TemporaryFolder folder_;
  std::filesystem::path train_;
};

}  // namespace ffmem
