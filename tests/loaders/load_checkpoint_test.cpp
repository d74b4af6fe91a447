// From a folder to configuration and weights: both spellings of config.json, and what is refused with which words. That the
// numbers come out right is tests/runtime/oracle_test.cpp's part.
#include "loaders/load_checkpoint.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <string>

#include "loaders/json_file.hpp"
#include "tests/loaders/temporary_folder.hpp"
#include "tests/loaders/thrown.hpp"

namespace ffmem {
namespace {

const std::filesystem::path kOracles = std::filesystem::path(FFMEM_TEST_DATA) / "hf";

/// The stored checkpoint `name` with fields of its configuration changed; null removes one.
class ChangedCheckpoint {
 public:
  ChangedCheckpoint(const std::string& name, const nlohmann::json& changes) {
    for (const auto& entry : std::filesystem::directory_iterator(kOracles / name)) {
      if (entry.path().extension() != ".safetensors") continue;
      std::filesystem::create_symlink(entry.path(), folder_.path() / entry.path().filename());
    }
    nlohmann::json config = read_json_file(kOracles / name / "config.json");
    for (const auto& [key, value] : changes.items()) {
      if (value.is_null()) {
        config.erase(key);
      } else {
        config[key] = value;
      }
    }
    folder_.write("config.json", config.dump());
  }

  const std::filesystem::path& path() const { return folder_.path(); }
  void write(const std::string& name, const std::string& bytes) const { folder_.write(name, bytes); }

 private:
  TemporaryFolder folder_;
};

Error error_of(const std::string& name, const nlohmann::json& changes) {
  const ChangedCheckpoint checkpoint(name, changes);
  return thrown([&] { load_checkpoint(checkpoint.path()); });
}

void check_refused(const std::string& name, const nlohmann::json& changes, ErrorCode code, const std::string& words) {
  CAPTURE(name);
  const std::string changed = changes.dump();
  CAPTURE(changed);
  const Error error = error_of(name, changes);
  CHECK(error.code() == code);
  CHECK_MESSAGE(contains(error.what(), words), error.what());
}

void check_same(const ModelConfig& a, const ModelConfig& b) {
  CHECK(a.max_positions == b.max_positions);
  CHECK(a.n_kv_heads == b.n_kv_heads);
  CHECK(a.head_dim == b.head_dim);
  CHECK(a.attention_scale == b.attention_scale);
  CHECK(a.attention_window == b.attention_window);
  CHECK(a.rotary_inv_freq == b.rotary_inv_freq);
  CHECK(a.activation == b.activation);
  CHECK(a.norm_epsilon == b.norm_epsilon);
}

}  // namespace

TEST_CASE("load_config: the spelling of transformers 4 means the same model as that of 5") {
  std::size_t n = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kOracles)) {
    const std::filesystem::path legacy = entry.path() / "config.legacy.json";
    if (!std::filesystem::exists(legacy)) continue;
    CAPTURE(legacy);
    check_same(load_config(legacy), load_config(entry.path() / "config.json"));
    ++n;
  }
  CHECK(n > 10);
}

TEST_CASE("load_config: rope_scaling wins over rope_parameters, a theta inside either over one outside") {
  const ChangedCheckpoint plain("llama", {{"rope_theta", 77.0}});
  const ChangedCheckpoint scaled("llama", {{"rope_scaling", {{"type", "linear"}, {"factor", 4.0}, {"rope_theta", 10000.0}}}});
  const ModelConfig original = load_config(kOracles / "llama" / "config.json");
  CHECK(load_config(plain.path() / "config.json").rotary_inv_freq == original.rotary_inv_freq);
  CHECK(load_config(scaled.path() / "config.json").rotary_inv_freq[0] == 0.25F);
}

TEST_CASE("load_config: null and absence mean what each configuration class makes of them") {
  const auto window = [](const nlohmann::json& changes) {
    const ChangedCheckpoint changed("mistral", changes);
    return load_config(changed.path() / "config.json").attention_window[0];
  };
  CHECK(window({{"sliding_window", nullptr}}) == 4096);  // removed
  const TemporaryFolder folder;
  nlohmann::json config = read_json_file(kOracles / "mistral" / "config.json");
  config["sliding_window"] = nullptr;
  CHECK(load_config(folder.write("config.json", config.dump())).attention_window[0] == 0);
}

TEST_CASE("load_checkpoint: a generation ends at the tokens of generation_config.json, or else at config.json's") {
  const ChangedCheckpoint changed("llama", {{"eos_token_id", 7}});
  const auto all_eos = [&](const std::string& json) {
    changed.write("generation_config.json", json);
    const ModelConfig config = load_checkpoint(changed.path()).config;
    CHECK(config.eos == 7);
    return config.all_eos;
  };
  CHECK(load_checkpoint(changed.path()).config.all_eos == std::vector<TokenId>{7});
  CHECK(all_eos(R"({"eos_token_id": [2, 56], "bos_token_id": 1})") == std::vector<TokenId>{2, 56});
  CHECK(all_eos(R"({"eos_token_id": 5})") == std::vector<TokenId>{5});
  CHECK(all_eos(R"({"eos_token_id": null})") == std::vector<TokenId>{7});
  CHECK(all_eos(R"({"temperature": 0.6})") == std::vector<TokenId>{7});
  for (const char* json : {R"({"eos_token_id": "2"})", R"({"eos_token_id": [2, -1]})", R"({"eos_token_id": 2.5})"}) {
    const Error error = thrown([&] { all_eos(json); });
    CHECK(error.code() == ErrorCode::config_invalid);
    CHECK(contains(error.what(), "generation_config.json: eos_token_id: expected a token id, a list of them, or null"));
  }
  CHECK(thrown([&] { all_eos("[]"); }).code() == ErrorCode::config_invalid);
  CHECK(thrown([&] { all_eos("{"); }).code() == ErrorCode::json_invalid);
}

TEST_CASE("load_checkpoint: variants that are not implemented are refused by the name of their field") {
  const auto unsupported = ErrorCode::config_unsupported;
  check_refused("llama", {{"rope_parameters", {{"rope_type", "yarn"}, {"factor", 4.0}}}}, unsupported, "rope_type: rotary");
  check_refused("llama", {{"rope_scaling", {{"type", "dynamic"}, {"factor", 2.0}}}}, unsupported, "\"dynamic\"");
  check_refused("llama", {{"rope_scaling", {{"type", "linear"}, {"factor", 2.0}, {"mscale", 1.0}}}}, unsupported,
                "rope_scaling.mscale");
  check_refused("llama", {{"rope_interleaved", true}}, unsupported, "rope_interleaved");
  check_refused("llama", {{"partial_rotary_factor", 0.5}}, unsupported, "partial_rotary_factor");
  check_refused("llama", {{"num_local_experts", 8}}, unsupported, "num_local_experts");
  check_refused("llama", {{"quantization_config", {{"bits", 4}}}}, unsupported, "quantization_config");
  check_refused("phi", {{"qk_layernorm", true}}, unsupported, "qk_layernorm");
  check_refused("falcon-7bstyle", {{"alibi", true}}, unsupported, "alibi");
  check_refused("bloom", {{"apply_residual_connection_post_layernorm", true}}, unsupported,
                "apply_residual_connection_post_layernorm");
  check_refused("falcon-newarch", {{"parallel_attn", false}}, unsupported, "parallel_attn: only true");
  check_refused("bloom", {{"slow_but_exact", true}, {"pretraining_tp", 2}}, unsupported, "slow_but_exact");
  check_refused("gpt2", {{"add_cross_attention", true}}, unsupported, "add_cross_attention");
  check_refused("starcoder2", {{"mlp_type", "gated"}}, unsupported, "mlp_type");
  check_refused("gemma2", {{"use_bidirectional_attention", true}}, unsupported, "use_bidirectional_attention");
}

TEST_CASE("load_checkpoint: norms may have no epsilon") {
  const ChangedCheckpoint changed("gpt2", {{"layer_norm_epsilon", 0}});
  CHECK(load_checkpoint(changed.path()).config.norm_epsilon == 0.0F);
}

TEST_CASE("load_checkpoint: configurations larger than any are refused before they are read") {
  for (const char* name : {"config.json", "generation_config.json"}) {
    const ChangedCheckpoint changed("gpt2", {});
    if (name == std::string("generation_config.json")) changed.write(name, "{}");
    std::filesystem::resize_file(changed.path() / name, (1 << 24) + 1);  // a hole, which takes no room
    const Error error = thrown([&] { load_checkpoint(changed.path()); });
    CHECK(error.code() == ErrorCode::json_invalid);
    CHECK(contains(error.what(), concat(name, ": expected at most 16777216 bytes, found 16777217")));
  }
}

TEST_CASE("load_checkpoint: a generation_config.json that is a link to nothing is not taken for absent") {
  const ChangedCheckpoint changed("gpt2", {});
  std::filesystem::create_symlink("nowhere", changed.path() / "generation_config.json");
  const Error error = thrown([&] { load_checkpoint(changed.path()); });
  CHECK(error.code() == ErrorCode::file_unreadable);
  CHECK(contains(error.what(), "generation_config.json: cannot read: it is a link to nothing"));
}

TEST_CASE("load_checkpoint: names in messages are cut") {
  const std::string name(10'000, 'n');
  for (const auto& changes : {nlohmann::json{{"model_type", name}}, {{"activation_function", name}}, {{name, 1}}}) {
    const std::string message = error_of("gpt2", changes).what();
    CHECK(contains(message, "nnn..."));
    CHECK(message.size() < 1000);
  }
}

TEST_CASE("load_checkpoint: fields that contradict each other or mean nothing are refused by name") {
  const auto invalid = ErrorCode::config_invalid;
  check_refused("gpt2", {{"n_head", 7}}, invalid, "n_head: expected a divisor");
  check_refused("gpt2", {{"n_layer", -1}}, invalid, "n_layer");
  check_refused("gpt2", {{"n_layer", nullptr}}, invalid, "n_layer");
  check_refused("gpt2", {{"n_embd", 0}}, invalid, "config.json: n_embd (model width): expected 1 to 1048576, found 0");
  check_refused("gpt2", {{"n_inner", 0}}, invalid, "n_inner (memories a layer)");
  check_refused("opt-preln", {{"ffn_dim", 1 << 25}}, invalid, "ffn_dim (memories a layer)");
  check_refused("gpt2", {{"n_embd", 1 << 23}}, invalid, "n_embd (model width)");
  check_refused("gpt2", {{"layer_norm_epsilon", -1.5}}, invalid, "epsilon: expected a number from 0 and below 1, found -1.5");
  check_refused("gpt2", {{"layer_norm_epsilon", 1}}, invalid, "epsilon: expected a number from 0 and below 1, found 1");
  check_refused("llama", {{"rms_norm_eps", 1e38}}, invalid, "epsilon: expected a number from 0 and below 1, found 1e+38");
  check_refused("llama", {{"num_key_value_heads", 3}}, invalid, "num_key_value_heads");
  check_refused("llama", {{"rope_parameters", {{"rope_type", "linear"}, {"factor", 0.0}}}}, invalid, "factor");
  check_refused(
      "llama",
      {{"rope_parameters", {{"rope_type", "llama3"}, {"factor", 8.0}, {"low_freq_factor", 4.0}, {"high_freq_factor", 4.0}}}},
      invalid, "low_freq_factor");
  check_refused("qwen2-swa", {{"layer_types", {"full_attention"}}}, invalid, "layer_types: expected a list of 3");
  check_refused("qwen2-swa", {{"layer_types", {"full_attention", "chunked_attention", "full_attention"}}}, invalid,
                "layer_types");
  const nlohmann::json endless = {{{"global", "local"}, 1000000000}};
  const nlohmann::json unknown = {{{"global", "sparse"}, 1}};
  check_refused("gpt_neo", {{"attention_layers", nullptr}, {"attention_types", endless}}, invalid, "attention_types");
  check_refused("gpt_neo", {{"attention_layers", nullptr}, {"attention_types", unknown}}, invalid, "attention_types");
  check_refused("gemma2", {{"attn_logit_softcapping", -1.0}}, invalid, "attn_logit_softcapping");
  check_refused("gemma2", {{"final_logit_softcapping", -1.0}}, invalid, "final_logit_softcapping");
  check_refused("gemma2", {{"attn_logit_softcapping", 0.0}}, invalid, "attn_logit_softcapping: expected a number above 0");
  check_refused("gemma2", {{"final_logit_softcapping", 0.0}}, invalid, "final_logit_softcapping: expected a number above 0");
  check_refused("mistral", {{"sliding_window", 0}}, invalid, "sliding_window: expected at least 1");
  check_refused("qwen2-swa", {{"sliding_window", 0}}, invalid, "sliding_window: expected at least 1");
  check_refused("gpt_neo", {{"window_size", 0}}, invalid, "window_size: expected at least 1");
  check_refused("gpt_neo", {{"attention_layers", {"global", "sparse", "local"}}}, invalid, "attention_layers: expected a list");
  check_refused("bloom", {{"num_attention_heads", 2}}, invalid, "num_attention_heads: expected ");
  check_refused("bloom", {{"num_hidden_layers", 7}}, invalid, "num_hidden_layers: expected ");
  check_refused("gptj", {{"rotary_dim", 5}}, invalid, "rotary_dim");
  check_refused("gpt2", {{"eos_token_id", "end"}}, invalid, "eos_token_id");
}

TEST_CASE("load_config: is_causal that is false or null is refused, for every position would see those behind it") {
  const TemporaryFolder folder;
  for (const char* name : {"gpt2", "llama", "bloom"}) {
    nlohmann::json config = read_json_file(kOracles / name / "config.json");
    for (const nlohmann::json& value : {nlohmann::json(false), nlohmann::json()}) {
      config["is_causal"] = value;
      const Error error = thrown([&] { load_config(folder.write("config.json", config.dump())); });
      CHECK(error.code() == ErrorCode::config_unsupported);
      CHECK(contains(error.what(), "config.json: is_causal: only true is supported"));
    }
    config["is_causal"] = true;
    CHECK_NOTHROW(load_config(folder.write("config.json", config.dump())));
  }
}

TEST_CASE("load_config: falcon's flags that are null are off, absent ones on") {
  const TemporaryFolder folder;
  nlohmann::json config = read_json_file(kOracles / "falcon-7bstyle" / "config.json");
  const auto load = [&] { return load_config(folder.write("config.json", config.dump())); };
  config.erase("parallel_attn");
  config.erase("multi_query");
  CHECK(load().wiring == Wiring::parallel);
  CHECK(load().n_kv_heads == 1);
  config["parallel_attn"] = config["multi_query"] = nullptr;
  CHECK(load().wiring == Wiring::sequential);
  CHECK(load().n_kv_heads == load().n_heads);
}

TEST_CASE("load_config: gpt_neo's attention_layers win over attention_types, and a window counts where a layer has it") {
  const TemporaryFolder folder;
  nlohmann::json config = read_json_file(kOracles / "gpt_neo" / "config.json");
  const auto windows = [&] { return load_config(folder.write("config.json", config.dump())).attention_window; };
  config["num_layers"] = 2;
  config["window_size"] = 3;
  config["attention_types"] = {{{"global", "local"}, 1}};
  config.erase("attention_layers");
  CHECK(windows() == std::vector<std::size_t>{0, 3});
  config["attention_layers"] = {"local", "global"};
  CHECK(windows() == std::vector<std::size_t>{3, 0});
  config["attention_layers"] = {"global", "global"};
  config["window_size"] = 0;
  CHECK(windows() == std::vector<std::size_t>{0, 0});
}

TEST_CASE("load_config: bloom's sizes may stand under either name, or under both alike") {
  const TemporaryFolder folder;
  nlohmann::json config = read_json_file(kOracles / "bloom" / "config.json");
  const auto load = [&] { return load_config(folder.write("config.json", config.dump())); };
  const std::size_t n_heads = load().n_heads;
  config["num_attention_heads"] = n_heads;
  CHECK(load().n_heads == n_heads);
  config.erase("n_head");
  CHECK(load().n_heads == n_heads);
  config["slow_but_exact"] = true;
  config["pretraining_tp"] = 1;
  CHECK_NOTHROW(load());
}

TEST_CASE("load_checkpoint: unknown families and activations are refused, listing the known") {
  check_refused("gpt2", {{"model_type", "mamba"}}, ErrorCode::family_unknown, "gpt_neox");
  check_refused("gpt2", {{"activation_function", "gleu"}}, ErrorCode::activation_unknown, "gelu_new");
}

TEST_CASE("load_checkpoint: a tensor that is missing or of another shape is named with both shapes") {
  check_refused("gpt2", {{"n_inner", 97}}, ErrorCode::tensor_shape,
                "h.0.mlp.c_fc.weight: expected shape [24, 97], found [24, 96]");
  check_refused("gpt2", {{"n_layer", 3}}, ErrorCode::tensor_missing, "transformer.h.2.ln_1.weight");
  check_refused("gpt2", {{"n_layer", 1}}, ErrorCode::config_invalid, "transformer.h.1.");
  check_refused("llama", {{"num_hidden_layers", 1}}, ErrorCode::config_invalid, "expected the layers 0 to 0");
  check_refused("llama", {{"attention_bias", true}}, ErrorCode::tensor_missing, "self_attn.q_proj.bias");
}

TEST_CASE("load_checkpoint: no output matrix is an error where the embedding is not shared, a stored one wins where it is") {
  check_refused("gpt2", {{"tie_word_embeddings", false}}, ErrorCode::tensor_missing, "lm_head.weight");
  const ChangedCheckpoint checkpoint("gpt2-untied", {{"tie_word_embeddings", true}});
  const LoadedCheckpoint loaded = load_checkpoint(checkpoint.path());
  CHECK(loaded.weights.head.matrix.data != loaded.weights.token_embedding.data);
}

TEST_CASE("load_checkpoint: what dropouts, tasks and generation settings say changes nothing") {
  const ChangedCheckpoint checkpoint("gpt2", {{"attn_pdrop", 0.9},
                                              {"temperature", 0.1},
                                              {"num_labels", 3},
                                              {"summary_type", "mean"},
                                              {"_attn_implementation", "flash"},
                                              {"unsloth_version", "2025.9.1"},
                                              {"some_new_switch", false}});
  CHECK(load_checkpoint(checkpoint.path()).weights.n_parameters == load_checkpoint(kOracles / "gpt2").weights.n_parameters);
}

TEST_CASE("load_checkpoint: parameters are counted once, stored types listed by their bytes") {
  const LoadedCheckpoint tied = load_checkpoint(kOracles / "gpt2");
  constexpr std::size_t kWidth = 24;
  constexpr std::size_t kLayer = 12 * kWidth * kWidth + 13 * kWidth;
  CHECK(tied.weights.n_parameters == 64 * kWidth + 32 * kWidth + 2 * kLayer + 2 * kWidth);
  CHECK(tied.weights.stored_dtypes == "F32");
  CHECK(load_checkpoint(kOracles / "gpt2-bf16").weights.stored_dtypes == "BF16");
}

TEST_CASE("load_checkpoint: fairseq's arguments are refused by name where they ask for what is not there") {
  const TemporaryFolder folder;
  const auto refused = [&](const nlohmann::json& changes) {
    nlohmann::json config = read_json_file(std::filesystem::path(FFMEM_TEST_DATA) / "fairseq" / "adaptive" / "config.json");
    config.update(changes);
    const std::filesystem::path path = folder.write("config.json", config.dump());
    return std::string(thrown([&] { load_config(path); }).what());
  };
  CHECK(contains(refused({{"adaptive_softmax_cutoff", "24,41"}}), "adaptive_softmax_cutoff"));
  CHECK(contains(refused({{"adaptive_input_cutoff", "40,24"}}), "adaptive_input_cutoff: expected ascending"));
  CHECK(contains(refused({{"adaptive_input_cutoff", "24;40"}}), "adaptive_input_cutoff"));
  CHECK(contains(refused({{"adaptive_input", false}}), "adaptive_input"));
  CHECK(contains(refused({{"decoder_input_dim", 8}}), "decoder_input_dim"));
  CHECK(contains(refused({{"character_embeddings", true}}), "character_embeddings"));
  // Sines and cosines of two or three dimensions have no frequencies between the first and the last.
  CHECK(contains(
      refused({{"decoder_embed_dim", 2}, {"decoder_input_dim", 2}, {"decoder_output_dim", 2}, {"decoder_attention_heads", 1}}),
      "decoder_embed_dim: expected at least 4"));
  CHECK(contains(refused({{"decoder_layers_to_keep", "0,1"}}), "decoder_layers_to_keep"));
}

TEST_CASE("load_checkpoint: fairseq's widths are at least 1") {
  const TemporaryFolder folder;
  const auto refused = [&](const std::string& oracle, const nlohmann::json& changes) {
    const std::filesystem::path from = std::filesystem::path(FFMEM_TEST_DATA) / "fairseq" / oracle;
    nlohmann::json config = read_json_file(from / "config.json");
    config.update(changes);
    std::filesystem::copy_file(from / "model.safetensors", folder.path() / "model.safetensors",
                               std::filesystem::copy_options::overwrite_existing);
    folder.write("config.json", config.dump());
    return std::string(thrown([&] { load_checkpoint(folder.path()); }).what());
  };
  CHECK(contains(refused("plain", {{"decoder_output_dim", 0}}), "decoder_output_dim: expected a width of at least 1"));
  CHECK(contains(refused("adaptive", {{"adaptive_input_factor", 1e6}, {"adaptive_softmax_factor", 1e6}}),
                 "adaptive_input_factor"));
}

}  // namespace ffmem
