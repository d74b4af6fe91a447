#!/usr/bin/env python3
"""Compares the program with Transformers on random settings of every family.

    python tests/data/compare_families.py TEST_PROGRAM [--rounds N] [--seed S] [FAMILY ...]

draws N models a family (sizes, heads, windows, activations, norms' epsilons, biases, tying, rotary scaling, stored types),
writes their oracles (hf_oracle.py) to a temporary folder and runs the tests of oracle_test.cpp, in the runtime_test program
TEST_PROGRAM, on them. The folder is kept where a test fails. Both spellings of rotary fields are tried.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from hf_oracle import draw_sequences, float32_noise, make_model, write_oracle
from make_hf_goldens import SMALLEST_MARGIN

LARGEST_NOISE = 4e-5  # a fifth of the tests' tolerance

ACTIVATIONS = ("gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "quick_gelu", "relu", "relu2", "silu", "mish")
GATE_ACTIVATIONS = ("silu", "gelu", "gelu_pytorch_tanh", "relu", "sigmoid")


def heads_and_width(r, even=True):
    """Heads and a width they divide; an even head width where it turns."""
    heads = r.choice((1, 2, 3, 4, 6, 8))
    head_width = r.choice((2, 4, 6, 8, 10, 16, 18)) if even else r.choice((1, 3, 5, 7, 8, 12, 17))
    return heads, heads * head_width


def divisor(r, n):
    return r.choice([k for k in range(1, n + 1) if n % k == 0])


def ids(r):
    return {"bos_token_id": r.choice((None, 1)), "eos_token_id": r.choice((2, [2, 3])), "pad_token_id": None}


def gpt2_like(r):
    heads, width = heads_and_width(r, even=False)
    return {
        "n_embd": width,
        "n_layer": r.randint(1, 3),
        "n_head": heads,
        "n_positions": r.randint(24, 60),
        "n_inner": r.choice((None, r.randint(5, 100))),
        "vocab_size": r.randint(40, 300),
        "activation_function": r.choice(ACTIVATIONS),
        "layer_norm_epsilon": r.choice((1e-5, 1e-6, 1e-3)),
        "tie_word_embeddings": r.random() < 0.5,
        **ids(r),
    }


def common(r, even=True):
    heads, width = heads_and_width(r, even)
    return {
        "hidden_size": width,
        "num_hidden_layers": r.randint(1, 3),
        "num_attention_heads": heads,
        "max_position_embeddings": r.randint(24, 60),
        "vocab_size": r.randint(40, 300),
        "tie_word_embeddings": r.random() < 0.5,
        **ids(r),
    }


def rope(r, fraction=None):
    parameters = {"rope_type": "default", "rope_theta": r.choice((100.0, 10000.0, 500000.0))}
    kind = r.choice(("default", "default", "linear", "llama3"))
    if kind != "default":
        parameters |= {"rope_type": kind, "factor": r.choice((2.0, 8.0))}
    if kind == "llama3":
        parameters |= {
            "low_freq_factor": 1.0,
            "high_freq_factor": r.choice((2.0, 4.0)),
            "original_max_position_embeddings": r.choice((8, 16)),
        }
    if fraction is not None:
        parameters["partial_rotary_factor"] = fraction
    return {"rope_parameters": parameters}


def gated(r, **more):
    base = common(r)
    return {
        **base,
        "intermediate_size": r.randint(5, 90),
        "num_key_value_heads": divisor(r, base["num_attention_heads"]),
        "rms_norm_eps": r.choice((1e-5, 1e-6, 1e-3)),
        "hidden_act": r.choice(GATE_ACTIVATIONS),
        **rope(r),
        **more,
    }


def head_dim(r):
    return {"head_dim": r.choice((4, 6, 8, 12, 20))}


def layer_types(r, layers):
    return {"layer_types": [r.choice(("full_attention", "sliding_attention")) for _ in range(layers)]}


def gpt2(r):
    return gpt2_like(r) | {
        "scale_attn_weights": r.random() < 0.7,
        "scale_attn_by_inverse_layer_idx": r.random() < 0.5,
        "reorder_and_upcast_attn": r.random() < 0.3,
    }


def gpt_bigcode(r):
    return gpt2_like(r) | {"multi_query": r.random() < 0.5, "scale_attn_weights": r.random() < 0.7}


def gptj(r):
    heads, width = heads_and_width(r)
    return gpt2_like(r) | {"n_embd": width, "n_head": heads, "rotary_dim": 2 * r.randint(1, width // heads // 2)}


def gpt_neo(r):
    heads, width = heads_and_width(r, even=False)
    types = [[["global", "local"], r.randint(1, 2)], [[r.choice(("global", "local"))], r.randint(1, 2)]]
    return {
        "hidden_size": width,
        "num_heads": heads,
        "num_layers": sum(len(words) * n for words, n in types),
        "attention_types": types,
        "window_size": r.randint(1, 9),
        "intermediate_size": r.choice((None, r.randint(5, 90))),
        "max_position_embeddings": 40,
        "vocab_size": r.randint(40, 300),
        "activation_function": r.choice(ACTIVATIONS),
        "layer_norm_epsilon": r.choice((1e-5, 1e-3)),
        "tie_word_embeddings": r.random() < 0.5,
        **ids(r),
    }


def gpt_neox(r):
    base = common(r)
    head_width = base["hidden_size"] // base["num_attention_heads"]
    return base | {
        "intermediate_size": r.randint(5, 90),
        "hidden_act": r.choice(ACTIVATIONS),
        "layer_norm_eps": r.choice((1e-5, 1e-3)),
        "use_parallel_residual": r.random() < 0.5,
        "attention_bias": r.random() < 0.5,
        **rope(r, fraction=1.0 if head_width % 8 else r.choice((0.25, 0.5, 1.0))),
    }


def opt(r):
    base = common(r, even=False)
    return base | {
        "ffn_dim": r.randint(5, 90),
        "word_embed_proj_dim": r.choice((base["hidden_size"], r.randint(3, 40))),
        "do_layer_norm_before": r.random() < 0.6,
        "enable_bias": r.random() < 0.6,
        "layer_norm_elementwise_affine": r.random() < 0.6,
        "_remove_final_layer_norm": r.random() < 0.3,
        "activation_function": r.choice(ACTIVATIONS),
    }


def bloom(r):
    heads = r.randint(1, 13)
    return {
        "hidden_size": heads * r.choice((1, 3, 4, 8)),
        "n_head": heads,
        "n_layer": r.randint(1, 3),
        "vocab_size": r.randint(40, 300),
        "layer_norm_epsilon": r.choice((1e-5, 1e-3)),
        "tie_word_embeddings": r.random() < 0.5,
        **ids(r),
    }


def llama(r):
    return gated(r, **head_dim(r)) | {"attention_bias": r.random() < 0.5, "mlp_bias": r.random() < 0.5}


def mistral(r):
    return gated(r, **head_dim(r)) | {"sliding_window": r.choice((None, 1, 3, 8))}


def qwen2(r):
    base = gated(r) | {"use_sliding_window": r.random() < 0.6, "sliding_window": r.randint(1, 9)}
    base["max_window_layers"] = r.randint(0, base["num_hidden_layers"])
    with_types = base["use_sliding_window"] and r.random() < 0.5
    return base | (layer_types(r, base["num_hidden_layers"]) if with_types else {})


def qwen3(r):
    return qwen2(r) | head_dim(r) | {"attention_bias": r.random() < 0.5}


def phi(r):
    base = common(r)
    head_width = base["hidden_size"] // base["num_attention_heads"]
    return base | {
        "intermediate_size": r.randint(5, 90),
        "num_key_value_heads": divisor(r, base["num_attention_heads"]),
        "hidden_act": r.choice(ACTIVATIONS),
        "layer_norm_eps": r.choice((1e-5, 1e-3)),
        **rope(r, fraction=1.0 if head_width % 8 else r.choice((0.25, 0.5, 0.75, 1.0))),
    }


def gemma2(r):
    base = gated(r, **head_dim(r))
    del base["hidden_act"]
    return base | {
        "hidden_activation": r.choice(GATE_ACTIVATIONS),
        "attention_bias": r.random() < 0.5,
        "query_pre_attn_scalar": r.choice((5, 16, 256)),
        "sliding_window": r.randint(1, 9),
        "attn_logit_softcapping": r.choice((None, 1.5, 30.0)),
        "final_logit_softcapping": r.choice((None, 2.5, 30.0)),
        **(layer_types(r, base["num_hidden_layers"]) if r.random() < 0.5 else {}),
    }


def starcoder2(r):
    base = gated(r)
    del base["rms_norm_eps"]
    return base | {
        "hidden_act": r.choice(ACTIVATIONS),
        "norm_epsilon": r.choice((1e-5, 1e-3)),
        "use_bias": r.random() < 0.5,
        "sliding_window": r.choice((None, 1, 5)),
    }


def olmo2(r):
    return gated(r) | {"attention_bias": r.random() < 0.5}


def falcon(r):
    base = common(r)
    new = r.random() < 0.5
    return base | {
        "ffn_hidden_size": r.choice((None, r.randint(5, 90))),
        "new_decoder_architecture": new,
        "num_kv_heads": divisor(r, base["num_attention_heads"]) if new else None,
        "num_ln_in_parallel_attn": r.choice((None, 1, 2)) if new else None,
        "multi_query": r.random() < 0.5,
        "parallel_attn": new or r.random() < 0.5,
        "bias": r.random() < 0.5,
        "activation": r.choice(ACTIVATIONS),
        "layer_norm_epsilon": r.choice((1e-5, 1e-3)),
        **rope(r),
    }


FAMILIES = (bloom, falcon, gemma2, gpt2, gpt_bigcode, gpt_neo, gpt_neox, gptj, llama, mistral, olmo2, opt, phi, qwen2, qwen3)
FAMILIES = {draw.__name__: draw for draw in (*FAMILIES, starcoder2)}


def use_legacy_config(folder):
    legacy = folder / "config.legacy.json"
    if legacy.exists():
        legacy.rename(folder / "config.json")


def write_models(folder, family, rounds, r):
    """Writes `rounds` oracles. Models in which float32 itself is too coarse to tell right from wrong, or greedy tokens too close,
    are drawn again."""
    for number in range(rounds):
        while True:
            settings = FAMILIES[family](r)
            dtype = r.choice((None, None, torch.bfloat16, torch.float16))
            model = make_model(family, settings, r.randrange(10**6), dtype)
            sequences = draw_sequences(settings["vocab_size"], (1, r.randint(4, 8), r.randint(9, 20)), r.randrange(10**6))
            if float32_noise(model, sequences[-1]) > LARGEST_NOISE:
                continue
            target = folder / f"{family}-{number}"
            margin = write_oracle(
                target,
                model,
                sequences,
                n_greedy=6,
                dtype=dtype,
                with_interventions=r.random() < 0.3,
                edit=use_legacy_config if r.random() < 0.5 and "layer_types" not in settings else None,
            )
            if margin >= SMALLEST_MARGIN:
                break


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("test_program")
    parser.add_argument("families", nargs="*", default=list(FAMILIES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder = Path(tempfile.mkdtemp(prefix="ffmem-families-"))
    for family in options.families:
        write_models(folder, family, options.rounds, random.Random(f"{family} {options.seed}"))
    result = subprocess.run(
        [options.test_program, "--test-case=oracle*"], env=os.environ | {"FFMEM_ORACLES": str(folder)}, check=False
    )
    if result.returncode != 0:
        sys.exit(f"failed; the models are in {folder}")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
