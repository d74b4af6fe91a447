#!/usr/bin/env python3
"""Makes tests/data/fairseq: tiny random fairseq language models with reference numbers.

    python tests/data/make_fairseq_goldens.py            writes the folders of MODELS
    python tests/data/make_fairseq_goldens.py --check FOLDER
                                                         compares this script's arithmetic with the numbers stored there

in an environment with numpy and safetensors. The reference is float64 NumPy, written from fairseq's module definitions
(`TransformerDecoder`, `AdaptiveInput`, `AdaptiveSoftmax`, `SinusoidalPositionalEmbedding`); --check holds it against numbers
that fairseq's own code made, where such a folder is at hand.

A folder has config.json, model.safetensors, dict.txt, oracle.json ({"sequences": [{"tokens"}]}) and oracle.safetensors: seqI.embed, seqI.decoder_out [T, d]; seqI.logprobs [T, V]; seqI.layerN.{residual, ffn_out, out} [T, d];
seqI.layerN.fc1 [T, f] (before the activation); layerN.value_logprobs [f, V] and layerN.value_argmax [f], of every value put
bare into the output softmax.
"""

import json
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

ADAPTIVE = {
    "adaptive_input": True,
    "adaptive_input_cutoff": "24,40",
    "adaptive_softmax_cutoff": "24,40",
    "adaptive_input_factor": 2,
    "adaptive_softmax_factor": 2,
    "tie_adaptive_weights": True,
    "tie_adaptive_proj": True,
    "no_decoder_final_norm": True,
}
BASE = {
    "arch": "transformer_lm",
    "activation_fn": "relu",
    "dropout": 0.1,
    "decoder_embed_dim": 16,
    "decoder_input_dim": 16,
    "decoder_output_dim": 16,
    "decoder_ffn_embed_dim": 24,
    "decoder_layers": 2,
    "decoder_attention_heads": 4,
    "decoder_normalize_before": True,
    "tokens_per_sample": 32,
    "max_target_positions": 32,
}
# name: (arguments beside BASE, decoder.version or None for a file without it)
MODELS = {
    "adaptive": (ADAPTIVE, 3),
    "adaptive-untied-projections": ({**ADAPTIVE, "tie_adaptive_proj": False}, 3),
    "adaptive-untied": ({**ADAPTIVE, "tie_adaptive_weights": False, "tie_adaptive_proj": False}, 3),
    "plain": ({"share_decoder_input_output_embed": True}, 3),
    "plain-version-1": ({"share_decoder_input_output_embed": True}, None),
    "plain-version-2": ({"share_decoder_input_output_embed": True}, 2),
    "plain-postnorm-learned": (
        {
            "decoder_normalize_before": False,
            "decoder_learned_pos": True,
            "no_scale_embedding": True,
            "layernorm_embedding": True,
            "activation_fn": "gelu_accurate",
            "decoder_input_dim": 12,
            "decoder_output_dim": 8,
        },
        3,
    ),
    "plain-no-positions": ({"share_decoder_input_output_embed": True, "no_token_positional_embeddings": True}, 3),
}
VOCABULARY = 60


def layer_norm(x, weights, name):
    mean = x.mean(-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-5) * weights[name + ".weight"] + weights[name + ".bias"]


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def activation(name, x):
    if name == "relu":
        return np.maximum(x, 0)
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


class Reference:
    """One model's forward pass in float64."""

    def __init__(self, args, stored):
        self.args = args
        self.weights = {name: tensor.astype(np.float64) for name, tensor in stored.items()}
        self.width = args["decoder_embed_dim"]
        version = stored.get("decoder.version", np.ones(1))[0]
        self.pre_norm = args["decoder_normalize_before"]
        self.final_norm = self.pre_norm and not args.get("no_decoder_final_norm", False) and version > 2

    def linear(self, x, name):
        return x @ self.weights[name + ".weight"].T + self.weights[name + ".bias"]

    def bands(self):
        """(first word, table, projection [d, d_band]) of each band of the adaptive input."""
        first = 0
        for number in range(len(self.args["adaptive_input_cutoff"].split(",")) + 1):
            prefix = f"decoder.embed_tokens.embeddings.{number}."
            table = self.weights[prefix + "0.weight"]
            yield first, table, self.weights[prefix + "1.weight"]
            first += len(table)

    def embed(self, tokens):
        if self.args.get("adaptive_input"):
            x = np.zeros((len(tokens), self.width))
            for first, table, projection in self.bands():
                for row, token in enumerate(tokens):
                    if first <= token < first + len(table):
                        x[row] = projection @ table[token - first]
        else:
            x = self.weights["decoder.embed_tokens.weight"][tokens]
        if not self.args.get("no_scale_embedding"):
            x = x * np.sqrt(self.width)
        if "decoder.project_in_dim.weight" in self.weights:
            x = x @ self.weights["decoder.project_in_dim.weight"].T
        positions = np.arange(len(tokens)) + 2
        if self.args.get("no_token_positional_embeddings"):
            pass
        elif self.args.get("decoder_learned_pos"):
            x = x + self.weights["decoder.embed_positions.weight"][positions]
        else:
            half = self.width // 2
            step = np.float32(np.log(10000) / (half - 1))
            frequencies = np.exp(np.arange(half, dtype=np.float32) * -step)
            angles = positions[:, None].astype(np.float32) * frequencies
            x = x + np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
        if self.args.get("layernorm_embedding"):
            x = layer_norm(x, self.weights, "decoder.layernorm_embedding")
        return x

    def attention(self, x, prefix):
        heads = self.args["decoder_attention_heads"]
        q, k, v = (self.linear(x, f"{prefix}self_attn.{part}_proj") for part in "qkv")
        q, k, v = (part.reshape(len(x), heads, -1).transpose(1, 0, 2) for part in (q, k, v))
        scores = q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1])
        scores = np.where(np.tril(np.ones((len(x), len(x)), bool)), scores, -np.inf)
        mixed = np.exp(log_softmax(scores)) @ v
        return self.linear(mixed.transpose(1, 0, 2).reshape(len(x), -1), f"{prefix}self_attn.out_proj")

    def norm_if(self, wanted, x, name):
        return layer_norm(x, self.weights, name) if wanted else x

    def run(self, tokens):
        """All tensors of a sequence, and its log-probabilities."""
        found = {}
        x = found["embed"] = self.embed(tokens)
        for layer in range(self.args["decoder_layers"]):
            prefix = f"decoder.layers.{layer}."
            attention_norm, feed_forward_norm = prefix + "self_attn_layer_norm", prefix + "final_layer_norm"
            x = x + self.attention(self.norm_if(self.pre_norm, x, attention_norm), prefix)
            x = self.norm_if(not self.pre_norm, x, attention_norm)
            scores = self.linear(self.norm_if(self.pre_norm, x, feed_forward_norm), prefix + "fc1")
            output = self.linear(activation(self.args["activation_fn"], scores), prefix + "fc2")
            found |= {f"layer{layer}.residual": x, f"layer{layer}.fc1": scores, f"layer{layer}.ffn_out": output}
            x = self.norm_if(not self.pre_norm, x + output, feed_forward_norm)
            found[f"layer{layer}.out"] = x
        x = self.norm_if(self.final_norm, x, "decoder.layer_norm")
        if "decoder.project_out_dim.weight" in self.weights:
            x = x @ self.weights["decoder.project_out_dim.weight"].T
        found["decoder_out"] = x
        found["logprobs"] = self.log_probabilities(x)
        return found

    def log_probabilities(self, y):
        if not self.args.get("adaptive_input"):
            shared = self.args.get("share_decoder_input_output_embed")
            return log_softmax(y @ self.weights["decoder.embed_tokens.weight" if shared else "decoder.embed_out"].T)
        bands = list(self.bands())
        softmax = "decoder.adaptive_softmax."
        if self.args["tie_adaptive_weights"]:
            clusters = self.weights[softmax + "head.class_proj.weight"]
            head = log_softmax(np.concatenate([y @ bands[0][1].T, y @ clusters.T], axis=1))
        else:
            head = log_softmax(y @ self.weights[softmax + "head.weight"].T)
        n_words = len(bands[0][1])
        parts = [head[:, :n_words]]
        for number, (_, table, projection) in enumerate(bands[1:]):
            tail = f"{softmax}tail.{number}."
            down = projection.T if self.args["tie_adaptive_proj"] else self.weights[tail + "0.weight"]
            out = table if self.args["tie_adaptive_weights"] else self.weights[tail + "2.weight"]
            parts.append(log_softmax(y @ down.T @ out.T) + head[:, n_words + number, None])
        return np.concatenate(parts, axis=1)

    def value_log_probabilities(self, layer):
        return self.log_probabilities(self.weights[f"decoder.layers.{layer}.fc2.weight"].T)


def shapes(args, version):
    """Name and shape of every stored tensor."""
    d, f = args["decoder_embed_dim"], args["decoder_ffn_embed_dim"]
    found = {}
    if version is not None:
        found["decoder.version"] = (1,)
    if args.get("adaptive_input"):
        cutoffs = [int(c) for c in args["adaptive_input_cutoff"].split(",")]
        borders = [0, *cutoffs, VOCABULARY]
        tied = args["tie_adaptive_weights"]
        for number in range(len(cutoffs) + 1):
            n, width = borders[number + 1] - borders[number], d // args["adaptive_input_factor"] ** number
            found[f"decoder.embed_tokens.embeddings.{number}.0.weight"] = (n, width)
            found[f"decoder.embed_tokens.embeddings.{number}.1.weight"] = (d, width)
            if number > 0 and not (tied and args["tie_adaptive_proj"]):
                found[f"decoder.adaptive_softmax.tail.{number - 1}.0.weight"] = (width, d)
            if number > 0 and not tied:
                found[f"decoder.adaptive_softmax.tail.{number - 1}.2.weight"] = (n, width)
        if tied:
            found["decoder.adaptive_softmax.head.class_proj.weight"] = (len(cutoffs), d)
        else:
            found["decoder.adaptive_softmax.head.weight"] = (cutoffs[0] + len(cutoffs), d)
    else:
        found["decoder.embed_tokens.weight"] = (VOCABULARY, args["decoder_input_dim"])
        if args["decoder_input_dim"] != d:
            found["decoder.project_in_dim.weight"] = (d, args["decoder_input_dim"])
        if args["decoder_output_dim"] != d:
            found["decoder.project_out_dim.weight"] = (args["decoder_output_dim"], d)
        if not args.get("share_decoder_input_output_embed"):
            found["decoder.embed_out"] = (VOCABULARY, args["decoder_output_dim"])
    if args.get("decoder_learned_pos"):
        found["decoder.embed_positions.weight"] = (args["max_target_positions"] + 2, d)
    if args.get("layernorm_embedding"):
        found |= {f"decoder.layernorm_embedding.{part}": (d,) for part in ("weight", "bias")}
    for layer in range(args["decoder_layers"]):
        prefix = f"decoder.layers.{layer}."
        for name, out, inn in (("fc1", f, d), ("fc2", d, f), *((f"self_attn.{p}_proj", d, d) for p in ("q", "k", "v", "out"))):
            found |= {f"{prefix}{name}.weight": (out, inn), f"{prefix}{name}.bias": (out,)}
        for name in ("self_attn_layer_norm", "final_layer_norm"):
            found |= {f"{prefix}{name}.{part}": (d,) for part in ("weight", "bias")}
    found |= {f"decoder.layer_norm.{part}": (d,) for part in ("weight", "bias")}
    return found


def draw(args, version, random):
    tensors = {}
    for name, shape in shapes(args, version).items():
        noise = random.standard_normal(shape)
        if name == "decoder.version":
            tensors[name] = np.array([version], np.float32)
        elif "norm" in name and name.endswith("weight"):
            tensors[name] = (1 + 0.2 * noise).astype(np.float32)
        else:
            tensors[name] = ((0.3 if len(shape) > 1 else 0.2) * noise).astype(np.float32)
    return tensors


def write(folder, more, version, seed):
    args = BASE | more
    random = np.random.default_rng(seed)
    stored = draw(args, version, random)
    reference = Reference(args, stored)
    sequences = [[2, *random.integers(VOCABULARY, size=n - 1).tolist()] for n in (1, 6, 14)]
    oracle = {}
    for number, tokens in enumerate(sequences):
        oracle |= {f"seq{number}.{name}": value for name, value in reference.run(tokens).items()}
    values_fit = args["decoder_output_dim"] == args["decoder_embed_dim"]
    for layer in range(args["decoder_layers"] if values_fit else 0):
        found = reference.value_log_probabilities(layer)
        oracle[f"layer{layer}.value_logprobs"] = found
        oracle[f"layer{layer}.value_argmax"] = found.argmax(-1)
    oracle = {k: v if v.dtype == np.int64 else v.astype(np.float32) for k, v in oracle.items()}

    folder.mkdir(parents=True, exist_ok=True)
    save_file(stored, folder / "model.safetensors")
    save_file({k: np.ascontiguousarray(v) for k, v in oracle.items()}, folder / "oracle.safetensors")
    config = args | {"_not_fairseq_args": {"vocab_size": VOCABULARY, "layer_norm_eps": 1e-5}}
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    (folder / "dict.txt").write_text("".join(f"word{n} {100 - n}\n" for n in range(VOCABULARY - 4)))
    description = {"sequences": [{"tokens": tokens} for tokens in sequences]}
    (folder / "oracle.json").write_text(json.dumps(description) + "\n")


def check(folder):
    """Prints the largest difference between this script's numbers and stored ones, by kind."""
    args = json.loads((folder / "config.json").read_text())
    reference = Reference(args, load_file(folder / "model.safetensors"))
    oracle = load_file(folder / "oracle.safetensors")
    worst = {}
    for number, sequence in enumerate(json.loads((folder / "oracle.json").read_text())["sequences"]):
        for name, value in reference.run(sequence["tokens"]).items():
            kind = name.split(".")[-1]
            worst[kind] = max(worst.get(kind, 0), np.abs(value - oracle[f"seq{number}.{name}"]).max())
    for layer in range(args["decoder_layers"]):
        difference = reference.value_log_probabilities(layer) - oracle[f"layer{layer}.value_logprobs"]
        worst["value_logprobs"] = max(worst.get("value_logprobs", 0), np.abs(difference).max())
    for kind, difference in worst.items():
        print(f"{kind}: {difference:.2e}")


def main():
    if sys.argv[1:2] == ["--check"]:
        check(Path(sys.argv[2]))
        return
    for seed, (name, (more, version)) in enumerate(MODELS.items()):
        write(Path(__file__).parent / "fairseq" / name, more, version, seed)


if __name__ == "__main__":
    main()
