#!/usr/bin/env python3
"""A fairseq language model (transformer_lm) as a folder that ffmem loads.

    python fairseq_to_ffmem.py MODEL_FOLDER OUT_FOLDER     from MODEL_FOLDER/model.pt and dict.txt, such as the published
                                                           adaptive_lm_wiki103.v2 archive has
    python fairseq_to_ffmem.py --random OUT_FOLDER         random weights of exactly that model's shape (247 M parameters,
                                                           1 GB), to measure speed and memory without the real one

OUT_FOLDER gets model.safetensors (float32, fairseq's tensor names, tied tensors once), config.json (fairseq's arguments by
their own names; what is none is under _not_fairseq_args) and dict.txt.

Needs torch, or with --random only numpy; never fairseq. A pickle can name any function to be called on loading. This script
calls none: it takes torch's own restricted reader, and where a file holds more than that reader allows (training meters,
optimiser history) one that leaves everything but tensors, dictionaries and the arguments as empty placeholders. --trust loads the
pickle as it is, running what it says: only for files of your own whose arguments are objects of other classes.
"""

import argparse
import collections
import json
import pickle
import re
import shutil
import sys
import types
from pathlib import Path

from safetensors_file import write_safetensors

# Arguments that shape the model, with what fairseq takes where an old checkpoint lacks them. None: see complete_arguments.
ARGUMENTS = {
    "arch": "transformer_lm",
    "activation_fn": "relu",
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
    "decoder_embed_dim": 512,
    "decoder_input_dim": None,
    "decoder_output_dim": None,
    "decoder_ffn_embed_dim": 2048,
    "decoder_layers": 6,
    "decoder_attention_heads": 8,
    "decoder_normalize_before": True,
    "no_decoder_final_norm": False,
    "adaptive_input": False,
    "adaptive_input_cutoff": None,
    "adaptive_input_factor": 4,
    "adaptive_softmax_cutoff": None,
    "adaptive_softmax_factor": 4,
    "adaptive_softmax_dropout": 0.0,
    "tie_adaptive_weights": False,
    "tie_adaptive_proj": False,
    "share_decoder_input_output_embed": False,
    "no_token_positional_embeddings": False,
    "decoder_learned_pos": False,
    "no_scale_embedding": False,
    "layernorm_embedding": False,
    "character_embeddings": False,
    "add_bos_token": False,
    "decoder_layers_to_keep": None,
    "tokens_per_sample": 1024,
    "max_target_positions": None,
}
N_SPECIAL_WORDS = 4  # <s>, <pad>, </s>, <unk> come before the words of dict.txt

WIKITEXT_103 = {
    "arch": "transformer_lm_wiki103",
    "decoder_embed_dim": 1024,
    "decoder_ffn_embed_dim": 4096,
    "decoder_layers": 16,
    "no_decoder_final_norm": True,
    "adaptive_input": True,
    "adaptive_input_cutoff": "20000,60000",
    "adaptive_softmax_cutoff": "20000,60000",
    "tie_adaptive_weights": True,
    "tie_adaptive_proj": True,
    "tokens_per_sample": 3072,
}
WIKITEXT_103_VOCABULARY = 267744


# Reading a checkpoint


class Placeholder:
    """Stands in the place of an object of a class that is not needed; takes what unpickling does to it, and does nothing."""

    def __new__(cls, *_, **__):
        return object.__new__(cls)

    def __init__(self, *_, **__):
        pass

    def __setstate__(self, _):
        pass

    def __setitem__(self, _, __):
        pass

    def append(self, _):
        pass

    def extend(self, _):
        pass


class PlaceholderUnpickler(pickle.Unpickler):
    """Finds the classes that tensors, dictionaries and arguments are made of, and Placeholder for every other name."""

    def find_class(self, module, name):
        import torch

        known = {
            ("collections", "OrderedDict"): collections.OrderedDict,
            ("argparse", "Namespace"): argparse.Namespace,
            ("torch", "Size"): torch.Size,
            ("torch._utils", "_rebuild_tensor"): torch._utils._rebuild_tensor,
            ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
            ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter,
        }
        if module == "torch" and re.fullmatch(r"[A-Z][A-Za-z0-9]*Storage", name):
            return getattr(torch, name)
        return known.get((module, name), Placeholder)


def read_checkpoint(path, trust):
    import torch

    if trust:
        return torch.load(path, map_location="cpu", weights_only=False)
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        print(f"{path}: holds more than tensors and arguments; the rest is left out", file=sys.stderr)
    reader = types.ModuleType("placeholder_pickle")
    reader.__dict__.update(Unpickler=PlaceholderUnpickler, load=lambda file, **keys: PlaceholderUnpickler(file, **keys).load())
    return torch.load(path, map_location="cpu", weights_only=False, pickle_module=reader)


def arguments_of(checkpoint):
    stored = checkpoint.get("args") or (checkpoint.get("cfg") or {}).get("model")
    if stored is None:
        sys.exit("the checkpoint has neither 'args' nor cfg['model']")
    if isinstance(stored, Placeholder):
        sys.exit("the checkpoint's arguments are objects of another class; --trust would load them")
    return dict(stored) if isinstance(stored, dict) else vars(stored)


# Arguments and names as of today


def complete_arguments(stored, version):
    """The arguments of ARGUMENTS, renamed and filled in as fairseq does for older checkpoints."""
    stored = dict(stored)
    if "no_tie_adaptive_proj" in stored:  # before this name went, there was no final norm
        stored["no_decoder_final_norm"] = True
        stored["tie_adaptive_proj"] = not stored["no_tie_adaptive_proj"]
    if "decoder_final_norm" in stored:
        stored["no_decoder_final_norm"] = not stored["decoder_final_norm"]
    if version <= 2:  # the norm is dropped whatever the arguments say
        stored["no_decoder_final_norm"] = True
    found = {key: default if stored.get(key) is None else stored[key] for key, default in ARGUMENTS.items()}
    found["decoder_normalize_before"] = True  # transformer_lm sets it, whatever was asked for
    for key in ("decoder_input_dim", "decoder_output_dim"):
        found[key] = found[key] or found["decoder_embed_dim"]
    for key in ("adaptive_input_cutoff", "adaptive_softmax_cutoff"):
        if isinstance(found[key], (list, tuple)):
            found[key] = ",".join(str(int(cutoff)) for cutoff in found[key])
    found["max_target_positions"] = found["max_target_positions"] or found["tokens_per_sample"]
    for key, value in found.items():
        if not isinstance(value, (str, int, float, bool, type(None))):
            sys.exit(f"argument {key}: expected a plain value, found {value!r}")
    return found


def modern_names(state):
    """The state dictionary under fairseq's present names, without buffers that carry no model."""
    found = {}
    for name, tensor in state.items():
        packed = re.fullmatch(r"(.*self_attn\.)in_proj_(weight|bias)", name)
        numbered = re.fullmatch(r"(decoder\.layers\.\d+\.)layer_norms\.([02])\.(weight|bias)", name)
        if packed:
            for part, rows in zip("qkv", tensor.chunk(3), strict=True):
                found[f"{packed[1]}{part}_proj.{packed[2]}"] = rows
        elif numbered:
            norm = {"0": "self_attn_layer_norm", "2": "final_layer_norm"}[numbered[2]]
            found[f"{numbered[1]}{norm}.{numbered[3]}"] = tensor
        elif name == "decoder.embed_out":
            found["decoder.output_projection.weight"] = tensor
        elif name.endswith("_float_tensor") or name in (
            "decoder.embed_positions.weights",
            "decoder.adaptive_softmax.version",
        ):
            continue
        else:
            found[name] = tensor
    return found


def ties(arguments, n_bands):
    """Duplicate name -> the name under which the tensor is stored, as the arguments have it."""
    found = {}
    embeddings = "decoder.embed_tokens.embeddings"
    softmax = "decoder.adaptive_softmax"
    if arguments["share_decoder_input_output_embed"]:
        found["decoder.output_projection.weight"] = "decoder.embed_tokens.weight"
    if arguments["tie_adaptive_weights"]:
        found[f"{softmax}.head.word_proj.weight"] = f"{embeddings}.0.0.weight"
        for band in range(1, n_bands):
            found[f"{softmax}.tail.{band - 1}.2.weight"] = f"{embeddings}.{band}.0.weight"
            if arguments["tie_adaptive_proj"]:
                found[f"{softmax}.tail.{band - 1}.0.weight"] = f"{embeddings}.{band}.1.weight"
    return found


def drop_ties(tensors, tied):
    """Takes out the duplicates. Returns those that were there."""
    dropped = {}
    for duplicate, stored in tied.items():
        if duplicate not in tensors:
            continue
        if not tensors[duplicate].equal(tensors[stored]):
            sys.exit(f"{duplicate}: the arguments tie it to {stored}, but the two differ")
        del tensors[duplicate]
        dropped[duplicate] = stored
    return dropped


# Writing


def write_config(folder, arguments, vocab_size, tied):
    config = {"model_type": "fairseq_transformer_lm", **arguments}
    config["_not_fairseq_args"] = {
        "vocab_size": vocab_size,
        "bos": 0,
        "pad": 1,
        "eos": 2,
        "unk": 3,
        "layer_norm_eps": 1e-05,
        "torch_dtype": "float32",
        "dict": "dict.txt",
        "tied_tensors_stored_once": tied,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")


def convert(source, checkpoint_name, out, trust):
    checkpoint = read_checkpoint(source / checkpoint_name, trust)
    tensors = modern_names(checkpoint["model"])
    version = float(tensors["decoder.version"][0]) if "decoder.version" in tensors else 1.0
    arguments = complete_arguments(arguments_of(checkpoint), version)
    if version <= 2:
        for part in ("weight", "bias"):
            tensors.pop(f"decoder.layer_norm.{part}", None)

    bands = sorted(name for name in tensors if re.fullmatch(r"decoder\.embed_tokens\.embeddings\.\d+\.0\.weight", name))
    vocab_size = sum(len(tensors[name]) for name in bands or ["decoder.embed_tokens.weight"])
    words = (source / "dict.txt").read_bytes()
    n_words = words.count(b"\n") + (words[-1:] not in (b"", b"\n"))  # the last line may lack its end
    if n_words + N_SPECIAL_WORDS != vocab_size:
        sys.exit(f"{source / 'dict.txt'}: {n_words} words and {N_SPECIAL_WORDS} special ones; the model has {vocab_size}")

    dropped = drop_ties(tensors, ties(arguments, len(bands)))
    out.mkdir(parents=True, exist_ok=True)
    tensors = dict(sorted(tensors.items(), key=lambda item: item[0] == "decoder.version"))  # which is last: it is 4 bytes
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    write_safetensors(out / "model.safetensors", "F32", shapes, lambda name: tensors[name].float().contiguous().numpy().tobytes())
    write_config(out, arguments, vocab_size, dropped)
    if out.resolve() != source.resolve():
        shutil.copyfile(source / "dict.txt", out / "dict.txt")
    n_parameters = sum(tensor.numel() for name, tensor in tensors.items() if name != "decoder.version")
    print(f"{out}: {len(tensors)} tensors, {n_parameters:,} parameters, {vocab_size:,} words")


def shapes_of(arguments, vocab_size):
    """Every tensor of an adaptive model with tied tables and projections."""
    width, inner = arguments["decoder_embed_dim"], arguments["decoder_ffn_embed_dim"]
    cutoffs = [int(cutoff) for cutoff in arguments["adaptive_input_cutoff"].split(",")]
    borders = [0, *cutoffs, vocab_size]
    shapes = {}
    for band in range(len(borders) - 1):
        narrow = width // arguments["adaptive_input_factor"] ** band
        prefix = f"decoder.embed_tokens.embeddings.{band}."
        shapes[prefix + "0.weight"] = (borders[band + 1] - borders[band], narrow)
        shapes[prefix + "1.weight"] = (width, narrow)
    shapes["decoder.adaptive_softmax.head.class_proj.weight"] = (len(cutoffs), width)
    linear = {f"self_attn.{part}_proj": (width, width) for part in ("k", "v", "q", "out")}
    linear |= {"fc1": (inner, width), "fc2": (width, inner)}
    for layer in range(arguments["decoder_layers"]):
        prefix = f"decoder.layers.{layer}."
        for name, shape in linear.items():
            shapes |= {f"{prefix}{name}.weight": shape, f"{prefix}{name}.bias": shape[:1]}
        for name in ("self_attn_layer_norm", "final_layer_norm"):
            shapes |= {f"{prefix}{name}.weight": (width,), f"{prefix}{name}.bias": (width,)}
    return shapes | {"decoder.version": (1,)}


def write_random(out, seed):
    import numpy

    arguments = complete_arguments(WIKITEXT_103, version=3.0)
    shapes = shapes_of(arguments, WIKITEXT_103_VOCABULARY)
    random = numpy.random.default_rng(seed)

    def draw(name):
        shape = shapes[name]
        if name == "decoder.version":
            return numpy.full(shape, 3.0, numpy.float32).tobytes()
        if len(shape) == 1:
            return numpy.full(shape, 1.0 if name.endswith("norm.weight") else 0.0, numpy.float32).tobytes()
        values = random.standard_normal(shape, dtype=numpy.float32)
        values *= shape[1] ** -0.5
        return values.tobytes()

    out.mkdir(parents=True, exist_ok=True)
    write_safetensors(out / "model.safetensors", "F32", shapes, draw)
    write_config(out, arguments, WIKITEXT_103_VOCABULARY, {})
    n_words = WIKITEXT_103_VOCABULARY - N_SPECIAL_WORDS
    (out / "dict.txt").write_text("".join(f"word{number} {n_words - number}\n" for number in range(n_words)))
    print(f"{out}: {len(shapes)} random tensors")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model_folder", nargs="?", type=Path)
    parser.add_argument("out_folder", type=Path)
    parser.add_argument("--checkpoint", default="model.pt", help="file name in MODEL_FOLDER (default: model.pt)")
    parser.add_argument("--trust", action="store_true", help="load the pickle without restrictions")
    parser.add_argument("--random", action="store_true", help="random weights instead of MODEL_FOLDER's")
    parser.add_argument("--seed", type=int, default=0, help="of --random")
    options = parser.parse_args()
    if options.random:
        write_random(options.out_folder, options.seed)
    elif options.model_folder is None:
        parser.error("MODEL_FOLDER is missing")
    else:
        convert(options.model_folder, options.checkpoint, options.out_folder, options.trust)


if __name__ == "__main__":
    main()
