#!/usr/bin/env python3
"""Recomputes the experiments on keys and values with PyTorch and NumPy, from the model's weights, and compares.

    python tests/tools/check_experiments_keys_values.py BUILD/tools/ffmem TEXT [--fairseq FOLDER]

in an environment with torch, transformers, tokenizers, safetensors and numpy. TEXT is UTF-8, its first 2,000 lines are the training
text of the default model; a gated model (tests/data/hf/llama) and one with an adaptive softmax (tests/data/fairseq/adaptive, or
FOLDER) get made-up texts of their own words. The reference computes in float64. Counts must be equal, ranks equal but for
tokens whose scores differ by less than float32 tells apart, everything else within 1e-4. Random baselines are compared with
what they estimate. Prints one line a comparison and ends with an error if one failed.
"""

import argparse
import csv
import json
import math
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file

from reference_models import ROOT, Fairseq, HuggingFace, gated_model, made_up_text

failures = []


def report(what, good, detail=""):
    print(f"  {'ok  ' if good else 'FAIL'} {what} {detail}", flush=True)
    if not good:
        failures.append(what)


def close(what, found, expected, relative=1e-4, absolute=1e-6):
    found, expected = np.asarray(found, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    both_nan = np.isnan(found) & np.isnan(expected)
    error = np.where(both_nan, 0.0, np.abs(found - expected) - relative * np.abs(expected))
    worst = float(np.max(error)) if error.size else 0.0
    report(what, not math.isnan(worst) and worst <= absolute, f"({found.size} numbers, worst excess {worst:.1e})")


def equal(what, found, expected):
    found, expected = np.asarray(found), np.asarray(expected)
    report(what, found.shape == expected.shape and bool(np.all(found == expected)), f"({found.size} numbers)")


def read_csv(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def column(rows, name):
    return [float(row[name]) if row[name] else math.nan for row in rows]


class Run:
    """One model's results, and the store that they rest on."""

    def __init__(self, ffmem, folder, model, text, out):
        self.ffmem, self.folder, self.model, self.text, self.out = ffmem, folder, model, text, out
        for name in ("trigger-patterns", "token-removal", "value-agreement", "value-ranks", "predictive-values", "annotation"):
            self.run(name)
        path = out / "data" / "triggers.safetensors"
        with safe_open(path, "numpy") as file:
            self.metadata = file.metadata()
        self.store = load_file(path)
        self.n_layers, self.d_memory, self.top = self.store["coefficient"].shape
        self.prefix = [int(self.metadata["prefix_token"])] if self.metadata.get("prefix_token") else []
        offsets = self.store["sentence_offsets"]
        self.tokens = {
            int(index): self.store["sentence_tokens"][offsets[i] : offsets[i + 1]].tolist()
            for i, index in enumerate(self.store["sentence_index"])
        }

    def run(self, name, *options):
        command = [self.ffmem, "experiment", name, self.folder, "--train", self.text, "-o", self.out, "--quiet", "--sentences", "lines"]
        subprocess.run([*map(str, command), "--removal-keys", "2", *options], check=True, stdout=subprocess.DEVNULL)

    def examples(self, layer, unit):
        """[(sentence's tokens, position, coefficient)], best first."""
        found = []
        for e in range(self.top):
            sentence = int(self.store["sentence"][layer, unit, e])
            if sentence < 0:
                break
            found.append((self.tokens[sentence], int(self.store["position"][layer, unit, e]), self.store["coefficient"][layer, unit, e]))
        return found

    def target(self, example):
        tokens, position, _ = example
        return tokens[position + 1] if position + 1 < len(tokens) else None


def check_triggers(run):
    """The t best coefficients of every key over all sentences, one prefix of a sentence."""
    context = int(run.metadata["context"]) - len(run.prefix)
    best = []
    for line in Path(run.text).read_text(encoding="utf-8").splitlines():
        tokens = run.model.encode(line.strip())[:context]
        if tokens:
            best.append(run.model.coefficients(run.prefix + tokens)[:, len(run.prefix) :].max(axis=1).astype(np.float32))
    best = np.sort(np.maximum(np.stack(best), 0.0), axis=0)[::-1][: run.top]  # [t, L, d_m]
    best = np.concatenate([best, np.zeros((run.top - len(best), *best.shape[1:]), np.float32)])
    close("trigger examples' coefficients", run.store["coefficient"], best.transpose(1, 2, 0), absolute=2e-5)


def check_patterns(run):
    """The share of a key's 25 best prefixes that have its most common last token, or last two."""
    rows = read_csv(run.out / "trigger-patterns" / "layers.csv")
    n = min(25, run.top)
    for length, name in ((1, "same token"), (2, "same bigram")):
        expected = []
        for layer in range(run.n_layers):
            shares = []
            for unit in range(run.d_memory):
                prefixes = [tokens[: position + 1] for tokens, position, _ in run.examples(layer, unit)[:n]]
                if len(prefixes) == n:
                    endings = [tuple(p[-length:]) for p in prefixes if len(p) >= length]
                    shares.append(max((endings.count(e) for e in endings), default=0) / n)
            expected.append(np.mean(shares) if shares else math.nan)
        close(f"trigger patterns: {name}", column(rows, name), expected, relative=1e-9)


def check_values(run):
    """Targets, ranks, agreement, boxes, bins and the best values."""
    scores = load_file(run.out / "data" / "value-scores.safetensors")
    table = load_file(run.out / "data" / "values.safetensors")
    frequency = np.zeros(int(table["tokens"].max()) + 1 + len(run.store["vocabulary_offsets"]))
    context = int(run.metadata["context"]) - len(run.prefix)
    for line in Path(run.text).read_text(encoding="utf-8").splitlines():
        np.add.at(frequency, run.model.encode(line.strip())[:context], 1)
    agreement, permuted, by_frequency, targets, slack_ok, log_p_target, max_p = [], [], [], [], True, [], []
    frequency /= frequency.sum()
    for layer in range(run.n_layers):
        log_p = run.model.log_probabilities(run.model.values[layer])
        prediction = log_p.argmax(axis=1)
        examples = [run.examples(layer, unit) for unit in range(run.d_memory)]
        w = np.array([-1 if not e or run.target(e[0]) is None else run.target(e[0]) for e in examples])
        has = w >= 0
        targets.append(w)
        max_p.append(np.exp(log_p.max(axis=1)))
        two = np.sort(log_p, axis=1)[:, -2:]
        clear = two[:, 1] - two[:, 0] > 2e-5
        slack_ok &= bool(np.all((table["tokens"][layer, :, 0] == prediction) | ~clear))
        prediction = table["tokens"][layer, :, 0]  # equal but for ties
        agreement.append((int(has.sum()), int((prediction[has] == w[has]).sum())))
        pairs = (prediction[has][:, None] == w[has][None, :]).sum() - (prediction[has] == w[has]).sum()
        permuted.append(100.0 * pairs / max(1, has.sum() * (has.sum() - 1)))
        by_frequency.append(100.0 * frequency[prediction[has]].mean())
        own = np.take_along_axis(log_p, np.maximum(w, 0)[:, None], axis=1)
        at_least, above = (log_p > own - 2e-5).sum(axis=1), (log_p > own + 2e-5).sum(axis=1)
        rank = scores["rank"][layer]
        slack_ok &= bool(np.all(((rank >= above) & (rank < at_least)) | ~has))
        log_p_target.append(np.where(has, own[:, 0], np.nan))
    report("value predictions and ranks", slack_ok)
    equal("targets", scores["target"], np.stack(targets))
    close("log-probabilities of targets", scores["log_probability"], np.stack(log_p_target), absolute=2e-5)
    close("max(p)", table["max_probability"], np.stack(max_p), absolute=1e-9)
    check_agreement(run, agreement, permuted, by_frequency)
    check_ranks(run, scores["rank"])
    check_predictive(run, table, np.stack(targets))


def check_agreement(run, agreement, permuted, by_frequency):
    rows = read_csv(run.out / "value-agreement" / "layers.csv")
    equal("keys compared", column(rows, "keys compared"), [n for n, _ in agreement])
    equal("values that agree", column(rows, "agreeing"), [n for _, n in agreement])
    close("agreement", column(rows, "agreement %"), [100.0 * a / n for n, a in agreement], relative=1e-9)
    close("agreement by frequency", column(rows, "by frequency %"), by_frequency)
    # A permuted rate has a variance near that of a binomial one; the mean is over 100.
    errors = [10.0 * math.sqrt(max(p, 1e-9) / n) for p, (n, _) in zip(permuted, agreement)]
    found = np.array(column(rows, "permuted %"))
    report("permuted agreement", bool(np.all(np.abs(found - permuted) <= 5 * np.array(errors) / 10 + 1e-9)), f"({len(found)} numbers)")


def check_ranks(run, ranks):
    rows = read_csv(run.out / "value-ranks" / "layers.csv")
    for name, q in (("quartile1", 25), ("median", 50), ("quartile3", 75)):
        expected = [np.percentile(layer[layer >= 0], q) for layer in ranks]
        close(f"ranks: {name}", column(rows, name), expected, relative=1e-12)
    close("ranks: mean", column(rows, "mean"), [layer[layer >= 0].mean() for layer in ranks], relative=1e-12)


def check_predictive(run, table, targets):
    p = table["max_probability"].astype(np.float64)
    prediction = table["tokens"][:, :, 0]
    has = targets >= 0
    n = int(has.sum())
    by_width = np.clip(np.searchsorted([p[has].max() * b / 20 for b in range(21)], p[has], side="right") - 1, 0, 19)
    by_rank = np.empty(n, dtype=int)  # of equal ones the later value is the less sure
    by_rank[np.argsort(-p[has], kind="stable")[::-1]] = np.searchsorted([b * n // min(20, n) for b in range(1, min(20, n))], range(n), side="right")
    for name, place in (("bins", by_width), ("bins-equal-count", by_rank)):
        rows = read_csv(run.out / "predictive-values" / f"{name}.csv")
        equal(f"{name}: values", column(rows, "values"), np.bincount(place, minlength=len(rows)))
        agreeing = np.bincount(place, weights=(prediction[has] == targets[has]), minlength=len(rows))
        equal(f"{name}: agreeing", column(rows, "agreeing"), agreeing)
    order = np.argsort(-p.reshape(-1), kind="stable")[:100]
    rows = read_csv(run.out / "predictive-values" / "best-values.csv")
    equal("best values", [(int(r["layer"]) - 1) * run.d_memory + int(r["unit"]) for r in rows], order)
    counts, with_target = [], []
    for i in order:
        layer, unit = divmod(int(i), run.d_memory)
        next_tokens = [run.target(e) for e in run.examples(layer, unit)]
        counts.append(sum(t == prediction[layer, unit] for t in next_tokens))
        with_target.append(sum(t is not None for t in next_tokens))
    equal("best values: examples with a next token", column(rows, "examples"), with_target)
    equal("best values: agreeing examples", column(rows, "agreeing"), counts)
    estimates = json.loads((run.out / "predictive-values" / "result.json").read_text())["estimates"]
    close("values that agree", estimates["values that agree"]["value"], np.mean((prediction == targets)[has]), relative=1e-9)
    upper = np.mean([16 * (int(i) // run.d_memory + 1) > 10 * run.n_layers for i in order])
    close("best values in upper layers", estimates["best values in upper layers"]["value"], upper)
    close("best values with an example", estimates["best values with an agreeing example"]["value"], np.mean(np.array(counts) > 0))


def check_removal(run):
    removal = load_file(run.out / "data" / "token-removal.safetensors")
    expected = np.full(removal["removed_coefficient"].shape, np.nan)
    for layer, k in np.ndindex(removal["unit"].shape):
        cache = {}
        unit = int(removal["unit"][layer, k])
        for e, (tokens, position, _) in enumerate(run.examples(layer, unit)):
            prefix = tokens[: position + 1]
            if len(prefix) < 2:
                continue
            chosen = int(removal["random_position"][layer, k, e])
            assert 0 <= chosen < len(prefix)
            for r, at in enumerate((0, len(prefix) - 1, chosen)):
                short = tuple(run.prefix + prefix[:at] + prefix[at + 1 :])
                if short not in cache:
                    cache[short] = run.model.coefficients(list(short))[:, -1].copy()
                expected[layer, k, e, r] = cache[short][layer, unit]
    close("coefficients without a token", removal["removed_coefficient"], expected, absolute=2e-5)
    change = 100.0 * (removal["removed_coefficient"].astype(np.float64) / removal["coefficient"][..., None] - 1.0)
    rows = read_csv(run.out / "token-removal" / "layers.csv")
    for r, name in enumerate(("first", "last", "random")):
        per_key = [[np.nanmean(c) for c in layer[..., r] if not np.all(np.isnan(c))] for layer in change]
        close(f"change without the {name} token", column(rows, name), [np.mean(k) for k in per_key], relative=1e-9)


def check_annotation(run):
    """Two annotators who fill in at random, by the rules."""
    classes = []
    for name in ("first", "second"):
        chance = random.Random(name)
        folder = run.out / name
        shutil.copytree(run.out / "annotation", folder)
        prefixes, patterns = read_csv(folder / "annotation.csv"), read_csv(folder / "patterns.csv")
        types, found = {}, []
        keys = sorted({(r["layer"], r["unit"]) for r in prefixes})
        for key in keys:
            rows = [r for r in prefixes if (r["layer"], r["unit"]) == key]
            for number in ("1", "2"):
                marked = [r for r in rows if chance.random() < 0.4]
                if len(marked) < 3:
                    continue
                types[key, number] = chance.choice(("shallow", "semantic"))
                for r in marked:
                    r[f"pattern {number}"] = number
        for r in patterns:
            if (r["layer"], r["unit"], r["pattern"]) in {(*k, n) for k, n in types}:
                r["description"], r["type"] = "some, \"pattern\"", types[(r["layer"], r["unit"]), r["pattern"]]
        for r in prefixes:
            found.append("+".join(sorted({types[(r["layer"], r["unit"]), n] for n in ("1", "2") if r[f"pattern {n}"]})))
        classes.append(found)
        for rows, file in ((prefixes, "annotation.csv"), (patterns, "patterns.csv")):
            with open(folder / file, "w", newline="", encoding="utf-8") as out:
                writer = csv.DictWriter(out, rows[0].keys())
                writer.writeheader()
                writer.writerows(rows)
    layers = np.array([int(r["layer"]) for r in prefixes])
    run.run("annotation", "--annotations", str(run.out / "first"), str(run.out / "second"))
    estimates = json.loads((run.out / "annotation" / "result.json").read_text())["estimates"]
    names = {"shallow": "shallow", "semantic+shallow": "shallow + semantic", "semantic": "semantic", "": "not covered"}
    for kind, name in names.items():
        for layer in range(1, run.n_layers + 1):
            both = [[c == kind for c, l in zip(found, layers) if l == layer] for found in classes]
            expected = np.mean(both) if len(both[0]) else math.nan
            value = estimates[f"layer {layer} {name}"]["value"]
            if abs(value - expected) > 1e-9:
                report(f"annotation: layer {layer} {name}", False, f"expected {expected}, found {value}")
    observed = np.mean([a == b for a, b in zip(*classes)])
    by_chance = sum(np.mean([c == kind for c in classes[0]]) * np.mean([c == kind for c in classes[1]]) for kind in names)
    close("Cohen's kappa", estimates["Cohen's kappa"]["value"], (observed - by_chance) / (1 - by_chance), relative=1e-9)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("ffmem", type=Path)
    arguments.add_argument("text", type=Path)
    arguments.add_argument("--fairseq", type=Path, default=ROOT / "tests" / "data" / "fairseq" / "adaptive")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        with open(options.text, encoding="utf-8") as file:
            (work / "head.txt").write_text("".join(line for line, _ in zip(file, range(2000))), encoding="utf-8")
        made_up_text(work / "w.txt", "w", 60)
        made_up_text(work / "word.txt", "word", 50)
        gated = gated_model(work / "llama")
        default = ROOT / "tools" / "demo" / "wikitext2-relu-12x256"
        for folder, model, text in (
            (gated, HuggingFace, work / "w.txt"),
            (options.fairseq, Fairseq, work / "word.txt"),
            (default, HuggingFace, work / "head.txt"),
        ):
            print(folder)
            run = Run(options.ffmem, folder, model(folder), text, work / f"out-{folder.name}")
            for check in (check_triggers, check_patterns, check_values, check_removal, check_annotation):
                check(run)
    print(f"{len(failures)} failures")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
