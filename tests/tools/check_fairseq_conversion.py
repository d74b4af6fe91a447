#!/usr/bin/env python3
"""Checks tools/convert/fairseq_to_ffmem.py: checkpoints of several ages, made from tests/data/fairseq, must come back as they were.

    python tests/tools/check_fairseq_conversion.py

in an environment with torch and safetensors. And what is no checkpoint must be told in one line that says so.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file

ROOT = Path(__file__).parents[2]
GOLDENS = ROOT / "tests" / "data" / "fairseq"
SCRIPT = ROOT / "tools" / "convert" / "fairseq_to_ffmem.py"
SOFTMAX = "decoder.adaptive_softmax"
EMBEDDINGS = "decoder.embed_tokens.embeddings"


class Meter:
    """A class that the converter must not need, and whose unpickling must not run."""

    def __reduce__(self):
        return (os.putenv, ("FFMEM_UNPICKLED", "yes"))


def fairseq_state(tensors, arguments):
    """The state dictionary as fairseq saves it: duplicates of tied tensors, buffers."""
    state = dict(tensors)
    if arguments.get("tie_adaptive_weights"):
        state[f"{SOFTMAX}.head.word_proj.weight"] = state[f"{EMBEDDINGS}.0.0.weight"]
        for band in (1, 2):
            state[f"{SOFTMAX}.tail.{band - 1}.2.weight"] = state[f"{EMBEDDINGS}.{band}.0.weight"]
            if arguments.get("tie_adaptive_proj"):
                state[f"{SOFTMAX}.tail.{band - 1}.0.weight"] = state[f"{EMBEDDINGS}.{band}.1.weight"]
    state["decoder.embed_positions._float_tensor"] = torch.full((1,), float("nan"))
    state[f"{SOFTMAX}.version"] = torch.ones(1, dtype=torch.int64)
    return state


def old_names(state):
    """As before fairseq split the attention's input matrix and named the norms."""
    found = {}
    for name, tensor in state.items():
        name = name.replace(".self_attn_layer_norm.", ".layer_norms.0.")
        if ".layers." in name:
            name = name.replace(".final_layer_norm.", ".layer_norms.2.")
        if ".self_attn.q_proj." in name:
            parts = [state[name.replace("q_proj", f"{part}_proj")] for part in "qkv"]
            found[name.replace("q_proj.", "in_proj_")] = torch.cat(parts)
        elif ".self_attn.k_proj." not in name and ".self_attn.v_proj." not in name:
            found[name] = tensor
    return found


def check(name, change=lambda checkpoint: checkpoint, half=False, edit_words=lambda words: words, in_place=False, **save_options):
    arguments = json.loads((GOLDENS / name / "config.json").read_text())
    del arguments["_not_fairseq_args"]
    tensors = load_file(GOLDENS / name / "model.safetensors")
    if half:
        tensors = {key: tensor.half() for key, tensor in tensors.items()}
    state = fairseq_state(tensors, arguments)
    checkpoint = change({"args": argparse.Namespace(**arguments, lr=[0.1]), "model": state})
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "in", Path(folder) / ("in" if in_place else "out")
        source.mkdir()
        torch.save(checkpoint, source / "model.pt", **save_options)
        words = edit_words((GOLDENS / name / "dict.txt").read_bytes())
        (source / "dict.txt").write_bytes(words)
        subprocess.run([sys.executable, SCRIPT, source, out], check=True, stdout=subprocess.DEVNULL)
        found = load_file(out / "model.safetensors")
        config = json.loads((out / "config.json").read_text())
        assert (out / "dict.txt").read_bytes() == words
    expected = {key.replace("decoder.embed_out", "decoder.output_projection.weight"): t for key, t in tensors.items()}
    if expected.get("decoder.version", torch.ones(1)) <= 2:
        expected = {key: t for key, t in expected.items() if not key.startswith("decoder.layer_norm.")}
        assert config["no_decoder_final_norm"] is True
    assert found.keys() == expected.keys(), found.keys() ^ expected.keys()
    for key, tensor in expected.items():
        assert torch.equal(found[key], tensor.float()), key
    for key, value in arguments.items():
        if key not in ("decoder_normalize_before", "no_decoder_final_norm"):
            assert config[key] == value, (key, config[key], value)


def check_refused(write, *parts):
    """`write` makes model.pt, whose error must have each of the parts."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in"
        source.mkdir()
        (source / "dict.txt").write_text("word 1\n")
        write(source / "model.pt")
        command = [sys.executable, SCRIPT, source, Path(folder) / "out"]
        result = subprocess.run(command, check=False, capture_output=True, text=True)
        assert not (Path(folder) / "out").exists()
    assert result.returncode == 1 and "Traceback" not in result.stderr, result.stderr
    for part in ("model.pt: ", *parts):
        assert part in result.stderr.splitlines()[-1], result.stderr


def saved(value):
    return lambda path: torch.save(value, path)


def check_what_is_no_checkpoint():
    state = {"decoder.version": torch.ones(1)}
    check_refused(lambda path: path.write_bytes(b""), "expected a checkpoint that torch.save wrote")
    check_refused(lambda path: path.write_text("no pickle"), "expected a checkpoint that torch.save wrote")
    check_refused(lambda path: path.write_bytes(b"PK\x03\x04 no archive"), "expected a checkpoint that torch.save wrote")
    check_refused(saved([1, 2]), "a dictionary", "class list")
    check_refused(saved({"args": argparse.Namespace()}), "'model' to hold tensors by name", "missing")
    check_refused(saved({"model": [1]}), "'model' to hold tensors by name", "class list")
    check_refused(saved({"model": {"a": 1}}), "'model' to hold tensors by name")
    check_refused(saved({"model": state}), "'args' or in cfg['model']")
    check_refused(saved({"model": state, "cfg": Meter()}), "--trust would load them")
    check_refused(saved({"model": state, "args": 7}), "arguments by name", "class int")
    check_refused(saved({"model": state, "args": argparse.Namespace()}), "decoder.embed_tokens.weight")


def main():
    for name in sorted(folder.name for folder in GOLDENS.iterdir()):
        check(name)
    check("adaptive", half=True, _use_new_zipfile_serialization=False)
    check("adaptive", lambda c: c | {"model": old_names(c["model"])})
    check("adaptive", lambda c: c | {"extra_state": {"train_meters": {"loss": Meter()}}})
    check("adaptive", lambda c: c | {"extra_state": [Meter()]}, _use_new_zipfile_serialization=False)
    check("adaptive", lambda c: {"model": c["model"], "cfg": {"model": vars(c["args"])}})
    check("adaptive", edit_words=lambda words: words.removesuffix(b"\n"))
    check("adaptive", in_place=True)
    check_what_is_no_checkpoint()
    print("every checkpoint came back as it was")


if __name__ == "__main__":
    main()
