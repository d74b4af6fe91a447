// config.json as the well-known models publish it, older and newer spellings: each loads, and says what the model is.
#include <doctest/doctest.h>

#include <cmath>
#include <string>

#include "loaders/load_checkpoint.hpp"
#include "tests/loaders/temporary_folder.hpp"

namespace ffmem {
namespace {

ModelConfig load(const std::string& json) {
  const TemporaryFolder folder;
  return load_config(folder.write("config.json", json));
}

}  // namespace

TEST_CASE("published config: gpt2 is read as published") {
  const ModelConfig c = load(R"({"activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "attn_pdrop": 0.1,
    "bos_token_id": 50256, "embd_pdrop": 0.1, "eos_token_id": 50256, "initializer_range": 0.02, "layer_norm_epsilon": 1e-05,
    "model_type": "gpt2", "n_ctx": 1024, "n_embd": 768, "n_head": 12, "n_layer": 12, "n_positions": 1024, "resid_pdrop": 0.1,
    "summary_activation": null, "summary_first_dropout": 0.1, "summary_proj_to_labels": true, "summary_type": "cls_index",
    "summary_use_proj": true, "task_specific_params": {"text-generation": {"do_sample": true, "max_length": 50}},
    "vocab_size": 50257})");
  CHECK(c.d_model == 768);
  CHECK(c.d_memory == 3072);
  CHECK(c.max_positions == 1024);
  CHECK(c.activation == Activation::gelu_tanh);
  CHECK(c.eos == 50256);
}

TEST_CASE("published config: distilgpt2, which repeats fields of classification, is read as published") {
  const ModelConfig c = load(R"({"_num_labels": 1, "activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"],
    "attn_pdrop": 0.1, "bos_token_id": 50256, "embd_pdrop": 0.1, "eos_token_id": 50256, "id2label": {"0": "LABEL_0"},
    "initializer_range": 0.02, "label2id": {"LABEL_0": 0}, "layer_norm_epsilon": 1e-05, "model_type": "gpt2", "n_ctx": 1024,
    "n_embd": 768, "n_head": 12, "n_layer": 6, "n_positions": 1024, "resid_pdrop": 0.1, "summary_type": "cls_index",
    "vocab_size": 50257})");
  CHECK(c.n_layers == 6);
}

TEST_CASE("published config: gpt-neo-125m is read as published") {
  const ModelConfig c = load(R"({"activation_function": "gelu_new", "architectures": ["GPTNeoForCausalLM"],
    "attention_dropout": 0, "attention_layers": ["global", "local", "global", "local", "global", "local", "global", "local",
    "global", "local", "global", "local"], "attention_types": [[["global", "local"], 6]], "bos_token_id": 50256,
    "embed_dropout": 0, "eos_token_id": 50256, "gradient_checkpointing": false, "hidden_size": 768, "initializer_range": 0.02,
    "intermediate_size": null, "layer_norm_epsilon": 1e-05, "max_position_embeddings": 2048, "model_type": "gpt_neo",
    "num_heads": 12, "num_layers": 12, "resid_dropout": 0, "summary_activation": null, "summary_first_dropout": 0.1,
    "torch_dtype": "float32", "transformers_version": "4.9.0.dev0", "use_cache": true, "vocab_size": 50257,
    "window_size": 256})");
  CHECK(c.attention_scale[0] == 1.0F);
  CHECK(c.attention_window[0] == 0);
  CHECK(c.attention_window[1] == 256);
}

TEST_CASE("published config: gpt-j-6b is read as published") {
  const ModelConfig c = load(R"({"activation_function": "gelu_new", "architectures": ["GPTJForCausalLM"], "attn_pdrop": 0.0,
    "bos_token_id": 50256, "embd_pdrop": 0.0, "eos_token_id": 50256, "gradient_checkpointing": false,
    "initializer_range": 0.02, "layer_norm_epsilon": 1e-05, "model_type": "gptj", "n_embd": 4096, "n_head": 16, "n_inner": null,
    "n_layer": 28, "n_positions": 2048, "resid_pdrop": 0.0, "rotary": true, "rotary_dim": 64, "scale_attn_weights": true,
    "summary_activation": null, "task_specific_params": {"text-generation": {"do_sample": true}}, "tie_word_embeddings": false,
    "tokenizer_class": "GPT2Tokenizer", "transformers_version": "4.18.0.dev0", "use_cache": true, "vocab_size": 50400})");
  CHECK(c.wiring == Wiring::parallel);
  CHECK(c.rotary_layout == RotaryLayout::pairs);
  CHECK(c.rotary_inv_freq.size() == 32);
}

TEST_CASE("published config: pythia-70m is read as published") {
  const ModelConfig c = load(R"({"architectures": ["GPTNeoXForCausalLM"], "bos_token_id": 0, "eos_token_id": 0,
    "hidden_act": "gelu", "hidden_size": 512, "initializer_range": 0.02, "intermediate_size": 2048, "layer_norm_eps": 1e-05,
    "max_position_embeddings": 2048, "model_type": "gpt_neox", "num_attention_heads": 8, "num_hidden_layers": 6,
    "rotary_emb_base": 10000, "rotary_pct": 0.25, "tie_word_embeddings": false, "torch_dtype": "float16",
    "transformers_version": "4.24.0", "use_cache": true, "use_parallel_residual": true, "vocab_size": 50304})");
  CHECK(c.rotary_inv_freq.size() == 8);
  CHECK(c.activation == Activation::gelu);
}

TEST_CASE("published config: opt-125m and opt-350m are read as published") {
  const std::string rest = R"("_remove_final_layer_norm": false, "activation_dropout": 0.0, "activation_function": "relu",
    "architectures": ["OPTForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 2, "dropout": 0.1, "eos_token_id": 2,
    "init_std": 0.02, "layerdrop": 0.0, "max_position_embeddings": 2048, "model_type": "opt", "pad_token_id": 1,
    "prefix": "</s>", "torch_dtype": "float16", "transformers_version": "4.21.0.dev0", "use_cache": true, "vocab_size": 50272})";
  const ModelConfig small = load(R"({"do_layer_norm_before": true, "ffn_dim": 3072, "hidden_size": 768,
    "num_attention_heads": 12, "num_hidden_layers": 12, "word_embed_proj_dim": 768, )" +
                                 rest);
  CHECK(small.d_embedding == 768);
  CHECK(small.position_offset == 2);
  const ModelConfig medium = load(R"({"do_layer_norm_before": false, "ffn_dim": 4096, "hidden_size": 1024,
    "num_attention_heads": 16, "num_hidden_layers": 24, "word_embed_proj_dim": 512, )" +
                                  rest);
  CHECK(medium.d_embedding == 512);
}

TEST_CASE("published config: bloom-560m is read as published") {
  const ModelConfig c = load(R"({"apply_residual_connection_post_layernorm": false, "attention_dropout": 0.0,
    "attention_softmax_in_fp32": true, "architectures": ["BloomForCausalLM"], "bias_dropout_fusion": true, "bos_token_id": 1,
    "eos_token_id": 2, "hidden_dropout": 0.0, "initializer_range": 0.02, "layer_norm_epsilon": 1e-05,
    "masked_softmax_fusion": true, "model_type": "bloom", "n_embed": 1024, "n_inner": null, "n_layer": 24,
    "num_attention_heads": 16, "offset_alibi": 100, "pad_token_id": 3, "pretraining_tp": 1, "seq_length": 2048,
    "skip_bias_add": true, "skip_bias_add_qkv": false, "slow_but_exact": false, "transformers_version": "4.20.0",
    "unk_token_id": 0, "use_cache": true, "vocab_size": 250880})");
  CHECK(c.d_model == 1024);
  CHECK(c.n_heads == 16);
  CHECK(c.alibi_slopes[0] == doctest::Approx(std::exp2(-0.5)));
}

TEST_CASE("published config: llama 2 and llama 3.1 are read as published") {
  const ModelConfig two = load(R"({"_name_or_path": "meta-llama/Llama-2-7b-hf", "architectures": ["LlamaForCausalLM"],
    "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02,
    "intermediate_size": 11008, "max_position_embeddings": 4096, "model_type": "llama", "num_attention_heads": 32,
    "num_hidden_layers": 32, "num_key_value_heads": 32, "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": null,
    "tie_word_embeddings": false, "torch_dtype": "float16", "transformers_version": "4.31.0.dev0", "use_cache": true,
    "vocab_size": 32000})");
  CHECK(two.head_dim == 128);
  CHECK(two.gated);
  const ModelConfig three = load(R"({"architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
    "bos_token_id": 128000, "eos_token_id": [128001, 128008, 128009], "hidden_act": "silu", "hidden_size": 2048,
    "head_dim": 64, "initializer_range": 0.02, "intermediate_size": 8192, "max_position_embeddings": 131072, "mlp_bias": false,
    "model_type": "llama", "num_attention_heads": 32, "num_hidden_layers": 16, "num_key_value_heads": 8, "pretraining_tp": 1,
    "rms_norm_eps": 1e-05, "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
    "original_max_position_embeddings": 8192, "rope_type": "llama3"}, "rope_theta": 500000.0, "tie_word_embeddings": true,
    "torch_dtype": "bfloat16", "transformers_version": "4.45.0.dev0", "use_cache": true, "vocab_size": 128256})");
  CHECK(three.n_kv_heads == 8);
  CHECK(three.eos == 128001);
  CHECK(three.all_eos.size() == 3);
  CHECK(three.rotary_inv_freq[0] == 1.0F);
  CHECK(three.rotary_inv_freq[31] == doctest::Approx(std::pow(500000.0, -31.0 / 32.0) / 32.0));
}

TEST_CASE("published config: llama 1, whose file has few fields, is read as published") {
  const ModelConfig c = load(R"({"architectures": ["LlamaForCausalLM"], "bos_token_id": 1, "eos_token_id": 2,
    "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02, "intermediate_size": 11008,
    "max_position_embeddings": 2048, "max_sequence_length": 2048, "model_type": "llama", "num_attention_heads": 32,
    "num_hidden_layers": 32, "pad_token_id": 0, "rms_norm_eps": 1e-06, "tie_word_embeddings": false, "torch_dtype": "float16",
    "transformers_version": "4.28.0", "use_cache": true, "vocab_size": 32000})");
  CHECK(c.n_kv_heads == 32);
}

TEST_CASE("published config: smollm2-135m is read as published") {
  const ModelConfig c = load(R"({"architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
    "bos_token_id": 0, "eos_token_id": 0, "hidden_act": "silu", "hidden_size": 576, "initializer_range": 0.041666666666666664,
    "intermediate_size": 1536, "is_llama_config": true, "max_position_embeddings": 8192, "model_type": "llama",
    "num_attention_heads": 9, "num_hidden_layers": 30, "num_key_value_heads": 3, "pretraining_tp": 1, "rms_norm_eps": 1e-05,
    "rope_interleaved": false, "rope_scaling": null, "rope_theta": 100000, "tie_word_embeddings": true,
    "torch_dtype": "bfloat16", "transformers.js_config": {"kv_cache_dtype": {"q4f16": "float16"}},
    "transformers_version": "4.40.1", "use_cache": true, "vocab_size": 49152})");
  CHECK(c.head_dim == 64);
}

TEST_CASE("published config: mistral-7b, first and third version, is read as published") {
  const std::string rest = R"("architectures": ["MistralForCausalLM"], "bos_token_id": 1, "eos_token_id": 2,
    "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02, "intermediate_size": 14336,
    "max_position_embeddings": 32768, "model_type": "mistral", "num_attention_heads": 32, "num_hidden_layers": 32,
    "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "tie_word_embeddings": false, "torch_dtype": "bfloat16",
    "transformers_version": "4.34.0.dev0", "use_cache": true, "vocab_size": 32000})";
  CHECK(load(R"({"rope_theta": 10000.0, "sliding_window": 4096, )" + rest).attention_window[31] == 4096);
  CHECK(load(R"({"rope_theta": 1000000.0, "sliding_window": null, "attention_dropout": 0.0, )" + rest).attention_window[31] ==
        0);
}

TEST_CASE("published config: qwen2.5-0.5b is read as published") {
  const ModelConfig c = load(R"({"architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 151643,
    "eos_token_id": 151643, "hidden_act": "silu", "hidden_size": 896, "initializer_range": 0.02, "intermediate_size": 4864,
    "max_position_embeddings": 32768, "max_window_layers": 24, "model_type": "qwen2", "num_attention_heads": 14,
    "num_hidden_layers": 24, "num_key_value_heads": 2, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "sliding_window": 32768,
    "tie_word_embeddings": true, "torch_dtype": "bfloat16", "transformers_version": "4.40.1", "use_cache": true,
    "use_mrope": false, "use_sliding_window": false, "vocab_size": 151936})");
  CHECK(c.head_dim == 64);
  CHECK(c.attention_window[23] == 0);
}

TEST_CASE("published config: qwen3-0.6b is read as published") {
  const ModelConfig c = load(R"({"architectures": ["Qwen3ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
    "bos_token_id": 151643, "eos_token_id": 151645, "head_dim": 128, "hidden_act": "silu", "hidden_size": 1024,
    "initializer_range": 0.02, "intermediate_size": 3072, "max_position_embeddings": 40960, "max_window_layers": 28,
    "model_type": "qwen3", "num_attention_heads": 16, "num_hidden_layers": 28, "num_key_value_heads": 8, "rms_norm_eps": 1e-06,
    "rope_scaling": null, "rope_theta": 1000000, "sliding_window": null, "tie_word_embeddings": true,
    "torch_dtype": "bfloat16", "transformers_version": "4.51.0", "use_cache": true, "use_sliding_window": false,
    "vocab_size": 151936})");
  CHECK(c.n_heads * c.head_dim == 2048);
}

TEST_CASE("published config: phi-2 is read as published") {
  const ModelConfig c = load(R"({"_name_or_path": "microsoft/phi-2", "architectures": ["PhiForCausalLM"],
    "attention_dropout": 0.0, "bos_token_id": 50256, "embd_pdrop": 0.0, "eos_token_id": 50256, "hidden_act": "gelu_new",
    "hidden_size": 2560, "initializer_range": 0.02, "intermediate_size": 10240, "layer_norm_eps": 1e-05,
    "max_position_embeddings": 2048, "model_type": "phi", "num_attention_heads": 32, "num_hidden_layers": 32,
    "num_key_value_heads": 32, "partial_rotary_factor": 0.4, "qk_layernorm": false, "resid_pdrop": 0.1, "rope_scaling": null,
    "rope_theta": 10000.0, "tie_word_embeddings": false, "torch_dtype": "float16", "transformers_version": "4.37.0",
    "use_cache": true, "vocab_size": 51200})");
  CHECK(c.rotary_inv_freq.size() == 16);
}

TEST_CASE("published config: gemma-2-2b is read as published") {
  const ModelConfig c = load(R"({"architectures": ["Gemma2ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
    "attn_logit_softcapping": 50.0, "bos_token_id": 2, "cache_implementation": "hybrid", "eos_token_id": [1, 107],
    "final_logit_softcapping": 30.0, "head_dim": 256, "hidden_act": "gelu_pytorch_tanh",
    "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 2304, "initializer_range": 0.02, "intermediate_size": 9216,
    "max_position_embeddings": 8192, "model_type": "gemma2", "num_attention_heads": 8, "num_hidden_layers": 26,
    "num_key_value_heads": 4, "pad_token_id": 0, "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06, "rope_theta": 10000.0,
    "sliding_window": 4096, "sliding_window_size": 4096, "torch_dtype": "float32", "transformers_version": "4.42.4",
    "use_cache": true, "vocab_size": 256000})");
  CHECK(c.embedding_scale == 48.0F);
  CHECK(c.attention_scale[0] == 1.0F / 16.0F);
  CHECK(c.attention_window[0] == 4096);
  CHECK(c.attention_window[1] == 0);
  CHECK(c.final_softcap == 30.0F);
}

TEST_CASE("published config: starcoder, of the older GPT-BigCode family, is read as published") {
  const ModelConfig c = load(R"({"activation_function": "gelu", "architectures": ["GPTBigCodeForCausalLM"],
    "attention_softmax_in_fp32": true, "attn_pdrop": 0.1, "bos_token_id": 0, "embd_pdrop": 0.1, "eos_token_id": 0,
    "inference_runner": 0, "initializer_range": 0.02, "layer_norm_epsilon": 1e-05, "max_batch_size": null,
    "max_sequence_length": null, "model_type": "gpt_bigcode", "multi_query": true, "n_embd": 6144, "n_head": 48,
    "n_inner": 24576, "n_layer": 40, "n_positions": 8192, "pad_key_length": true, "pre_allocate_kv_cache": false,
    "resid_pdrop": 0.1, "scale_attention_softmax_in_fp32": true, "scale_attn_weights": true, "summary_activation": null,
    "torch_dtype": "float32", "transformers_version": "4.28.1", "use_cache": true, "validate_runner_input": true,
    "vocab_size": 49152})");
  CHECK(c.n_kv_heads == 1);
  CHECK(c.activation == Activation::gelu);
}

TEST_CASE("published config: starcoder2-3b, whose activation_function nothing reads, is read as published") {
  const ModelConfig c = load(R"({"activation_function": "gelu", "architectures": ["Starcoder2ForCausalLM"],
    "attention_dropout": 0.1, "attention_softmax_in_fp32": true, "bos_token_id": 0, "embedding_dropout": 0.1,
    "eos_token_id": 0, "hidden_act": "gelu_pytorch_tanh", "hidden_size": 3072, "initializer_range": 0.018042,
    "intermediate_size": 12288, "layer_norm_epsilon": 1e-05, "max_position_embeddings": 16384, "mlp_type": "default",
    "model_type": "starcoder2", "norm_epsilon": 1e-05, "norm_type": "layer_norm", "num_attention_heads": 24,
    "num_hidden_layers": 30, "num_key_value_heads": 2, "residual_dropout": 0.1, "rope_theta": 999999.4420358813,
    "scale_attention_softmax_in_fp32": true, "scale_attn_weights": true, "sliding_window": 4096,
    "transformers_version": "4.37.0.dev0", "use_bias": true, "use_cache": true, "vocab_size": 49152})");
  CHECK(c.activation == Activation::gelu_tanh);
  CHECK(!c.gated);
}

TEST_CASE("published config: olmo-2-1b is read as published") {
  const ModelConfig c = load(R"({"architectures": ["Olmo2ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
    "eos_token_id": 100257, "hidden_act": "silu", "hidden_size": 2048, "initializer_range": 0.02, "intermediate_size": 8192,
    "max_position_embeddings": 4096, "model_type": "olmo2", "num_attention_heads": 16, "num_hidden_layers": 16,
    "num_key_value_heads": 16, "pad_token_id": 100277, "rms_norm_eps": 1e-06, "rope_scaling": null, "rope_theta": 500000,
    "tie_word_embeddings": false, "torch_dtype": "float32", "transformers_version": "4.48.0", "use_cache": false,
    "vocab_size": 100352})");
  CHECK(!c.bos);
  CHECK(c.norm == NormKind::rms_norm);
}

TEST_CASE("published config: falcon-7b and falcon-40b are read as published") {
  const std::string rest = R"("alibi": false, "apply_residual_connection_post_layernorm": false,
    "architectures": ["FalconForCausalLM"], "attention_dropout": 0.0, "auto_map": {"AutoConfig": "configuration_falcon.FalconConfig"},
    "bias": false, "bos_token_id": 11, "eos_token_id": 11, "hidden_dropout": 0.0, "initializer_range": 0.02,
    "layer_norm_epsilon": 1e-05, "model_type": "falcon", "parallel_attn": true, "torch_dtype": "bfloat16",
    "transformers_version": "4.27.4", "use_cache": true, "vocab_size": 65024})";
  const ModelConfig seven = load(R"({"hidden_size": 4544, "multi_query": true, "new_decoder_architecture": false,
    "num_attention_heads": 71, "num_hidden_layers": 32, )" +
                                 rest);
  CHECK(seven.n_kv_heads == 1);
  CHECK(seven.d_memory == 4 * 4544);
  const ModelConfig forty = load(R"({"hidden_size": 8192, "new_decoder_architecture": true, "num_attention_heads": 128,
    "num_hidden_layers": 60, "num_kv_heads": 8, )" +
                                 rest);
  CHECK(forty.n_kv_heads == 8);
}

TEST_CASE("published config: fairseq's transformer_lm_wiki103, whose arguments have no model_type, is read as published") {
  const ModelConfig c = load(R"({"arch": "transformer_lm_wiki103", "activation_fn": "relu", "dropout": 0.3,
    "attention_dropout": 0.1, "activation_dropout": 0.1, "decoder_embed_dim": 1024, "decoder_input_dim": 1024,
    "decoder_output_dim": 1024, "decoder_ffn_embed_dim": 4096, "decoder_layers": 16, "decoder_attention_heads": 8,
    "decoder_normalize_before": true, "no_decoder_final_norm": true, "adaptive_input": true,
    "adaptive_input_cutoff": "20000,60000", "adaptive_input_factor": 4, "adaptive_softmax_cutoff": "20000,60000",
    "adaptive_softmax_factor": 4, "adaptive_softmax_dropout": 0.2, "tie_adaptive_weights": true, "tie_adaptive_proj": true,
    "character_embeddings": false, "add_bos_token": false, "tokens_per_sample": 3072, "max_target_positions": 3072,
    "_not_fairseq_args": {"vocab_size": 267744}})");
  CHECK(c.adaptive_cutoffs == std::vector<std::size_t>{20000, 60000});
  CHECK(c.embedding_scale == 32.0F);
  CHECK(c.bos == 2);
}

}  // namespace ffmem
