"""Runs ffmem and other programs on one random model, in turn, and prints a table of tokens per second with ratios.

Called by run.sh, which installs the programs. In each round every program runs once in a process of its own, for each
precision; the table has medians over the rounds. results.json has what was measured, and is written after each round.
"""

import argparse
import json
import math
import os
import shlex
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PROGRAMS = ("llama.cpp", "OpenVINO", "CTranslate2", "Transformers")
PRECISIONS = ("f32", "bf16", "int8", "int4")
SCORED = {"all": "prompt, scores of all", "last": "prompt, of the last", "none": "prompt, none"}
QUIET = {"TRANSFORMERS_VERBOSITY": "error", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}


def some_of(*allowed):
    """What an option takes: names with commas between."""
    def names(text):
        for name in text.split(","):
            if name not in allowed:
                raise argparse.ArgumentTypeError(f"expected some of {', '.join(allowed)}, found '{name}'")
        return text.split(",")

    return names


def count(text):
    """What an option takes: a number of things."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number, at least 1, found '{text}'")
    return int(text)


def command(text):
    """What an option takes: a program, and arguments of it."""
    words = shlex.split(text)
    if words and not shutil.which(words[0]):
        raise argparse.ArgumentTypeError(f"{words[0]}: no such program")
    return words


def make_parser(description):
    """With the options of all scripts that run.sh calls. It reads them before numpy is installed."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
        epilog="run.sh also takes --search, for trigger_search.py in place of compare.py, and --latest, to install the\n"
               "newest versions in place of those in constraints.txt.")
    parser.add_argument("--ffmem", required=True, type=lambda path: Path(path).absolute(),
                        help="the ffmem to run (run.sh: build/tools/ffmem)")
    parser.add_argument("--work", required=True, type=Path, help="where models and results lie (run.sh: build-peers)")
    parser.add_argument("--threads", type=count, default=os.cpu_count())
    parser.add_argument("--rounds", type=count, default=3)
    parser.add_argument("--list-programs", action="store_true", help=argparse.SUPPRESS)  # what run.sh is to install
    return parser


def arguments():
    parser = make_parser(__doc__)
    parser.add_argument("--shape", default="gpt2",
                        choices=["gpt2", "gpt2-medium", "gpt2-large", "paper", "llama-135m", "llama-360m"],
                        help="a model of random_model.py (default: gpt2, 124 M parameters; paper: the paper's layers with "
                             "GPT-2's vocabulary and positions)")
    parser.add_argument("--precisions", type=some_of(*PRECISIONS), default=list(PRECISIONS),
                        help=f"of {', '.join(PRECISIONS)} (default: all)")
    parser.add_argument("--programs", type=some_of(*PROGRAMS), default=list(PROGRAMS),
                        help=f"of {', '.join(PROGRAMS)} (default: all; run.sh installs only these)")
    parser.add_argument("--prompt", type=count, default=512, help="tokens run at once (default: 512)")
    parser.add_argument("--new", type=count, default=64, help="tokens after it, one at a time (default: 64)")
    parser.add_argument("--repeat", type=count, default=2, help="measurements in a process, after one to warm up (default: 2)")
    parser.add_argument("--limit", type=count, default=300,
                        help="seconds after which a measurement is given up, as PyTorch's in bf16 may be on processors that do "
                             "not multiply bf16; a program's first counts the conversion of the model too (default: 300)")
    parser.add_argument("--under", type=command, default=[], help="a command to run every measurement under, as 'numactl -N 0'")
    parser.add_argument("--cpu-time", action="store_true",
                        help="one thread, and seconds of its processor time: for a machine that does other work meanwhile")
    options = parser.parse_args()
    if options.cpu_time:
        options.threads = 1
        if set(str(options.work.resolve())) & set(" :"):  # where LD_PRELOAD's list ends one name
            parser.error("--cpu-time: --work must have no space and no colon in its path")
    return options


def build_cpu_clock(path):
    try:
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", path, HERE / "cpu_clock.c"], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"compare.py: --cpu-time needs a C compiler: {error}")


def environment(options):
    """Of every program that is measured."""
    variables = os.environ | QUIET
    if options.cpu_time:
        variables |= {"LD_PRELOAD": str((options.work / "cpu_clock.so").resolve()), "OMP_NUM_THREADS": "1"}
    return variables


def write_json(path, value):
    """The file before it stays until this one is whole."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value, indent=1))
    part.rename(path)


class NotRun(Exception):
    pass


def run_json(options, program):
    """What its last line says."""
    words = [*options.under, *map(str, program)]
    try:
        result = subprocess.run(words, capture_output=True, text=True, errors="replace", env=environment(options),
                                timeout=options.limit)
    except subprocess.TimeoutExpired:
        raise NotRun(f"took longer than {options.limit} s") from None
    except OSError as error:
        raise NotRun(f"{words[0]}: {error.strerror}") from None
    if result.returncode != 0:
        lines = result.stderr.strip().splitlines() or [f"exit code {result.returncode}"]
        raise NotRun(lines[-1])
    last = (result.stdout.strip().splitlines() or [""])[-1]
    try:
        return json.loads(last)
    except ValueError:
        raise NotRun(f"expected JSON in its last line, found '{last[:60]}'") from None


def run_ffmem(options, model, precision):
    speeds = {"prompt": {}}
    for scored in SCORED:
        result = run_json(options, [options.ffmem, "bench", model, "--weights", precision, "--logits", scored, "--prompt",
                                    options.prompt, "--new", options.new if scored == "last" else 1, "--repeat",
                                    options.repeat, "--threads", options.threads, "--json"])
        speeds["prompt"][scored] = result["prompt"]["tokens_per_second"]
        if scored == "last":
            speeds["decode"] = result["decode"]["tokens_per_second"]
            speeds["machine"] = result
    return speeds


def run_program(options, name, model, precision):
    result = run_json(options, [sys.executable, HERE / "programs.py", name, model, precision, options.threads, options.prompt,
                                options.new, options.repeat])
    return {key: result[key] for key in ("prompt", "decode", "version")}


def run(options, name, model, precision):
    """Speeds that a table can be made of."""
    try:
        speeds = run_ffmem(options, model, precision) if name == "ffmem" else run_program(options, name, model, precision)
        rates = [*speeds["prompt"].values(), speeds["decode"]]
        if not all(0 < rate < math.inf for rate in rates):
            raise NotRun(f"expected tokens per second above 0, found {', '.join(map(str, rates))}")
    except (AttributeError, KeyError, TypeError) as error:
        raise NotRun(f"its last line is JSON of another form: {error!r}") from None
    return speeds


def measure(options, model):
    """{precision: {program: [speeds of a round]}} and {precision: {program: why it was not run}}."""
    measured = {precision: {} for precision in options.precisions}
    missing = {precision: {} for precision in options.precisions}
    for number in range(1, options.rounds + 1):
        for precision in options.precisions:
            for name in ("ffmem", *options.programs):
                if name in missing[precision]:  # it would fail again
                    continue
                print(f"round {number} of {options.rounds}: {precision} {name}", file=sys.stderr, flush=True)
                try:
                    speeds = run(options, name, model, precision)
                    measured[precision].setdefault(name, []).append(speeds)
                except NotRun as reason:
                    if name == "ffmem":
                        sys.exit(f"compare.py: ffmem did not run: {reason}")
                    missing[precision][name] = str(reason)
        write_json(options.work / "results.json", {"measured": measured, "missing": missing})
    return measured, missing


def medians(rounds):
    """{"all": ..., "last": ..., "none": ..., "decode": ...}, with what was measured."""
    result = {scored: statistics.median(r["prompt"][scored] for r in rounds) for scored in rounds[0]["prompt"]}
    return result | {"decode": statistics.median(r["decode"] for r in rounds)}


def table(options, precision, measured, missing):
    columns = SCORED | {"decode": "new tokens"}
    lines = [f"| {precision} | " + " | ".join(columns.values()) + " |", "|---" * (len(columns) + 1) + "|"]
    ours = medians(measured["ffmem"])
    lines.append("| ffmem | " + " | ".join(f"{ours[column]:.0f}" for column in columns) + " |")
    for name, rounds in measured.items():
        if name == "ffmem":
            continue
        theirs = medians(rounds)
        cells = [f"{theirs[c]:.0f} ({ours[c] / theirs[c]:.2f})" if c in theirs else "" for c in columns]
        failed = f" ({len(rounds)} of {options.rounds} rounds: {missing[name]})" if name in missing else ""
        lines.append(f"| {name}{failed} | " + " | ".join(cells) + " |")
    lines += [f"| {name} | not run: {reason} |" + " |" * (len(columns) - 1) for name, reason in missing.items()
              if name not in measured]
    return "\n".join(lines)


def processor():
    with open("/proc/cpuinfo") as file:
        return next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "unknown processor")


def description(options, measured):
    ours = [rounds["ffmem"][0]["machine"] for rounds in measured.values()]
    peaks = ", ".join(f"{m['weights']} {m['peak_flops']['weights'] / 1e9:.0f}" for m in ours)
    versions = sorted({rounds[-1]["version"] for programs in measured.values() for name, rounds in programs.items()
                       if name != "ffmem"})
    second = "second of processor time" if options.cpu_time else "second"
    threads = "1 thread" if options.threads == 1 else f"{options.threads} threads"
    return (f"Tokens per {second}, medians of {options.rounds} interleaved rounds; in parentheses ffmem's rate divided by that "
            f"program's for the same work. {options.shape} with random weights, {ours[0]['parameters'] / 1e6:.0f} million "
            f"parameters, a prompt of {options.prompt} tokens at once and {options.new} tokens after it.\n\n"
            f"Machine: {processor()}, {threads}; {ours[0]['backend']}; peak GFLOP/s of multiply-adds by "
            f"weights in {peaks}; {ours[0]['read_bytes_per_second'] / 1e9:.1f} GB/s read from memory.\n\n"
            f"Programs: {'; '.join(versions)}.")


def notes(options, family):
    if family == "gpt2-relu" and "f32" in options.precisions:
        yield ("f32, new tokens: ffmem leaves out the values of the memories that ReLU makes 0, about half of them; the other "
               "programs multiply by all: the same result, ffmem's by less arithmetic.")


def main():
    options = arguments()
    if options.list_programs:
        print(",".join(options.programs))
        return
    from random_model import SHAPES, write_model

    if options.cpu_time:
        build_cpu_clock(options.work / "cpu_clock.so")
    model = options.work / options.shape
    write_model(model, options.shape)
    measured, missing = measure(options, model)
    tables = [table(options, precision, measured[precision], missing[precision]) for precision in options.precisions]
    text = "\n\n".join([description(options, measured), *tables, *notes(options, SHAPES[options.shape][0])]) + "\n"
    (options.work / "table.md").write_text(text)
    print(text)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("compare.py: interrupted; results.json is written after each round", file=sys.stderr)
        sys.exit(130)
