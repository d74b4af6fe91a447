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
import json
import re
import sys
from pathlib import Path

from fairseq_checkpoint import arguments_of, read_checkpoint, tensors_of
from model_folder import check_folder, fail, run, write_folder
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
        if stored not in tensors or not tensors[duplicate].equal(tensors[stored]):
            sys.exit(f"{duplicate}: the arguments tie it to {stored}, but the two differ")
        del tensors[duplicate]
        dropped[duplicate] = stored
    return dropped


# Writing


def write_model(folder, arguments, vocab_size, tied, shapes, data_of, words):
    writers = {
        "model.safetensors": lambda file: write_safetensors(file, "F32", shapes, data_of),
        "dict.txt": lambda file: file.write(words),
        "config.json": lambda file: file.write(config_text(arguments, vocab_size, tied)),
    }
    write_folder(folder, writers)


def config_text(arguments, vocab_size, tied):
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
    return (json.dumps(config, indent=1) + "\n").encode()


def convert(source, checkpoint_name, out, trust):
    path = source / checkpoint_name
    words = (source / "dict.txt").read_bytes()
    checkpoint = read_checkpoint(path, trust)
    tensors = modern_names(tensors_of(checkpoint, path))
    version = float(tensors["decoder.version"][0]) if "decoder.version" in tensors else 1.0
    arguments = complete_arguments(arguments_of(checkpoint, path), version)
    if version <= 2:
        for part in ("weight", "bias"):
            tensors.pop(f"decoder.layer_norm.{part}", None)

    bands = sorted(name for name in tensors if re.fullmatch(r"decoder\.embed_tokens\.embeddings\.\d+\.0\.weight", name))
    tables = bands or ["decoder.embed_tokens.weight"]
    if tables[0] not in tensors:
        fail(path, f"a language model with {tables[0]}", "none among its tensors")
    vocab_size = sum(len(tensors[name]) for name in tables)
    n_words = words.count(b"\n") + (words[-1:] not in (b"", b"\n"))  # the last line may lack its end
    if n_words + N_SPECIAL_WORDS != vocab_size:
        sys.exit(f"{source / 'dict.txt'}: {n_words} words and {N_SPECIAL_WORDS} special ones; the model has {vocab_size}")

    dropped = drop_ties(tensors, ties(arguments, len(bands)))
    tensors = dict(sorted(tensors.items(), key=lambda item: item[0] == "decoder.version"))  # which is last: it is 4 bytes
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}

    def data_of(name):
        return tensors[name].float().contiguous().numpy().tobytes()

    write_model(out, arguments, vocab_size, dropped, shapes, data_of, words)
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

    n_words = WIKITEXT_103_VOCABULARY - N_SPECIAL_WORDS
    words = "".join(f"word{number} {n_words - number}\n" for number in range(n_words)).encode()
    write_model(out, arguments, WIKITEXT_103_VOCABULARY, {}, shapes, draw, words)
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
    if options.random and options.model_folder is not None:
        parser.error(f"--random reads no model: expected OUT_FOLDER alone, found {options.model_folder} before it")
    if not options.random and options.model_folder is None:
        parser.error("MODEL_FOLDER is missing")
    check_folder(options.out_folder)
    if options.random:
        write_random(options.out_folder, options.seed)
    else:
        convert(options.model_folder, options.checkpoint, options.out_folder, options.trust)


if __name__ == "__main__":
    run(main)
