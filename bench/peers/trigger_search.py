"""The search for every key's trigger examples, by ffmem and by PyTorch hooks on the same model and sentences, in turn.

Called by run.sh --search. PyTorch's search is what one writes with care: Transformers' model without its head, batches without
padding, and behind every activation function one maximum over a batch's positions and one topk of all keys. Both programs run
every batch with the search and without it, in turns. In the first round of f32 the coefficients that both found are compared. The
table has medians over the rounds; tokens are those of the sentences, without the one fed before each. search.md keeps it;
search.json has what was measured, and is written after each round.
"""

import json
import statistics
import subprocess
import sys
import time

from compare import count, make_parser, some_of, write_json

SENTENCE = 32  # tokens, the one before the sentence included
BATCH = 1024
TOP = 50


def arguments():
    parser = make_parser(__doc__)
    parser.add_argument("--shape", default="paper", choices=["paper", "gpt2", "gpt2-medium", "gpt2-large"],
                        help="a model of random_model.py (default: paper, the paper's layers with GPT-2's vocabulary and "
                             "positions)")
    parser.add_argument("--precisions", type=some_of("f32", "bf16"), default=["f32"], help="of f32, bf16 (default: f32)")
    parser.add_argument("--batches", type=count, default=16, help=f"of {BATCH} tokens each (default: 16)")
    return parser.parse_args()


def draw_sentences(options, words):
    """[sentences, SENTENCE]: token 0, then words."""
    import numpy

    n = options.batches * BATCH // SENTENCE
    ids = numpy.random.default_rng(2).integers(1, words, (n, SENTENCE))
    ids[:, 0] = 0
    return ids


def run_ffmem(options, model, text, precision):
    out = options.work / "search.safetensors"
    command = [options.ffmem, "triggers", model, text, "-o", out, "--sentences", "lines", "--top", TOP, "--batch-tokens", BATCH,
               "--weights", precision, "--threads", options.threads, "--compare-forward", "--restart", "--quiet", "--json"]
    try:
        result = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    except OSError as error:
        sys.exit(f"trigger_search.py: {options.ffmem}: {error.strerror}")
    if result.returncode != 0:
        sys.exit(f"trigger_search.py: ffmem did not run: {result.stderr.strip()}")
    speeds = json.loads(result.stdout)["compare_forward"]
    return {"forward": speeds["forward_tokens_per_second"], "search": speeds["search_tokens_per_second"]}, out


class Search:
    """The TOP best sentences of every key of every layer so far."""

    def __init__(self, model):
        self.layers = [None] * len(model.h)
        self.sentences = None  # numbers of the batch's; None: the batch is not searched
        for i, block in enumerate(model.h):
            block.mlp.act.register_forward_hook(self.hook(i))

    def hook(self, layer):
        import torch

        def take(_module, _inputs, coefficients):
            if self.sentences is None:
                return
            best, position = coefficients[:, 1:].max(dim=1)
            found = (best, position, self.sentences[:, None].expand_as(position))
            if self.layers[layer] is not None:
                found = [torch.cat(pair) for pair in zip(self.layers[layer], found)]
            values, order = found[0].topk(min(TOP, len(found[0])), dim=0)
            self.layers[layer] = (values, found[1].gather(0, order), found[2].gather(0, order))

        return take


def run_torch(options, model, ids):
    """The speeds of both passes over all batches, in turn batch by batch, and what was found."""
    import torch

    n = BATCH // SENTENCE
    seconds = {"forward": 0.0, "search": 0.0}
    search = Search(model)

    def run(work, first):
        search.sentences = torch.arange(first, first + n) if work == "search" else None
        begin = time.perf_counter()
        model(ids[first:first + n], use_cache=False)
        return time.perf_counter() - begin

    with torch.inference_mode():
        for work in seconds:
            run(work, 0)
        search.layers = [None] * len(search.layers)
        for first in range(0, len(ids), n):
            for work in seconds if first // n % 2 == 0 else reversed(seconds):
                seconds[work] += run(work, first)
    return {work: (ids.numel() - len(ids)) / s for work, s in seconds.items()}, [values for values, _, _ in search.layers]


def check(store, found):
    import numpy
    from safetensors.numpy import load_file

    ours = load_file(store)["coefficient"]
    for layer, values in enumerate(found):
        theirs = numpy.maximum(values.numpy().T, 0)
        found_here = numpy.nan_to_num(ours[layer][:, : theirs.shape[1]])
        if not numpy.allclose(found_here, theirs, rtol=1e-3, atol=1e-3):
            sys.exit(f"trigger_search.py: layer {layer}: the two searches found other coefficients")


def table(precision, rounds):
    def median(program, work):
        return statistics.median(r[program][work] for r in rounds)

    def cost(program):
        return statistics.median(r[program]["forward"] / r[program]["search"] - 1 for r in rounds)

    ratio = {work: statistics.median(r["ffmem"][work] / r["PyTorch"][work] for r in rounds) for work in ("forward", "search")}
    lines = [f"| {precision} | tokens/s, forward | tokens/s, search | the search costs |", "|---|---|---|---|"]
    for program in ("ffmem", "PyTorch"):
        lines.append(f"| {program} | {median(program, 'forward'):.0f} | {median(program, 'search'):.0f} | "
                     f"{100 * cost(program):.1f} % |")
    lines.append(f"| ratio | {ratio['forward']:.2f} | {ratio['search']:.2f} | |")
    return "\n".join(lines)


def main():
    options = arguments()
    if options.list_programs:
        print("Transformers")
        return
    try:
        import torch
        import transformers
    except ImportError as error:
        sys.exit(f"trigger_search.py: {error}")
    from random_model import SHAPES, write_model

    transformers.logging.set_verbosity_error()
    torch.set_num_threads(options.threads)
    folder = options.work / options.shape
    write_model(folder, options.shape)
    ids = draw_sentences(options, SHAPES[options.shape][-1])
    text = options.work / "sentences.txt"
    text.write_text("".join(" ".join(f"w{i}" for i in sentence[1:]) + "\n" for sentence in ids))
    ids = torch.tensor(ids)
    parts = [f"{options.shape} with random weights, {options.batches} batches of {BATCH} tokens ({SENTENCE} a sentence), top "
             f"{TOP} of every key, {options.threads} threads, medians of {options.rounds} interleaved rounds; torch "
             f"{torch.__version__}, transformers {transformers.__version__}."]
    measured = {precision: [] for precision in options.precisions}
    for precision, rounds in measured.items():
        dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[precision]
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}: {precision}", file=sys.stderr, flush=True)
            ours, store = run_ffmem(options, folder, text, precision)
            model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval().transformer
            theirs, found = run_torch(options, model, ids)
            del model
            if number == 0 and precision == "f32":
                check(store, found)
            rounds.append({"ffmem": ours, "PyTorch": theirs})
            write_json(options.work / "search.json", measured)
        parts.append(table(precision, rounds))
    (options.work / "search.md").write_text("\n\n".join(parts) + "\n")
    print("\n\n".join(parts))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("trigger_search.py: interrupted; search.json is written after each round", file=sys.stderr)
        sys.exit(130)
