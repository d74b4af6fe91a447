"""A random checkpoint of a known shape, in the form that transformers reads: config.json, model.safetensors, a tokenizer.

The tokenizer serves those programs that want one to be there; only trigger_search.py has sentences tokenized.
"""

import json
from pathlib import Path

import numpy
from safetensors.numpy import save_file

SHAPES = {
    "gpt2": ("gpt2", 12, 768, 3072, 12, 12, 50257),
    "gpt2-medium": ("gpt2", 24, 1024, 4096, 16, 16, 50257),
    "gpt2-large": ("gpt2", 36, 1280, 5120, 20, 20, 50257),
    "paper": ("gpt2-relu", 16, 1024, 4096, 8, 8, 50257),
    "llama-135m": ("llama", 30, 576, 1536, 9, 3, 49152),
    "llama-360m": ("llama", 32, 960, 2560, 15, 5, 49152),
}
CONTEXT = 1024


def gpt2_config(layers, width, memory, heads, _, words, activation="gelu_new"):
    return {
        "model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_layer": layers, "n_embd": width, "n_inner": memory,
        "n_head": heads, "vocab_size": words, "n_positions": CONTEXT, "activation_function": activation,
        "layer_norm_epsilon": 1e-5, "bos_token_id": 0, "eos_token_id": 0, "tie_word_embeddings": True,
    }


def gpt2_relu_config(*sizes):
    return gpt2_config(*sizes, activation="relu")


def gpt2_shapes(layers, width, memory, heads, _, words):
    shapes = {"wte.weight": (words, width), "wpe.weight": (CONTEXT, width)}
    for layer in range(layers):
        h = f"h.{layer}."
        for norm in ("ln_1", "ln_2"):
            shapes |= {h + norm + ".weight": (width,), h + norm + ".bias": (width,)}
        for name, rows, columns in (("attn.c_attn", width, 3 * width), ("attn.c_proj", width, width),
                                    ("mlp.c_fc", width, memory), ("mlp.c_proj", memory, width)):
            shapes |= {h + name + ".weight": (rows, columns), h + name + ".bias": (columns,)}
    shapes |= {"ln_f.weight": (width,), "ln_f.bias": (width,)}
    return {"transformer." + name: shape for name, shape in shapes.items()}


def llama_config(layers, width, memory, heads, kv_heads, words):
    return {
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "num_hidden_layers": layers, "hidden_size": width,
        "intermediate_size": memory, "num_attention_heads": heads, "num_key_value_heads": kv_heads, "vocab_size": words,
        "max_position_embeddings": CONTEXT, "hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "bos_token_id": 0, "eos_token_id": 0, "tie_word_embeddings": True,
    }


def llama_shapes(layers, width, memory, heads, kv_heads, words):
    kv_width = width // heads * kv_heads
    shapes = {"embed_tokens.weight": (words, width)}
    for layer in range(layers):
        h = f"layers.{layer}."
        shapes |= {
            h + "input_layernorm.weight": (width,), h + "post_attention_layernorm.weight": (width,),
            h + "self_attn.q_proj.weight": (width, width), h + "self_attn.k_proj.weight": (kv_width, width),
            h + "self_attn.v_proj.weight": (kv_width, width), h + "self_attn.o_proj.weight": (width, width),
            h + "mlp.gate_proj.weight": (memory, width), h + "mlp.up_proj.weight": (memory, width),
            h + "mlp.down_proj.weight": (width, memory),
        }
    shapes |= {"norm.weight": (width,)}
    return {"model." + name: shape for name, shape in shapes.items()}


FAMILIES = {
    "gpt2": (gpt2_config, gpt2_shapes),
    "gpt2-relu": (gpt2_relu_config, gpt2_shapes),
    "llama": (llama_config, llama_shapes),
}


def draw(random, name, shape):
    if len(shape) == 1:
        return numpy.full(shape, 0.0 if name.endswith("bias") else 1.0, numpy.float32)
    return random.standard_normal(shape, dtype=numpy.float32) * numpy.float32(0.02)


def write_tokenizer(folder, words):
    """Words w0, w1, ... and GPT-2's end of text."""
    vocabulary = {"<|endoftext|>": 0} | {f"w{i}": i for i in range(1, words)}
    special = {"id": 0, "content": "<|endoftext|>", "single_word": False, "lstrip": False, "rstrip": False,
               "normalized": False, "special": True}
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [special], "normalizer": None,
        "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": None, "decoder": None,
        "model": {"type": "WordLevel", "unk_token": "w1", "vocab": vocabulary},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "tokenizer_config.json").write_text(json.dumps(
        {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>",
         "unk_token": "w1"}))


def write_model(folder, name):
    """Writes the checkpoint unless it is there."""
    folder = Path(folder)
    if (folder / "model.safetensors").exists():
        return
    family, *sizes = SHAPES[name]
    config, shapes = FAMILIES[family]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config(*sizes), indent=1))
    write_tokenizer(folder, sizes[-1])
    random = numpy.random.default_rng(1)
    tensors = {tensor: draw(random, tensor, shape) for tensor, shape in shapes(*sizes).items()}
    save_file(tensors, folder / "part.safetensors", metadata={"format": "pt"})
    (folder / "part.safetensors").rename(folder / "model.safetensors")
