#!/usr/bin/env python3
"""Recomputes the experiments of the paper's sections 5.1 and 5.2, and the effect of removing memories, with PyTorch and NumPy.

    python tests/tools/check_experiments_layers.py build/tools/ffmem MODEL TEXT [--examples 400] [--effect-examples 30]
    python tests/tools/check_experiments_layers.py build/tools/ffmem --llama TEXT      a small random gated model, made for this
    python tests/tools/check_experiments_layers.py build/tools/ffmem --fairseq MODEL   fairseq with an adaptive softmax, text of its words

in an environment with torch, transformers 5, tokenizers, safetensors and numpy. It runs every experiment into a temporary folder, then
takes from it nothing but the sampled prefixes (and checks those against the text). Counts and best tokens must be equal but for
(example, layer) cases in which two candidates lie within 1e-4, whose number is printed; other numbers within 1e-4 of their size.
Removals are recomputed with one changed forward pass each, on a sample; divergences have 2e-6 absolute to spare.
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "data"))
NEAR = 1e-4
EXPERIMENTS = ["active-memories", "zero-agreement", "agreeing-memories", "residual-predictions", "residual-probabilities",
               "layer-composition", "last-layer-changes", "memory-effects"]


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


class HuggingFace:
    """GPT-2 and Llama in float64, with what happens in each layer at the last position."""

    def __init__(self, folder):
        from transformers import AutoModelForCausalLM

        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
        config = self.model.config
        self.prefix = [config.bos_token_id]
        gpt2 = config.model_type == "gpt2"
        body = self.model.transformer if gpt2 else self.model.model
        self.blocks = body.h if gpt2 else body.layers
        self.norm = body.ln_f if gpt2 else body.norm
        self.before = [b.ln_2 if gpt2 else b.post_attention_layernorm for b in self.blocks]
        self.second = [b.mlp.c_proj if gpt2 else b.mlp.down_proj for b in self.blocks]
        self.values = [(m.weight if gpt2 else m.weight.T).detach().numpy() for m in self.second]
        self.embedding = self.model.lm_head.weight.detach().numpy()
        self.scale_free = True  # the best token of m v depends on m's sign alone

    def run(self, prefix, zero=None):
        """Per layer (r, m, y, o); zero = (layer, unit) is set to 0 at the last position."""
        found = [dict() for _ in self.blocks]
        hooks = []
        for l, block in enumerate(self.blocks):
            def before(module, args, l=l):
                found[l]["r"] = args[0][0, -1].numpy().copy()

            def second_in(module, args, l=l):
                m = args[0].clone()
                if zero and zero[0] == l:
                    m[0, -1, zero[1]] = 0
                found[l]["m"] = m[0, -1].numpy().copy()
                return (m,)

            def second_out(module, args, out, l=l):
                found[l]["y"] = out[0, -1].numpy().copy()

            def scores(module, args, l=l):
                found[l]["scores"] = args[0][0, -1].numpy().copy()

            def after(module, args, out, l=l):
                out = out[0] if isinstance(out, tuple) else out
                found[l]["o"] = out[0, -1].numpy().copy()

            hooks += [self.before[l].register_forward_pre_hook(before), self.second[l].register_forward_pre_hook(second_in),
                      self.second[l].register_forward_hook(second_out), block.register_forward_hook(after),
                      (block.mlp.act if hasattr(block.mlp, "act") else block.mlp.act_fn).register_forward_pre_hook(scores)]
        with torch.no_grad():
            self.model(torch.tensor([self.prefix + list(prefix)]))
        for hook in hooks:
            hook.remove()
        return found

    def scores(self, vectors, lens):
        x = torch.tensor(np.atleast_2d(vectors))
        with torch.no_grad():
            x = self.norm(x) if lens == "final-norm" else x
        return log_softmax(x.numpy() @ self.embedding.T)


class Fairseq:
    """fairseq's language model, by the reference of make_fairseq_goldens.py."""

    def __init__(self, folder):
        from make_fairseq_goldens import Reference

        folder = Path(folder)
        self.reference = Reference(json.loads((folder / "config.json").read_text()), load_file(folder / "model.safetensors"))
        assert not self.reference.final_norm
        self.prefix = [2]
        self.n_layers = self.reference.args["decoder_layers"]
        self.values = [self.reference.weights[f"decoder.layers.{l}.fc2.weight"].T for l in range(self.n_layers)]
        self.scale_free = False

    def run(self, prefix, zero=None):
        found = self.reference.run(np.array(self.prefix + list(prefix)))
        layers = []
        for l in range(self.n_layers):
            at = lambda name: found[f"layer{l}.{name}"][-1]
            layers.append({"r": at("residual"), "scores": at("fc1"), "m": np.maximum(at("fc1"), 0), "y": at("ffn_out"), "o": at("out")})
        if zero:  # the last layer's alone
            assert zero[0] == self.n_layers - 1
            layers[-1]["o"] = layers[-1]["o"] - layers[-1]["m"][zero[1]] * self.values[-1][zero[1]]
        return layers

    def scores(self, vectors, lens):
        return self.reference.log_probabilities(np.atleast_2d(vectors))


def two_best(scores):
    """Best token of each row, and how far ahead of the second it is."""
    best = scores.argmax(-1)
    top = np.partition(scores, -2, -1)
    return best, top[:, -1] - top[:, -2]


class Values:
    """What each value predicts by itself."""

    def __init__(self, model, lens):
        self.model, self.lens = model, lens
        self.tables = {}
        for sign in (1, -1):
            self.tables[sign] = [two_best(model.scores(sign * v, lens)) for v in model.values]

    def agreeing(self, layer, m, token):
        """Weighted count, bare count, and how many of either are too close to call."""
        bare, gap = self.tables[1][layer]
        close = (gap < NEAR).sum()
        if self.model.scale_free or self.lens == "final-norm":
            best = np.where(m > 0, bare, self.tables[-1][layer][0])
            close += (np.where(m > 0, gap, self.tables[-1][layer][1]) < NEAR).sum()
        else:
            active = m != 0
            best = np.full(len(m), -1)
            if active.any():
                best[active], gap = two_best(self.model.scores(m[active, None] * self.model.values[layer][active], self.lens))
                close += (gap < NEAR).sum()
        return ((best == token) & (m != 0)).sum(), (bare == token).sum(), close


class Report:
    def __init__(self):
        self.n, self.near, self.worst, self.failed = 0, 0, 0.0, 0

    def equal(self, what, found, expected, excused=False):
        self.n += 1
        if found == expected:
            return
        self.near += bool(excused)
        if not excused:
            self.fail(f"{what}: expected {expected}, found {found}")

    def close(self, what, found, expected, absolute=1e-9):
        self.n += 1
        off = abs(found - expected)
        self.worst = max(self.worst, off / max(abs(expected), 1e-3))
        if not off <= absolute + 1e-4 * abs(expected):
            self.fail(f"{what}: expected {expected}, found {found}")

    def fail(self, message):
        self.failed += 1
        if self.failed <= 20:
            print("WRONG", message)


def check_pass(model, stored, options, report):
    """The layer pass, array by array. Returns what was expected, for the tables."""
    offsets, tokens = stored["prefix_offsets"], stored["prefix_tokens"]
    n_layers = len(model.values)
    values = Values(model, options.lens)
    for i in range(len(offsets) - 1):
        layers = model.run(tokens[offsets[i]:offsets[i + 1]])
        scored = {(l, part): model.scores(layers[l][part], options.stream_lens) for l in range(n_layers) for part in "ryo"}
        best = {key: two_best(s) for key, s in scored.items()}
        final, final_gap = (x[0] for x in best[n_layers - 1, "o"])
        for l in range(n_layers):
            what = f"example {i} layer {l}"
            m = layers[l]["m"]
            report.equal(what + " active", stored["active"][i, l], (np.abs(m) > options.active_above).sum(),
                         (np.abs(np.abs(m) - options.active_above)[m != 0] < 1e-5).any() or (np.abs(layers[l]["scores"]) < 1e-5).any())
            mass = np.sort(np.abs(m) * np.linalg.norm(model.values[l], axis=1))[::-1].cumsum()
            n_mass = int(np.searchsorted(mass, 0.9 * mass[-1] * (1 - 1e-12)) + 1) if mass[-1] > 0 else 0
            report.equal(what + " mass", stored["mass90"][i, l], n_mass, np.abs(mass / mass[-1] - 0.9).min() < 1e-6)
            for part, name in (("r", "residual"), ("y", "ffn"), ("o", "output")):
                report.equal(f"{what} top {name}", stored[name][i, l], best[l, part][0][0], best[l, part][1][0] < NEAR)
            if final_gap > NEAR:
                report.close(what + " log p", stored["log_p_final"][i, l], scored[l, "r"][0, final], 2e-5)
            token, gap = (x[0] for x in two_best(model.scores(layers[l]["y"], options.lens)))
            report.equal(what + " top y", stored["ffn_value_lens"][i, l], token, gap < NEAR)
            weighted, bare, close = values.agreeing(l, m, stored["ffn_value_lens"][i, l])
            report.equal(what + " agree all", stored["agree_all"][i, l], bare, abs(stored["agree_all"][i, l] - bare) <= close)
            report.equal(what + " agree active", stored["agree_active"][i, l], weighted,
                         abs(stored["agree_active"][i, l] - weighted) <= close)


def rows_of(path):
    with open(path) as file:
        return list(csv.DictReader(file))


def check_interval(report, what, row, name, expected):
    value, low, high = (float(row[name + part]) for part in ("", " low", " high"))
    report.close(what, value, expected)
    if not low - 1e-12 <= value <= high + 1e-12:
        report.fail(f"{what}: {value} is outside {low} to {high}")


def check_tables(out, stored, d_memory, vocabulary, report):
    """The CSV files against the arrays."""
    n_layers = stored["active"].shape[1]
    final = stored["output"][:, -1]
    r, y, o = stored["residual"], stored["ffn"], stored["output"]
    cases = {"residual": (o == r) & (r != y), "agreement": (o == r) & (r == y), "ffn": (o == y) & (r != y),
             "composition": (o != r) & (o != y) & (r != y), "overruled": (r == y) & (o != r)}
    p = np.exp(stored["log_p_final"].astype(np.float64))
    for l in range(n_layers):
        row = rows_of(out / "active-memories/layers.csv")[l]
        for name, array in (("active", stored["active"]), ("mass", stored["mass90"])):
            share = array[:, l] / d_memory
            check_interval(report, f"{name} {l}", row, name, share.mean())
            for q, part in ((0.25, "quartile1"), (0.5, "median"), (0.75, "quartile3")):
                report.close(f"{name} {part} {l}", float(row[f"{name} box {part}"]), np.quantile(share, q))
        row = rows_of(out / "zero-agreement/layers.csv")[l]
        check_interval(report, f"zero {l}", row, "active zero", (stored["agree_active"][:, l] == 0).mean())
        check_interval(report, f"zero all {l}", row, "all zero", (stored["agree_all"][:, l] == 0).mean())
        check_interval(report, f"share {l}", rows_of(out / "residual-predictions/layers.csv")[l], "share", (r[:, l] == final).mean())
        row = rows_of(out / "residual-probabilities/layers.csv")[l]
        check_interval(report, f"p {l}", row | {"mean": row["mean"]}, "mean", p[:, l].mean())
        report.close(f"p median {l}", float(row["median"]), np.quantile(p[:, l], 0.5))
        row = rows_of(out / "layer-composition/layers.csv")[l]
        for name, case in cases.items():
            check_interval(report, f"{name} {l}", row, name, case[:, l].mean())
    agrees = stored["agree_active"] > 0
    lengths = np.diff(stored["prefix_offsets"])[:, None] + np.zeros_like(agrees, dtype=int)
    row = rows_of(out / "agreeing-memories/layers.csv")[0]
    stop = set(dict(json.loads((out / "agreeing-memories/result.json").read_text())["settings"])["stop words"].split())
    is_stop = np.array([vocabulary(t).strip().lower() in stop for t in range(1 + stored["ffn_value_lens"].max())])
    stops = is_stop[stored["ffn_value_lens"]]
    check_interval(report, "agreeing", row, "agreeing", agrees.mean())
    for name, array in (("stop word", stops), ("short prefix", lengths < 5)):
        if agrees.any():
            check_interval(report, name, row, name, array[agrees].mean())
        check_interval(report, name + " base", row, name + ", all cases", array.mean())
    estimates = json.loads((out / "layer-composition/result.json").read_text())["estimates"]
    changed = o != r
    overall = {"prediction kept": (~changed).mean(), "agreement": cases["agreement"].mean(), "ffn": cases["ffn"].mean(),
               "composition": cases["composition"].mean(), "overruled": cases["overruled"].mean(),
               "compositions among changes": cases["composition"].sum() / changed.sum() if changed.any() else None}
    for name, expected in overall.items():
        if expected is not None:
            report.close(name, estimates[name]["value"], expected)
    changed = changed[:, -1]
    estimates = json.loads((out / "last-layer-changes/result.json").read_text())["estimates"]
    report.close("changed", estimates["changed"]["value"], changed.mean())
    if changed.any():
        composed = (o[:, -1] != y[:, -1])[changed].mean()
        report.close("changed otherwise", estimates["changed to a token not the layer's own"]["value"], composed)
    changes = rows_of(out / "last-layer-changes/changes.csv")
    report.equal("changes", len(changes), min(100, int((r[:, -1] != o[:, -1]).sum())))


def check_effects(model, stored, options, report):
    offsets, tokens = stored["prefix_offsets"], stored["prefix_tokens"]
    n_layers = len(model.values)
    runs = [model.run(tokens[a:b]) for a, b in zip(offsets, offsets[1:])]
    n_active = [int((run[-1]["m"] != 0).sum()) for run in runs]
    report.equal("removals", len(stored["unit"]), sum(n_active))
    before = model.scores(np.stack([run[-1]["o"] for run in runs]), "final-norm")
    best, gap = two_best(before)
    for e in range(len(runs)):
        report.equal(f"prediction {e}", stored["prediction"][e], best[e], gap[e] < NEAR)
    y = two_best(model.scores(np.stack([run[-1]["y"] for run in runs]), options.lens))
    for e in range(len(runs)):
        report.equal(f"layer prediction {e}", stored["layer_prediction"][e], y[0][e], y[1][e] < NEAR)
    picks = np.random.default_rng(1).permutation(len(stored["unit"]))[:options.removals]
    for k in picks:
        e, unit = stored["example"][k], stored["unit"][k]
        what = f"removal {k} (example {e}, unit {unit})"
        report.close(what + " coefficient", stored["coefficient"][k], runs[e][-1]["m"][unit], 2e-5)
        after = model.scores(model.run(tokens[offsets[e]:offsets[e + 1]], (n_layers - 1, unit))[-1]["o"], "final-norm")[0]
        t = stored["prediction"][e]
        report.close(what + " log p", stored["log_p_change"][k], after[t] - before[e][t], 1e-5)
        report.close(what + " divergence", stored["divergence"][k], (np.exp(before[e]) * (before[e] - after)).sum(), 2e-6)
        after_best, after_gap = two_best(after[None])
        report.equal(what + " top", stored["top_after"][k], after_best[0], after_gap[0] < NEAR)
        own = model.scores(np.sign(runs[e][-1]["m"][unit]) * model.values[-1][unit], options.lens)[0]
        for name, token in (("rank_prediction", t), ("rank_layer", stored["layer_prediction"][e])):
            near = (np.abs(own - own[token]) < 2e-5).sum() - 1
            report.equal(f"{what} {name}", stored[name][k], (own > own[token]).sum(),
                         abs(stored[name][k] - (own > own[token]).sum()) <= near)


def make_llama(folder, text):
    """A small random gated model with the demo model's tokenizer."""
    from transformers import LlamaConfig, LlamaForCausalLM

    demo = ROOT / "tools" / "demo" / "wikitext2-relu-12x256"
    torch.manual_seed(7)
    config = LlamaConfig(vocab_size=8192, hidden_size=48, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4,
                         num_key_value_heads=2, max_position_embeddings=256, bos_token_id=0, eos_token_id=0, initializer_range=0.3)
    LlamaForCausalLM(config).save_pretrained(folder)
    (folder / "tokenizer.json").write_bytes((demo / "tokenizer.json").read_bytes())


def made_up_text(folder, path):
    words = [line.rsplit(" ", 1)[0] for line in (Path(folder) / "dict.txt").read_text().splitlines()]
    random = np.random.default_rng(3)
    lines = [" ".join(random.choice(words, random.integers(2, 30))) for _ in range(200)]
    path.write_text("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ffmem")
    parser.add_argument("model", nargs="?")
    parser.add_argument("text", nargs="?")
    parser.add_argument("--llama", metavar="TEXT")
    parser.add_argument("--fairseq", metavar="MODEL")
    parser.add_argument("--examples", type=int, default=400)
    parser.add_argument("--effect-examples", type=int, default=30)
    parser.add_argument("--removals", type=int, default=150)
    parser.add_argument("--lens", default="raw")
    parser.add_argument("--stream-lens", default="final-norm")
    parser.add_argument("--active-above", type=float, default=0.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        if options.llama:
            options.model, options.text = folder / "llama", options.llama
            make_llama(options.model, options.text)
        if options.fairseq:
            options.model, options.text = options.fairseq, folder / "text.txt"
            made_up_text(options.model, options.text)
        out = folder / "out"
        for name in EXPERIMENTS:
            subprocess.run([options.ffmem, "experiment", name, options.model, "--valid", options.text, "-o", out, "--quiet",
                            "--examples", str(options.examples), "--effect-examples", str(options.effect_examples),
                            "--lens", options.lens, "--stream-lens", options.stream_lens,
                            "--active-above", str(options.active_above)], check=True, stdout=subprocess.DEVNULL)
        model = Fairseq(options.model) if options.fairseq else HuggingFace(options.model)
        if options.fairseq:
            words = [line.rsplit(" ", 1)[0] for line in (Path(options.model) / "dict.txt").read_text().splitlines()]
            vocabulary = lambda t: words[t - 4] if t >= 4 else ""
        else:
            from tokenizers import Tokenizer

            tokenizer = Tokenizer.from_file(str(Path(options.model) / "tokenizer.json"))
            vocabulary = lambda t: tokenizer.decode([t], skip_special_tokens=False)
        report = Report()
        stored = load_file(out / "data" / "layer-pass.safetensors")
        check_pass(model, stored, options, report)
        check_tables(out, stored, len(model.values[0]), vocabulary, report)
        check_effects(model, load_file(out / "data" / "memory-effects.safetensors"), options, report)
    print(f"{report.n} numbers, {report.near} differ by a near tie, worst relative difference {report.worst:.2g}, {report.failed} wrong")
    sys.exit(1 if report.failed else 0)


if __name__ == "__main__":
    main()
