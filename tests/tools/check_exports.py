#!/usr/bin/env python3
"""Reads what `ffmem export` writes with the other programs' own readers. The test suite runs it on a small store; by hand:

    pip install numpy safetensors neuron-explainer neuronpedia
    python3 tests/tools/check_exports.py FFMEM TRIGGERS [--model FOLDER] [--all-readers]

FFMEM is the built command, TRIGGERS a store that `ffmem triggers` wrote. A reader that is not installed is reported and skipped,
or with --all-readers an error:
  npy          numpy.load, against safetensors.numpy.load_file
  authors      the cutting into words of the authors' analysis/trigger_examples_jsonl_to_textual.py and
               analysis/key_value_agreement.py (their own scripts need fairseq and its model)
  openai       neuron_explainer.fast_dataclasses.loads and NeuronRecord's own methods
  neuronpedia  FeatureRequest.upload_batch of the neuronpedia package, whose request must be what we wrote
"""
import argparse
import importlib
import json
import pathlib
import subprocess
import sys
import tempfile
import types


def export(arguments, form, out, *options):
    command = [arguments.ffmem, "export", arguments.triggers, "--format", form, "-o", str(out), "--quiet", *options]
    if arguments.model and form in ("openai", "neuronpedia"):
        command += ["--model", arguments.model]
    subprocess.run(command, check=True)
    return out


def check_npy(arguments, folder):
    import numpy
    import safetensors.numpy

    out = export(arguments, "npy", folder / "npy")
    expected = safetensors.numpy.load_file(arguments.triggers)
    for name, array in expected.items():
        found = numpy.load(out / f"{name}.npy", allow_pickle=False)
        assert found.dtype == array.dtype and numpy.array_equal(found, array), name
    return f"{len(expected)} arrays equal"


def check_authors(arguments, folder):
    import safetensors.numpy

    store = safetensors.numpy.load_file(arguments.triggers)
    word_bytes = store["vocabulary_bytes"].tobytes()
    begins = store["vocabulary_offsets"]
    places = {int(sentence): i for i, sentence in enumerate(store["sentence_index"])}

    def prefix_words(layer, unit, rank):
        begin = store["sentence_offsets"][places[int(store["sentence"][layer, unit, rank])]]
        tokens = store["sentence_tokens"][begin:begin + store["position"][layer, unit, rank] + 1]
        return b"".join(word_bytes[begins[t]:begins[t + 1]] for t in tokens).decode(errors="replace").split()

    out = export(arguments, "authors", folder / "authors.jsonl", "--units", "0:20")
    n = 0
    for line in out.read_text().splitlines():
        record = json.loads(line)
        for layer, top_values in enumerate(record["top_values"]):
            coefficients = [c for c in store["coefficient"][layer, record["dim"]] if c != 0]
            assert len(top_values) == len(coefficients)
            for rank, (top, coefficient) in enumerate(zip(top_values, coefficients)):
                assert set(top) == {"rank", "layer_index", "token_indice", "fc1_value", "text"}
                assert top["rank"] == rank and top["layer_index"] == layer
                assert abs(top["fc1_value"] - coefficient) <= 1e-6 * abs(coefficient)
                words = top["text"].split()
                read = prefix_words(layer, record["dim"], rank)
                assert top["token_indice"] == max(1, len(read)) <= len(words)
                assert not read or words[len(read) - 1].startswith(read[-1].rstrip("\ufffd"))
                n += 1
    return f"{n} records"


def load_neuron_explainer():
    # Its module of activations imports clients of a cloud store that reading a string does not need.
    for name in ("blobfile", "boostedblob"):
        try:
            importlib.import_module(name)
        except ImportError:
            stub = types.ModuleType(name)
            stub.ensure_session = lambda function: function
            sys.modules[name] = stub
    return importlib.import_module("neuron_explainer.activations.activations"), importlib.import_module(
        "neuron_explainer.fast_dataclasses")


def check_openai(arguments, folder):
    activations, fast_dataclasses = load_neuron_explainer()
    out = export(arguments, "openai", folder / "openai", "--layers", "1", "--units", "0:20")
    n = 0
    for path in sorted((out / "neurons" / "1").iterdir()):
        record = fast_dataclasses.loads(path.read_bytes())
        assert isinstance(record, activations.NeuronRecord)
        assert (record.neuron_id.layer_index, record.neuron_id.neuron_index) == (1, int(path.stem))
        for example in record.most_positive_activation_records:
            assert isinstance(example, activations.ActivationRecord)
            assert len(example.tokens) == len(example.activations)
        if record.most_positive_activation_records:
            assert record.max_activation == max(record.most_positive_activation_records[0].activations)
            record.train_activation_records(activations.ActivationRecordSliceParams(n_examples_per_split=None))
        n += 1
    return f"{n} records"


def check_neuronpedia(arguments, folder):
    from neuronpedia.np_activation import Activation
    from neuronpedia.np_feature import Feature, Logit
    from neuronpedia.requests.feature_request import FeatureRequest

    class Recorded(FeatureRequest):
        def __init__(self):
            super().__init__(api_key="none")

        def send_request(self, **request):
            return request["json"]

    def logits(values):
        return None if values is None else [Logit(**value) for value in values]

    options = ["--layers", "0:2", "--units", "0:150", "--model-id", "demo", "--source-set", "ffmem"]
    if arguments.model:
        values = folder / "values.safetensors"
        subprocess.run([arguments.ffmem, "values", arguments.model, "-o", str(values), "--layers", "0:2", "--quiet"], check=True)
        options += ["--values", str(values)]
    out = export(arguments, "neuronpedia", folder / "upload.jsonl", *options)
    n = 0
    n_with_values = 0
    for line in out.read_text().splitlines():
        payload = json.loads(line)
        model, source = payload["modelId"], payload["source"]
        features = [
            Feature(model, source, f["index"], f["density"], logits(f["topLogits"]), logits(f["bottomLogits"]),
                    activations=[Activation(model, source, f["index"], **a) for a in f["activations"]])
            for f in payload["features"]
        ]
        assert Recorded().upload_batch(model, source, features) == payload
        n += len(features)
        n_with_values += sum(bool(f["topLogits"]) for f in payload["features"])
    assert n_with_values == (n if arguments.model else 0)
    return f"{n} features, {n_with_values} with their values' best tokens"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ffmem")
    parser.add_argument("triggers")
    parser.add_argument("--model", help="the model's folder, if the store's is not to be found from here")
    parser.add_argument("--all-readers", action="store_true", help="fail where one is not installed")
    arguments = parser.parse_args()
    for check in (check_npy, check_authors, check_openai, check_neuronpedia):
        with tempfile.TemporaryDirectory() as folder:
            name = check.__name__.removeprefix("check_")
            try:
                print(f"{name}: {check(arguments, pathlib.Path(folder))}")
            except ImportError as missing:
                if arguments.all_readers:
                    raise
                print(f"{name}: skipped, {missing}")


if __name__ == "__main__":
    main()
