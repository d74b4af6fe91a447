"""The experiments' models in PyTorch, float64: what check_experiments_keys_values.py compares with. And small models and texts."""

import json
import math
import random
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file as load_torch

ROOT = Path(__file__).parents[2]


class HuggingFace:
    """Coefficients are what the second feed-forward matrix reads."""

    def __init__(self, folder):
        from tokenizers import Tokenizer
        from transformers import AutoModelForCausalLM

        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        gpt2 = hasattr(self.model, "transformer")
        blocks = self.model.transformer.h if gpt2 else self.model.model.layers
        outputs = [block.mlp.c_proj if gpt2 else block.mlp.down_proj for block in blocks]
        self.values = [o.weight.detach() if gpt2 else o.weight.detach().T for o in outputs]  # [d_m, d]
        self.seen = {}
        for layer, output in enumerate(outputs):
            output.register_forward_pre_hook(lambda _, inputs, layer=layer: self.seen.__setitem__(layer, inputs[0][0]))

    def encode(self, text):
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def coefficients(self, tokens):
        with torch.no_grad():
            self.model(torch.tensor([tokens]))
        return torch.stack([self.seen[layer] for layer in range(len(self.values))]).numpy()  # [L, T, d_m]

    def log_probabilities(self, vectors):
        return torch.log_softmax(vectors @ self.model.lm_head.weight.detach().T, dim=-1).numpy()


class Fairseq:
    """Pre-norm transformer with sines for positions, adaptive input and a tied adaptive softmax (tests/data/fairseq/adaptive)."""

    def __init__(self, folder):
        self.config = json.loads((folder / "config.json").read_text())
        self.w = {name: tensor.double() for name, tensor in load_torch(folder / "model.safetensors").items()}
        self.n_layers = self.config["decoder_layers"]
        self.d = self.config["decoder_embed_dim"]
        words = [line.rsplit(" ", 1)[0] for line in (folder / "dict.txt").read_text().splitlines()]
        self.ids = {word: i for i, word in enumerate(["<s>", "<pad>", "</s>", "<unk>"] + words)}
        self.values = [self.w[f"decoder.layers.{l}.fc2.weight"].T for l in range(self.n_layers)]
        self.tables = [self.w[f"decoder.embed_tokens.embeddings.{b}.0.weight"] for b in range(3)]
        self.projections = [self.w[f"decoder.embed_tokens.embeddings.{b}.1.weight"] for b in range(3)]

    def encode(self, text):
        return [self.ids.get(word, 3) for word in text.split()]

    def norm(self, x, name):
        return torch.nn.functional.layer_norm(x, (self.d,), self.w[name + ".weight"], self.w[name + ".bias"], 1e-5)

    def linear(self, x, name):
        return x @ self.w[name + ".weight"].T + self.w[name + ".bias"]

    def coefficients(self, tokens):
        embedding = torch.cat([table @ projection.T for table, projection in zip(self.tables, self.projections)])
        half = self.d // 2
        frequency = torch.exp(torch.arange(half, dtype=torch.float64) * -(math.log(10000) / (half - 1)))
        angle = torch.arange(2, len(tokens) + 2, dtype=torch.float64)[:, None] * frequency
        x = math.sqrt(self.d) * embedding[tokens] + torch.cat([angle.sin(), angle.cos()], dim=1)
        heads = self.config["decoder_attention_heads"]
        mask = torch.full((len(tokens), len(tokens)), -math.inf, dtype=torch.float64).triu(1)
        found = []
        for l in range(self.n_layers):
            block = f"decoder.layers.{l}."
            a = self.norm(x, block + "self_attn_layer_norm")
            q, k, v = (
                self.linear(a, block + f"self_attn.{part}_proj").view(len(tokens), heads, -1).transpose(0, 1) for part in "qkv"
            )
            weights = torch.softmax(q @ k.transpose(1, 2) / math.sqrt(q.shape[-1]) + mask, dim=-1)
            x = x + self.linear((weights @ v).transpose(0, 1).reshape(len(tokens), self.d), block + "self_attn.out_proj")
            m = torch.relu(self.linear(self.norm(x, block + "final_layer_norm"), block + "fc1"))
            found.append(m)
            x = x + self.linear(m, block + "fc2")
        return torch.stack(found).numpy()

    def log_probabilities(self, vectors):
        head = torch.cat([self.tables[0], self.w["decoder.adaptive_softmax.head.class_proj.weight"]])
        entries = torch.log_softmax(vectors @ head.T, dim=-1)
        n = len(self.tables[0])
        parts = [entries[:, :n]]
        for band in (1, 2):
            logits = vectors @ self.projections[band] @ self.tables[band].T
            parts.append(entries[:, n + band - 1 : n + band] + torch.log_softmax(logits, dim=-1))
        return torch.cat(parts, dim=1).numpy()


def made_up_text(path, word, n_words):
    chance = random.Random(1)
    lines = [" ".join(f"{word}{chance.randrange(3, n_words)}" for _ in range(chance.randint(1, 24))) for _ in range(150)]
    path.write_text("\n".join(lines) + "\n")


def gated_model(folder):
    """The golden Llama with a tokenizer of the words w0, w1, ..."""
    shutil.copytree(ROOT / "tests" / "data" / "hf" / "llama", folder)
    vocabulary = {"<s>" if i == 1 else "</s>" if i == 2 else f"w{i}": i for i in range(64)}
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "normalizer": None, "post_processor": None, "decoder": None,
        "added_tokens": [{"id": 1, "content": "<s>", **special}, {"id": 2, "content": "</s>", **special}],
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "model": {"type": "WordLevel", "unk_token": "w0", "vocab": vocabulary},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return folder
