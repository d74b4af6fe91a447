#!/usr/bin/env python3
"""Makes tests/data/fairseq/adaptive/scores.safetensors: what the authors' `SequenceScorer._get_layer_residual_scores` computes at
every position of a model's stored sequences, in float64 NumPy, from the activations in its oracle.safetensors.

    python tests/data/make_score_goldens.py [FOLDER]

in an environment with numpy and safetensors. The names and meanings are those of the authors' code with two differences:
`active_memories` counts the entries above 0 (theirs is one too high), and `ffn_matching_dims_ambiguous` counts the active values
whose two best words lie within 2e-5.
"""

import json
import sys
from pathlib import Path

import numpy as np
from make_fairseq_goldens import Reference
from safetensors.numpy import load_file, save_file


def scores(softmax, value, residual, fc1, ffn, out, final):
    """One layer of one sequence; `final` [T] is the model's prediction."""
    rows = np.arange(len(final))
    result = {}
    log_p = {"layer_output": softmax(out), "residual": softmax(residual), "ffn": softmax(ffn)}
    for name, p in log_p.items():
        result[name + "_argmax"] = p.argmax(-1)
        result[name + "_argmax_prob"] = np.exp(p.max(-1)).astype(np.float32)
    for name, target in (("residual_output", final), ("ffn_output", final), ("ffn_residual_output", result["residual_argmax"])):
        p = log_p["residual" if name == "residual_output" else "ffn"]
        own = p[rows, target]
        result[name + "_rank"] = (p > own[:, None]).sum(-1)
        result[name + "_prob"] = np.exp(own).astype(np.float32)
    result["residual_argmax_change"] = (result["layer_output_argmax"] != result["ffn_argmax"]).astype(np.int64)
    result["active_memories"] = (fc1 > 0).sum(-1)
    matching, ambiguous = [], []
    for t in rows:
        active = np.flatnonzero(fc1[t] > 0)
        p = softmax(fc1[t, active, None] * value[active])
        best = np.sort(p, -1)
        matching.append((p.argmax(-1) == result["layer_output_argmax"][t]).sum())
        ambiguous.append((best[:, -1] - best[:, -2] < 2e-5).sum())
    result["ffn_matching_dims_count"] = np.array(matching)
    result["ffn_matching_dims_ambiguous"] = np.array(ambiguous)
    return result


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "fairseq" / "adaptive"
    weights = load_file(folder / "model.safetensors")
    reference = Reference(json.loads((folder / "config.json").read_text()), weights)
    stored = {k: v.astype(np.float64) for k, v in load_file(folder / "oracle.safetensors").items()}
    tensors = {}
    for s in range(len(json.loads((folder / "oracle.json").read_text())["sequences"])):
        final = stored[f"seq{s}.logprobs"].argmax(-1)
        layer = 0
        while f"seq{s}.layer{layer}.fc1" in stored:
            get = lambda name: stored[f"seq{s}.layer{layer}.{name}"]
            value = weights[f"decoder.layers.{layer}.fc2.weight"].astype(np.float64).T
            found = scores(reference.log_probabilities, value, get("residual"), get("fc1"), get("ffn_out"), get("out"), final)
            for name, array in found.items():
                tensors[f"seq{s}.layer{layer}.scores.{name}"] = array
            layer += 1
    known = load_file(folder / "oracle.safetensors")
    for name, array in tensors.items():
        if name in known:  # the authors' own numbers: compare
            expected = known[name]
            off = np.abs(array.astype(np.float64) - expected).max()
            assert off <= (2e-4 if name.endswith("prob") else 1 if "rank" in name or "dims" in name else 0), (name, off)
    if any(name in known for name in tensors):
        print(f"{len(tensors)} tensors agree with {folder}")
        return
    save_file(tensors, folder / "scores.safetensors")


if __name__ == "__main__":
    main()
