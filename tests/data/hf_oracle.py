"""Reference numbers of a small random causal language model, taken from Hugging Face Transformers.

`write_oracle` draws a model, runs it, and writes a folder that tests/runtime/oracle_test.cpp reads:

    config.json, model.safetensors     the checkpoint, as save_pretrained writes it
    config.legacy.json                 (models with rotary positions) the same in the spelling of transformers 4
    oracle.json                        sequences, greedy ids, interventions
    oracle.safetensors                 float32: seqI.embed [T, d]; seqI.layerL.{attn_out, resid_mid, ffn_in, ffn_out,
                                       layer_out} [T, d]; seqI.layerL.{key_pre (gated: gate_pre), coef} [T, d_m];
                                       seqI.head_in [T, d']; seqI.logits [T, V]; ivN.logits [T, V]

Needs torch, transformers 5 and safetensors.
"""

import copy
import json
import shutil
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file

transformers.utils.logging.disable_progress_bar()

LLAMA = {
    "layers": "model.layers",
    "keys": "mlp.gate_proj",
    "ups": "mlp.up_proj",
    "values": "mlp.down_proj",
    "attention": "self_attn.o_proj",
    "mid": ("input", "post_attention_layernorm"),
}
GPT2 = {
    "layers": "transformer.h",
    "keys": "mlp.c_fc",
    "values": "mlp.c_proj",
    "attention": "attn.c_proj",
    "mid": ("input", "ln_2"),
}
DENSE = {  # the names BLOOM, Falcon and GPT-NeoX share
    "layers": "transformer.h",
    "keys": "mlp.dense_h_to_4h",
    "values": "mlp.dense_4h_to_h",
    "attention": "self_attention.dense",
    "mid": ("input", "post_attention_layernorm"),
}
PARALLEL = {"mid": "parallel"}


def modules_of(config):
    """Where a family's modules sit. `mid`: the stream the feed-forward output is added to is the input or output of a
    module, or, in parallel families, the layer's input plus the attention output."""
    family = config.model_type
    if family in ("llama", "mistral", "qwen2", "qwen3"):
        return LLAMA
    if family == "gemma2":
        return LLAMA | {"mid": ("input", "pre_feedforward_layernorm")}
    if family == "olmo2":
        return LLAMA | {"mid": ("input", "mlp")}
    if family in ("gpt2", "gpt_bigcode"):
        return GPT2
    if family == "gpt_neo":
        return GPT2 | {"attention": "attn.attention.out_proj"}
    if family == "gptj":
        return GPT2 | PARALLEL | {"keys": "mlp.fc_in", "values": "mlp.fc_out", "attention": "attn.out_proj"}
    if family == "bloom":
        return DENSE
    if family == "falcon":
        return DENSE | (PARALLEL if config.parallel_attn or config.new_decoder_architecture else {})
    if family == "gpt_neox":
        places = DENSE | {"layers": "gpt_neox.layers", "attention": "attention.dense"}
        return places | (PARALLEL if config.use_parallel_residual else {})
    if family == "phi":
        return PARALLEL | {
            "layers": "model.layers",
            "keys": "mlp.fc1",
            "values": "mlp.fc2",
            "attention": "self_attn.dense",
        }
    if family == "starcoder2":
        return {k: v for k, v in LLAMA.items() if k != "ups"} | {"keys": "mlp.c_fc", "values": "mlp.c_proj"}
    if family == "opt":
        pre_norm = config.do_layer_norm_before
        return {
            "layers": "model.decoder.layers",
            "keys": "fc1",
            "values": "fc2",
            "attention": "self_attn.out_proj",
            "mid": ("input", "final_layer_norm") if pre_norm else ("output", "self_attn_layer_norm"),
        }
    raise ValueError(f"no table of modules for {family}")


def draw_weights(model, seed):
    """Every parameter anew, with spreads at which a forgotten bias, norm weight or scale shows."""
    generator = torch.Generator().manual_seed(seed)
    gemma = model.config.model_type.startswith("gemma")
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        with torch.no_grad():
            if parameter.ndim > 1:
                parameter.copy_(0.25 * noise)
            elif name.endswith("bias"):
                parameter.copy_(0.2 * noise)
            else:  # a norm's weight; Gemma multiplies by 1 + weight
                parameter.copy_((0.0 if gemma else 1.0) + 0.2 * noise)
    model.tie_weights()


def first(value):
    return value[0] if isinstance(value, tuple) else value


def rows(tensor):
    return tensor.detach().reshape(-1, tensor.shape[-1]).clone()


class Capture:
    """Collects the inputs and outputs of modules during one forward pass."""

    def __init__(self):
        self.tensors = {}
        self.handles = []

    def output(self, name, module):
        def hook(_, __, result):
            self.tensors[name] = rows(first(result))

        self.handles.append(module.register_forward_hook(hook))

    def input(self, name, module):
        def hook(_, arguments, keywords):
            self.tensors[name] = rows(arguments[0] if arguments else keywords["hidden_states"])

        self.handles.append(module.register_forward_pre_hook(hook, with_kwargs=True))

    def close(self):
        for handle in self.handles:
            handle.remove()


def layers_of(model):
    return model.get_submodule(modules_of(model.config)["layers"])


@torch.no_grad()
def logits_of(model, ids):
    return model(torch.tensor([ids]), use_cache=False).logits[0]


def run(model, ids):
    """All tensors of one sequence, by the names above without `seqI.`."""
    places = modules_of(model.config)
    layers = layers_of(model)
    capture = Capture()
    capture.input("embed", layers[0])
    capture.input("head_in", model.get_output_embeddings())
    for number, layer in enumerate(layers):
        prefix = f"layer{number}."
        keys = layer.get_submodule(places["keys"])
        capture.input(prefix + "layer_in", layer)
        capture.output(prefix + "layer_out", layer)
        capture.output(prefix + "attn_out", layer.get_submodule(places["attention"]))
        capture.input(prefix + "ffn_in", keys)
        capture.output(prefix + ("gate_pre" if "ups" in places else "key_pre"), keys)
        capture.input(prefix + "coef", layer.get_submodule(places["values"]))
        capture.output(prefix + "ffn_out", layer.get_submodule(places["values"]))
        if places["mid"] != "parallel":
            side, module = places["mid"]
            getattr(capture, side)(prefix + "resid_mid", layer.get_submodule(module))
    tensors = {"logits": logits_of(model, ids)}
    capture.close()
    tensors |= capture.tensors
    for number in range(len(layers)):
        layer_in = tensors.pop(f"layer{number}.layer_in")
        if places["mid"] == "parallel":
            tensors[f"layer{number}.resid_mid"] = layer_in + tensors[f"layer{number}.attn_out"]
    return tensors


def float32_noise(model, ids):
    """The largest difference that computing in float64 makes to any tensor."""
    exact_model = copy.deepcopy(model).double()
    for module in exact_model.modules():
        if hasattr(module, "reorder_and_upcast_attn"):  # GPT-2's other order of the same sums insists on float32
            module.reorder_and_upcast_attn = False
    exact = run(exact_model, ids)
    return max(float((exact[name] - value).abs().max()) for name, value in run(model, ids).items())


def intervened_logits(model, ids, intervention):
    """Logits with one coefficient zeroed or scaled, or one layer's feed-forward output zeroed."""
    values = layers_of(model)[intervention["layer"]].get_submodule(modules_of(model.config)["values"])

    def change_coefficients(_, arguments):
        coefficients = arguments[0].clone()
        by_position = coefficients.view(-1, coefficients.shape[-1])
        position = intervention["position"]
        which = slice(None) if position is None else position
        by_position[which, intervention["unit"]] *= intervention.get("factor", 0.0)
        return (coefficients,)

    if intervention["kind"] == "zero_ffn_output":
        handle = values.register_forward_hook(lambda _, __, output: torch.zeros_like(output))
    else:
        handle = values.register_forward_pre_hook(change_coefficients)
    try:
        return logits_of(model, ids)
    finally:
        handle.remove()


def interventions_for(model, ids):
    """One of each kind in every layer, on the unit whose coefficient is largest there."""
    tensors = run(model, ids)
    position = len(ids) // 2
    found = []
    for layer in range(len(layers_of(model))):
        unit = int(tensors[f"layer{layer}.coef"][position].abs().argmax())
        found.append({"kind": "zero_coefficient", "layer": layer, "unit": unit, "position": None})
        found.append({"kind": "scale_coefficient", "layer": layer, "unit": unit, "position": position, "factor": 10.0})
        found.append({"kind": "zero_ffn_output", "layer": layer})
    for number, intervention in enumerate(found):
        intervention["name"] = f"iv{number}"
        intervention["first_changed_position"] = intervention.get("position") or 0
    return found


def greedy(model, prompt, n_tokens):
    """n_tokens greedy ids, and the smallest margin between a best logit and the second."""
    ids = list(prompt)
    margin = float("inf")
    for _ in range(n_tokens):
        best = logits_of(model, ids)[-1].topk(2)
        margin = min(margin, float(best.values[0] - best.values[1]))
        ids.append(int(best.indices[0]))
    return ids[len(prompt) :], margin


def legacy_config(config):
    """config.json in the spelling of transformers 4; None where both spell it alike."""
    rope = config.get("rope_parameters")
    if rope is None:
        return None
    legacy = {k: v for k, v in config.items() if k not in ("rope_parameters", "dtype", "layer_types")}
    legacy |= {"transformers_version": "4.40.0", "torch_dtype": config["dtype"]}
    scaling = {k: v for k, v in rope.items() if k not in ("rope_theta", "partial_rotary_factor")}
    legacy["rope_scaling"] = None if rope["rope_type"] == "default" else scaling
    neox = config["model_type"] == "gpt_neox"
    if "partial_rotary_factor" in rope:
        legacy["rotary_pct" if neox else "partial_rotary_factor"] = rope["partial_rotary_factor"]
    legacy["rotary_emb_base" if neox else "rope_theta"] = rope["rope_theta"]
    return legacy


def make_model(model_type, settings, seed, dtype=None):
    """A model whose float32 weights are exactly those of the stored type."""
    config = transformers.AutoConfig.for_model(model_type, **settings)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    draw_weights(model, seed)
    if dtype is not None:
        with torch.no_grad():
            for parameter in model.parameters():  # not the tables of angles, which no file stores
                parameter.copy_(parameter.to(dtype).float())
    return model


def draw_sequences(vocab_size, lengths, seed):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(vocab_size, (n,), generator=generator).tolist() for n in lengths]


def write_oracle(folder, model, sequences, *, n_greedy, with_interventions=False, dtype=None, shard_size="5GB", edit=None):
    """`edit`, where given, changes the written folder's checkpoint afterwards (other names, less of the configuration)."""
    folder = Path(folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tensors = {}
    for number, ids in enumerate(sequences):
        tensors |= {f"seq{number}.{name}": value for name, value in run(model, ids).items()}
    prompt = sequences[1][:4]
    ids, margin = greedy(model, prompt, n_greedy)
    interventions = interventions_for(model, sequences[-1]) if with_interventions else []
    for intervention in interventions:
        tensors[intervention["name"] + ".logits"] = intervened_logits(model, sequences[-1], intervention)
    description = {
        "model_type": model.config.model_type,
        "sequences": sequences,
        "num_layers": len(layers_of(model)),
        "gated": "ups" in modules_of(model.config),
        "generation": {"prompt": prompt, "ids": ids, "min_margin": margin},
        "interventions": interventions,
        "intervention_sequence": len(sequences) - 1,
        "made_with": {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__},
    }
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "oracle.safetensors")
    (folder / "oracle.json").write_text(json.dumps(description) + "\n")

    model.to(dtype or torch.float32).save_pretrained(folder, max_shard_size=shard_size)
    (folder / "generation_config.json").unlink(missing_ok=True)
    legacy = legacy_config(json.loads((folder / "config.json").read_text()))
    if legacy is not None:
        (folder / "config.legacy.json").write_text(json.dumps(legacy, indent=1) + "\n")
    if edit is not None:
        edit(folder)
    return margin


def edit_checkpoint(folder, change_tensors, change_config):
    """Rewrites model.safetensors and config.json of `folder` through two functions."""
    weights = folder / "model.safetensors"
    config = folder / "config.json"
    save_file(change_tensors(load_file(weights)), weights, metadata={"format": "pt"})
    config.write_text(json.dumps(change_config(json.loads(config.read_text())), indent=1) + "\n")
