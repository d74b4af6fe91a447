"""The checkpoints of random_model.py in llama.cpp's form."""

import json
from pathlib import Path

import gguf
from safetensors import safe_open

GPT2 = {
    "transformer.wte": "token_embd", "transformer.wpe": "position_embd", "transformer.ln_f": "output_norm",
    "ln_1": "attn_norm", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "ln_2": "ffn_norm", "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}
LLAMA = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}


def gguf_name(name, names):
    """transformer.h.3.mlp.c_fc.bias -> blk.3.ffn_up.bias"""
    stem, kind = name.rsplit(".", 1)
    if stem in names:
        return f"{names[stem]}.{kind}"
    layer, rest = stem.split(".", 2)[2].split(".", 1)
    return f"blk.{layer}.{names[rest]}.{kind}"


def write_sizes(writer, config, gpt2):
    heads = config["n_head" if gpt2 else "num_attention_heads"]
    writer.add_context_length(config["n_positions" if gpt2 else "max_position_embeddings"])
    writer.add_embedding_length(config["n_embd" if gpt2 else "hidden_size"])
    writer.add_block_count(config["n_layer" if gpt2 else "num_hidden_layers"])
    writer.add_feed_forward_length(config["n_inner" if gpt2 else "intermediate_size"])
    writer.add_head_count(heads)
    writer.add_vocab_size(config["vocab_size"])
    if gpt2:
        writer.add_layer_norm_eps(config["layer_norm_epsilon"])
        return
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(config["hidden_size"] // heads)
    writer.add_rope_freq_base(config["rope_theta"])


def write_tokenizer(writer, words):
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(["<|endoftext|>"] + [f"w{i}" for i in range(1, words)])
    writer.add_token_types([gguf.TokenType.CONTROL] + [gguf.TokenType.NORMAL] * (words - 1))
    writer.add_token_merges(["w 1"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)


def pair_up(tensor, heads):
    """[rows, columns] for llama.cpp, which rotates rows next to each other where the checkpoint has halves of a head."""
    return tensor.reshape(heads, 2, -1, tensor.shape[1]).swapaxes(1, 2).reshape(tensor.shape)


def in_llama_cpp_order(name, tensor, config):
    if config["model_type"] == "gpt2":  # Conv1D matrices are stored [in, out]
        return tensor.T.copy() if tensor.ndim == 2 and ".h." in name else tensor
    if name.endswith("q_proj.weight"):
        return pair_up(tensor, config["num_attention_heads"])
    if name.endswith("k_proj.weight"):
        return pair_up(tensor, config["num_key_value_heads"])
    return tensor


def write_gguf(folder, path):
    """Writes `path` in float32 unless it is there."""
    path = Path(path)
    if path.exists():
        return
    config = json.loads((Path(folder) / "config.json").read_text())
    gpt2 = config["model_type"] == "gpt2"
    part = path.with_suffix(".part")
    writer = gguf.GGUFWriter(part, config["model_type"])
    write_sizes(writer, config, gpt2)
    write_tokenizer(writer, config["vocab_size"])
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    with safe_open(Path(folder) / "model.safetensors", "numpy") as tensors:
        for name in tensors.keys():
            tensor = in_llama_cpp_order(name, tensors.get_tensor(name), config)
            writer.add_tensor(gguf_name(name, GPT2 if gpt2 else LLAMA), tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    part.rename(path)
