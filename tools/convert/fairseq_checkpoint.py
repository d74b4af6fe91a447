"""Reading what fairseq saved, without fairseq, and without calling what a pickle names (fairseq_to_ffmem.py says how)."""

import argparse
import collections
import pickle
import re
import sys
import types
from collections.abc import Mapping

from model_folder import fail, kind_of, one_line


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


def load(path, trust):
    import torch

    if trust:
        return torch.load(path, map_location="cpu", weights_only=False)
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        pass
    reader = types.ModuleType("placeholder_pickle")
    reader.__dict__.update(Unpickler=PlaceholderUnpickler, load=lambda file, **keys: PlaceholderUnpickler(file, **keys).load())
    found = torch.load(path, map_location="cpu", weights_only=False, pickle_module=reader)
    print(f"{path}: holds more than tensors and arguments; the rest is left out", file=sys.stderr)
    return found


def read_checkpoint(path, trust):
    """The dictionary that torch.save wrote."""
    if not path.is_file():
        fail(path, "a checkpoint of fairseq", kind_of(path))
    import torch  # noqa: F401  that it is not there is no fault of the file

    try:
        checkpoint = load(path, trust)
    except Exception as error:  # a damaged pickle can raise anything
        fail(path, "a checkpoint that torch.save wrote", one_line(error))
    if not isinstance(checkpoint, dict):
        fail(path, "a dictionary with 'model', and 'args' or 'cfg'", f"an object of class {type(checkpoint).__name__}")
    return checkpoint


def tensors_of(checkpoint, path):
    import torch

    found = checkpoint.get("model")
    if not isinstance(found, dict) or not found or not all(torch.is_tensor(tensor) for tensor in found.values()):
        kind = f"of class {type(found).__name__}" if "model" in checkpoint else "missing"
        fail(path, "'model' to hold tensors by name", kind if not isinstance(found, dict) else "something else in it")
    return found


def arguments_of(checkpoint, path):
    config = checkpoint.get("cfg") or {}
    stored = checkpoint.get("args") or (config.get("model") if isinstance(config, Mapping) else config)
    if stored is None:
        fail(path, "arguments under 'args' or in cfg['model']", "neither")
    if isinstance(stored, Placeholder):
        sys.exit(f"{path}: its arguments are objects of another class; --trust would load them")
    if not isinstance(stored, Mapping) and not hasattr(stored, "__dict__"):
        fail(path, "arguments by name", f"an object of class {type(stored).__name__}")
    return dict(stored) if isinstance(stored, Mapping) else vars(stored)
