"""The other programs: each runs one model in one precision and returns its speeds.

python programs.py NAME FOLDER PRECISION THREADS PROMPT NEW REPEAT prints one JSON object:
  {"prompt": {"all": tokens per second, ...}, "decode": tokens per second, "version": ...}
with medians of REPEAT tries after one that is not counted. "prompt" says by key which positions' scores were computed: "all",
"last" or "none". Exit code 3 with a sentence on standard error: the program does not offer that precision here.
"""

import json
import os
import shutil
import statistics
import sys
import time
from pathlib import Path

import numpy


class NotOffered(Exception):
    pass


def cpu_flags():
    """Of an x86 processor; others have no such line."""
    with open("/proc/cpuinfo") as file:
        return next((line.split() for line in file if line.startswith("flags")), [])


def tokens_of(folder, n):
    words = json.loads((Path(folder) / "config.json").read_text())["vocab_size"]
    return numpy.random.default_rng(1).integers(1, words, n).tolist()


def median_seconds(work, repeat, before=None):
    """Of `repeat` calls, after one to warm up; before() is not timed."""
    seconds = []
    for _ in range(repeat + 1):
        if before:
            before()
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds[1:])


def converted(folder, name, write):
    """folder/name, which write(path) makes unless it is there. It appears whole, so that no half of one is taken for it."""
    path = Path(folder) / name
    if not path.exists():
        part = path.with_name(name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        write(part)
        part.rename(path)
    return path


def run_transformers(folder, precision, threads, prompt, new, repeat):
    """PyTorch eager. The model without its head gives "none"."""
    import torch
    import transformers

    if precision not in ("f32", "bf16"):
        raise NotOffered("f32 and bf16 alone are measured")
    torch.set_num_threads(threads)
    dtype = torch.float32 if precision == "f32" else torch.bfloat16
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
    ids = torch.tensor([tokens_of(folder, prompt + new)])
    state = {}

    def run_prompt(**options):
        state["past"] = model(ids[:, :prompt], use_cache=True, **options).past_key_values

    def decode():
        for i in range(prompt, prompt + new):
            model(ids[:, i : i + 1], past_key_values=state["past"], use_cache=True)

    with torch.inference_mode():
        return {
            "prompt": {
                "all": prompt / median_seconds(lambda: run_prompt(), repeat),
                "last": prompt / median_seconds(lambda: run_prompt(logits_to_keep=1), repeat),
                "none": prompt / median_seconds(lambda: model.base_model(ids[:, :prompt], use_cache=True), repeat),
            },
            "decode": new / median_seconds(decode, repeat, lambda: run_prompt(logits_to_keep=1)),
            "version": f"torch {torch.__version__}, transformers {transformers.__version__}",
        }


def run_openvino(folder, precision, threads, prompt, new, repeat):
    """The exported graph through OpenVINO's own infer request; it computes the scores of all positions."""
    import openvino
    from optimum.intel import OVModelForCausalLM, OVWeightQuantizationConfig

    if precision == "bf16" and "avx512_bf16" not in cpu_flags():
        raise NotOffered("bf16 needs AVX-512 BF16 or AMX")
    bits = {"int8": 8, "int4": 4}.get(precision)

    def export(path):
        OVModelForCausalLM.from_pretrained(
            folder, export=True, compile=False, load_in_8bit=False,
            quantization_config=OVWeightQuantizationConfig(bits=bits, sym=False) if bits else None,
        ).save_pretrained(path)

    exported = converted(folder, f"openvino-{precision}", export)
    core = openvino.Core()
    compiled = core.compile_model(exported / "openvino_model.xml", "CPU", {
        "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32", "KV_CACHE_PRECISION": "f32",
    })
    request = compiled.create_infer_request()
    names = {name for port in compiled.inputs for name in port.get_names()}
    tokens = numpy.array([tokens_of(folder, prompt + new)], numpy.int64)

    def run(begin, end):
        inputs = {
            "input_ids": tokens[:, begin:end],
            "attention_mask": numpy.ones((1, end), numpy.int64),
            "position_ids": numpy.arange(begin, end, dtype=numpy.int64)[None],
            "beam_idx": numpy.zeros(1, numpy.int32),
        }
        request.infer({name: value for name, value in inputs.items() if name in names})

    def run_prompt():
        request.reset_state()
        run(0, prompt)

    def decode():
        for i in range(prompt, prompt + new):
            run(i, i + 1)

    return {
        "prompt": {"all": prompt / median_seconds(run_prompt, repeat)},
        "decode": new / median_seconds(decode, repeat, run_prompt),
        "version": f"OpenVINO {openvino.get_version()}",
    }


def run_ctranslate2(folder, precision, threads, prompt, new, repeat):
    """forward_batch computes the scores of all positions; a new token's time is the difference of two generations."""
    flags = cpu_flags()
    if flags:  # elsewhere CTranslate2 chooses
        os.environ["CT2_FORCE_CPU_ISA"] = "AVX512" if "avx512bw" in flags else "AVX2" if "avx2" in flags else "GENERIC"
    import ctranslate2

    compute_type = {"f32": "float32", "int8": "int8", "bf16": "bfloat16"}.get(precision)
    if compute_type not in ctranslate2.get_supported_compute_types("cpu"):
        raise NotOffered(f"no {precision} on this processor")

    def convert(path):
        ctranslate2.converters.TransformersConverter(str(folder)).convert(str(path), quantization=compute_type)

    path = converted(folder, f"ctranslate2-{precision}", convert)
    generator = ctranslate2.Generator(str(path), device="cpu", compute_type=compute_type, inter_threads=1, intra_threads=threads)
    ids = tokens_of(folder, prompt)
    words = json.loads((path / "vocabulary.json").read_text())
    start = [words[i] for i in ids]

    def generate(n):
        generator.generate_batch([start], max_length=n, min_length=n, sampling_topk=1, include_prompt_in_result=False)

    one = median_seconds(lambda: generate(1), repeat)
    many = median_seconds(lambda: generate(1 + new), repeat)
    return {
        "prompt": {"all": prompt / median_seconds(lambda: generator.forward_batch([ids]), repeat)},
        "decode": new / (many - one),
        "version": f"CTranslate2 {ctranslate2.__version__}, {os.environ.get('CT2_FORCE_CPU_ISA', 'its own choice')}",
    }


def quantised_gguf(llama_cpp, folder, precision):
    """The float32 file, or what llama.cpp's own quantiser makes of it."""
    from gguf_model import write_gguf

    plain = Path(folder) / "model-f32.gguf"
    write_gguf(folder, plain)
    if precision == "f32":
        return plain
    path = Path(folder) / f"model-{precision}.gguf"
    if not path.exists():
        parameters = llama_cpp.llama_model_quantize_default_params()
        parameters.ftype = {"bf16": llama_cpp.LLAMA_FTYPE_MOSTLY_BF16, "int8": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0,
                            "int4": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0}[precision]
        part = path.with_suffix(".part")
        if llama_cpp.llama_model_quantize(str(plain).encode(), str(part).encode(), parameters) != 0:
            raise RuntimeError(f"llama.cpp could not quantise {plain}")
        part.rename(path)
    return path


def run_llama_cpp(folder, precision, threads, prompt, new, repeat):
    """llama.cpp's decode call, the whole prompt in one batch. Its KV cache is float16, as it comes."""
    import llama_cpp

    if json.loads((Path(folder) / "config.json").read_text()).get("activation_function") == "relu":
        raise NotOffered("its GPT-2 has no ReLU")
    quiet = llama_cpp.llama_log_callback(lambda *_: None)  # kept: the library calls it as long as it runs
    llama_cpp.llama_log_set(quiet, None)
    llama_cpp.llama_backend_init()
    path = quantised_gguf(llama_cpp, folder, precision)
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
    parameters = llama_cpp.llama_context_default_params()
    parameters.n_ctx = prompt + new
    parameters.n_batch = parameters.n_ubatch = prompt
    parameters.n_threads = parameters.n_threads_batch = threads
    context = llama_cpp.llama_init_from_model(model, parameters)
    if not context:
        raise RuntimeError(f"llama.cpp could not run {path}")
    memory = llama_cpp.llama_get_memory(context)
    batch = llama_cpp.llama_batch_init(prompt, 0, 1)
    tokens = tokens_of(folder, prompt + new)

    def run(begin, end, scored):
        batch.n_tokens = end - begin
        for i in range(end - begin):
            batch.token[i] = tokens[begin + i]
            batch.pos[i] = begin + i
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = 0
            batch.logits[i] = scored == "all" or i + 1 == end - begin
        if llama_cpp.llama_decode(context, batch) != 0:
            raise RuntimeError("llama.cpp could not run a batch")
        llama_cpp.llama_synchronize(context)

    def clear():
        llama_cpp.llama_memory_clear(memory, True)

    def run_prompt(scored):
        run(0, prompt, scored)

    def start():
        clear()
        run_prompt("last")

    def decode():
        for i in range(prompt, prompt + new):
            run(i, i + 1, "last")

    return {
        "prompt": {scored: prompt / median_seconds(lambda: run_prompt(scored), repeat, clear) for scored in ("last", "all")},
        "decode": new / median_seconds(decode, repeat, start),
        "version": f"llama-cpp-python {llama_cpp.__version__}",
    }


PROGRAMS = {
    "llama.cpp": run_llama_cpp,
    "OpenVINO": run_openvino,
    "CTranslate2": run_ctranslate2,
    "Transformers": run_transformers,
}


def main():
    name, folder, precision, *numbers = sys.argv[1:]
    try:
        print(json.dumps(PROGRAMS[name](folder, precision, *map(int, numbers))))
    except NotOffered as reason:
        print(reason, file=sys.stderr)
        sys.exit(3)


if __name__ == "__main__":
    main()
