// Tensors taken out of a checkpoint: those that are one under two names.
#include "loaders/weight_source.hpp"

#include <doctest/doctest.h>

#include <array>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "loaders/json_file.hpp"
#include "loaders/load_checkpoint.hpp"
#include "loaders/safetensors_writer.hpp"
#include "tests/loaders/temporary_folder.hpp"
#include "tests/loaders/thrown.hpp"

namespace ffmem {
namespace {

const std::filesystem::path kOracles = std::filesystem::path(FFMEM_TEST_DATA) / "hf";

/// The stored checkpoint `name` with the tensor `from` under the name `to`, and told to be tied or not.
void write_renamed(const TemporaryFolder& folder, const std::string& name, const std::string& from, const std::string& to,
                   bool tied) {
  nlohmann::json config = read_json_file(kOracles / name / "config.json");
  config["tie_word_embeddings"] = tied;
  folder.write("config.json", config.dump());
  const Checkpoint checkpoint(kOracles / name);
  std::vector<TensorToWrite> tensors;
  for (const auto& [tensor_name, tensor] : checkpoint.tensors()) {
    tensors.push_back({tensor_name == from ? to : tensor_name, tensor->dtype, tensor->shape, tensor->data});
  }
  write_safetensors(folder.path() / "model.safetensors", tensors);
}

}  // namespace

TEST_CASE("WeightSource: a tied matrix that the file has only under the output's name is the embedding too") {
  const std::array<std::pair<const char*, const char*>, 3> oracles{{{"gpt2", "transformer.wte.weight"},
                                                                    {"opt-preln", "model.decoder.embed_tokens.weight"},
                                                                    {"gemma2", "model.embed_tokens.weight"}}};
  for (const auto& [name, embedding] : oracles) {
    CAPTURE(name);
    const TemporaryFolder folder;
    write_renamed(folder, name, embedding, "lm_head.weight", true);
    const LoadedCheckpoint loaded = load_checkpoint(folder.path());
    CHECK(loaded.weights.token_embedding.data == loaded.weights.head.matrix.data);
    CHECK(loaded.weights.n_parameters == load_checkpoint(kOracles / name).weights.n_parameters);
  }
}

TEST_CASE("WeightSource: an embedding that is not tied must be there under its own name") {
  const TemporaryFolder folder;
  write_renamed(folder, "gpt2", "transformer.wte.weight", "lm_head.weight", false);
  const Error error = thrown([&] { load_checkpoint(folder.path()); });
  CHECK(error.code() == ErrorCode::tensor_missing);
  CHECK(contains(error.what(), "transformer.wte.weight"));
}

}  // namespace ffmem
