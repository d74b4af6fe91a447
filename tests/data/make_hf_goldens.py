#!/usr/bin/env python3
"""Makes tests/data/hf: one tiny random checkpoint for every variant of every family, with reference numbers (hf_oracle.py).

    python tests/data/make_hf_goldens.py [NAME ...]

in an environment with torch, transformers 5 and safetensors. Weights depend on torch's random generator, so another
version of it may write other, equally valid files.
"""

import sys
from pathlib import Path

import torch
from hf_oracle import draw_sequences, edit_checkpoint, make_model, write_oracle

LENGTHS = (1, 5, 12)
SMALLEST_MARGIN = 2e-3  # between a greedy token and the second best: ten times the tests' tolerance

TOKENS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": None}
GPT2 = {"n_embd": 24, "n_layer": 2, "n_head": 4, "n_positions": 32, "vocab_size": 64, **TOKENS}
BLOOM = {"hidden_size": 24, "n_layer": 2, "n_head": 4, "vocab_size": 64, **TOKENS}
COMMON = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 32,
    "vocab_size": 64,
    **TOKENS,
}
LLAMA = {**COMMON, "intermediate_size": 36, "num_key_value_heads": 2}
NEOX = {**COMMON, "hidden_size": 32, "intermediate_size": 40, "bos_token_id": 0, "eos_token_id": 0}
OPT = {**COMMON, "ffn_dim": 40, "word_embed_proj_dim": 24}
FALCON = {**COMMON, "ffn_hidden_size": 40}


def rope(theta, **more):
    return {"rope_parameters": {"rope_type": "default", "rope_theta": theta, **more}}


def gpt2_hub_names(folder):
    """As the published GPT-2: no prefix, buffers of masks, a configuration of a few fields."""

    def tensors(stored):
        found = {name.removeprefix("transformer."): value for name, value in stored.items()}
        for layer in range(GPT2["n_layer"]):
            found[f"h.{layer}.attn.bias"] = torch.ones(32, 32).tril().view(1, 1, 32, 32)
        return found

    keep = ("architectures", "model_type", "n_embd", "n_head", "n_layer", "n_positions", "vocab_size")
    edit_checkpoint(folder, tensors, lambda config: {**{k: config[k] for k in keep}, "n_ctx": 32})


def neox_hub_names(folder):
    """As the published Pythia models: buffers beside the weights, the older spelling of the rotary fields."""

    def tensors(stored):
        for layer in range(NEOX["num_hidden_layers"]):
            prefix = f"gpt_neox.layers.{layer}.attention."
            stored[prefix + "bias"] = torch.ones(32, 32).tril().view(1, 1, 32, 32).bool()
            stored[prefix + "masked_bias"] = torch.tensor(-1e9)
            stored[prefix + "rotary_emb.inv_freq"] = torch.ones(1)
        return stored

    def older(config):
        rotary = config.pop("rope_parameters")
        return config | {"rotary_emb_base": rotary["rope_theta"], "rotary_pct": rotary["partial_rotary_factor"]}

    edit_checkpoint(folder, tensors, older)
    (folder / "config.legacy.json").unlink()


# name: (model_type, settings, options of write_oracle)
MODELS = {
    "gpt2": ("gpt2", GPT2, {}),
    "gpt2-relu": (
        "gpt2",
        {**GPT2, "n_layer": 3, "n_inner": 44, "activation_function": "relu"},
        {"with_interventions": True},
    ),
    "gpt2-untied": ("gpt2", {**GPT2, "tie_word_embeddings": False}, {}),
    "gpt2-scalevariants": (
        "gpt2",
        {
            **GPT2,
            "activation_function": "gelu",
            "layer_norm_epsilon": 1e-3,
            "scale_attn_by_inverse_layer_idx": True,
        },
        {},
    ),
    "gpt2-unscaled": ("gpt2", {**GPT2, "scale_attn_weights": False}, {}),
    "gpt2-f16": ("gpt2", GPT2, {"dtype": torch.float16}),
    "gpt2-bf16": ("gpt2", GPT2, {"dtype": torch.bfloat16}),
    "gpt2-sharded": ("gpt2", GPT2, {"shard_size": "30KB"}),
    "gpt2-hubnames": ("gpt2", GPT2, {"edit": gpt2_hub_names}),
    "gpt_bigcode": ("gpt_bigcode", {**GPT2, "multi_query": True}, {}),
    "gpt_bigcode-mha": ("gpt_bigcode", {**GPT2, "multi_query": False}, {}),
    "gpt_neo": (
        "gpt_neo",
        {
            "hidden_size": 24,
            "num_layers": 3,
            "num_heads": 4,
            "max_position_embeddings": 32,
            "vocab_size": 64,
            "attention_types": [[["global", "local"], 1], [["local"], 1]],
            "window_size": 4,
            **TOKENS,
        },
        {},
    ),
    "gptj": ("gptj", {**GPT2, "n_embd": 32, "rotary_dim": 4, "tie_word_embeddings": False}, {}),
    "gpt_neox-parallel": ("gpt_neox", {**NEOX, **rope(10000.0, partial_rotary_factor=0.25)}, {}),
    "gpt_neox-sequential": (
        "gpt_neox",
        {
            **NEOX,
            "use_parallel_residual": False,
            "hidden_act": "gelu_fast",
            **rope(20000.0, partial_rotary_factor=0.5),
        },
        {},
    ),
    "gpt_neox-hubnames": (
        "gpt_neox",
        {**NEOX, **rope(10000.0, partial_rotary_factor=0.25)},
        {"edit": neox_hub_names},
    ),
    "opt-preln": ("opt", OPT, {}),
    "opt-postln": ("opt", {**OPT, "do_layer_norm_before": False, "word_embed_proj_dim": 16}, {}),
    "opt-nobias": ("opt", {**OPT, "enable_bias": False, "layer_norm_elementwise_affine": False}, {}),
    "bloom": ("bloom", BLOOM, {}),
    "bloom-oddheads": ("bloom", {**BLOOM, "n_head": 6}, {}),
    "llama": ("llama", {**LLAMA, **rope(10000.0)}, {"with_interventions": True}),
    "llama-tied": ("llama", {**LLAMA, "num_key_value_heads": 1, "tie_word_embeddings": True, **rope(5e5)}, {}),
    "llama-rope3": (
        "llama",
        {
            **LLAMA,
            "hidden_size": 32,
            "max_position_embeddings": 64,
            **rope(
                10000.0,
                rope_type="llama3",
                factor=8.0,
                low_freq_factor=1.0,
                high_freq_factor=4.0,
                original_max_position_embeddings=16,
            ),
        },
        {},
    ),
    "llama-bias": (
        "llama",
        {
            **LLAMA,
            "num_key_value_heads": 4,
            "head_dim": 10,
            "attention_bias": True,
            "mlp_bias": True,
            **rope(10000.0, rope_type="linear", factor=2.0),
        },
        {},
    ),
    "mistral": ("mistral", {**LLAMA, "head_dim": 10, "num_hidden_layers": 3, "sliding_window": 4, **rope(1e6)}, {}),
    "qwen2": ("qwen2", {**LLAMA, "tie_word_embeddings": True, **rope(1e6)}, {}),
    "qwen2-swa": (
        "qwen2",
        {
            **LLAMA,
            "num_hidden_layers": 3,
            "use_sliding_window": True,
            "sliding_window": 4,
            "max_window_layers": 1,
            **rope(1e6),
        },
        {},
    ),
    "qwen3": ("qwen3", {**LLAMA, "head_dim": 8, "tie_word_embeddings": True, **rope(1e6)}, {}),
    "phi": (
        "phi",
        {
            **COMMON,
            "hidden_size": 32,
            "intermediate_size": 40,
            **rope(10000.0, partial_rotary_factor=0.5),
        },
        {},
    ),
    "gemma2": (
        "gemma2",
        {
            **LLAMA,
            "head_dim": 8,
            "query_pre_attn_scalar": 20,
            "sliding_window": 4,
            "attn_logit_softcapping": 4.0,
            "final_logit_softcapping": 10.0,
            **rope(10000.0),
        },
        {},
    ),
    "starcoder2": ("starcoder2", {**LLAMA, "intermediate_size": 40, "sliding_window": 6, **rope(1e5)}, {}),
    "olmo2": ("olmo2", {**LLAMA, **rope(5e5)}, {}),
    "falcon-7bstyle": ("falcon", {**FALCON, **rope(10000.0)}, {}),
    "falcon-newarch": (
        "falcon",
        {**FALCON, "new_decoder_architecture": True, "num_kv_heads": 2, **rope(10000.0)},
        {},
    ),
    "falcon-onenorm": (
        "falcon",
        {
            **FALCON,
            "new_decoder_architecture": True,
            "num_kv_heads": 1,
            "num_ln_in_parallel_attn": 1,
            **rope(10000.0),
        },
        {},
    ),
    "falcon-sequential": (
        "falcon",
        {**FALCON, "parallel_attn": False, "multi_query": False, "bias": True, **rope(10000.0)},
        {},
    ),
}


def main():
    out = Path(__file__).parent / "hf"
    for name in sys.argv[1:] or MODELS:
        model_type, settings, options = MODELS[name]
        for seed in range(100):
            model = make_model(model_type, settings, seed, options.get("dtype"))
            sequences = draw_sequences(model.config.vocab_size, LENGTHS, seed)
            margin = write_oracle(out / name, model, sequences, n_greedy=8, **options)
            if margin >= SMALLEST_MARGIN:
                break
        print(f"{name}: seed {seed}, smallest margin {margin:.4f}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
