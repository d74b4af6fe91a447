#!/usr/bin/env python3
"""One suite run in many ways must leave the same bytes in every file. Run by hand; the test suite does not need it.

    python3 tests/tools/check_suite_bytes.py FFMEM [--kills N] [--sentences N]

FFMEM is the built command; the demo's model and texts are used. Against one thread's run: two threads; other batches; a trigger
search in 1, 2 and 3 shards, merged; 1 and 2 MPI ranks (skipped where mpirun or MPI is missing); and for each of SIGKILL and
SIGINT, N runs that are ended again and again, each time after a random while, until one comes through. Only manifest.json may
differ, in its times, its threads and ranks, and in what it used again. Files that an ended run left behind count as a difference.
"""
import argparse
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEMO = ROOT / "tools" / "demo"
SMALL = ["--top", "10", "--examples", "200", "--removal-keys", "5", "--effect-examples", "5", "--annotated-keys", "2",
         "--annotated-examples", "10", "--changes", "20"]


class Suite:
    def __init__(self, ffmem, folder, n_sentences):
        self.ffmem, self.folder, self.n_sentences = ffmem, folder, n_sentences
        self.texts = ["--train", DEMO / "wikitext-2-slice.txt", "--valid", DEMO / "wikitext-2-valid-slice.txt"]
        self.limits = ["--max-sentences", n_sentences, "--quiet"]
        self.problems = []

    def command(self, out, *options):
        words = [self.ffmem, "suite", DEMO / "wikitext2-relu-12x256", *self.texts, "-o", out, *SMALL, *self.limits, *options]
        return [str(word) for word in words]

    def run(self, name, *options, before=()):
        """A run of its own; its folder's files are compared with the first run's."""
        out = self.folder / name
        began = time.monotonic()
        subprocess.run([*before, *self.command(out, *options)], check=True, stdout=subprocess.DEVNULL)
        return out, time.monotonic() - began

    def search_in_shards(self, out, n):
        """Leaves OUT/data/triggers.safetensors, merged from n shards."""
        (out / "data").mkdir(parents=True)
        shards = [out.parent / f"{out.name}-{i}.safetensors" for i in range(n)]
        model, text = DEMO / "wikitext2-relu-12x256", DEMO / "wikitext-2-slice.txt"
        for i, shard in enumerate(shards):
            subprocess.run([str(w) for w in (self.ffmem, "triggers", model, text, "--shard", f"{i}/{n}", "--top", 10, *self.limits,
                                             "-o", shard)], check=True, stdout=subprocess.DEVNULL)
        merge = [self.ffmem, "merge", *shards, "-o", out / "data" / "triggers.safetensors"]
        subprocess.run([str(word) for word in merge], check=True, stdout=subprocess.DEVNULL)

    def run_with_ends(self, name, how, longest, chosen):
        """Starts the suite until it comes through; each start but the last is ended after a random while."""
        out = self.folder / name
        n_ended = 0
        while True:
            process = subprocess.Popen(self.command(out), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            try:
                # Each start is given more time than the one before, so that some start comes through.
                process.wait(timeout=chosen.uniform(0.05, 0.3) * longest * (1 + n_ended / 4))
            except subprocess.TimeoutExpired:
                process.send_signal(how)
            error = process.communicate()[1].decode()
            if process.returncode == 0:
                return out, n_ended
            n_ended += 1
            if process.returncode not in (-signal.SIGKILL, 130):
                self.problems.append(f"{name}: exit code {process.returncode}: {error}")
                return out, n_ended

    def compare(self, expected, found, what):
        a, b = files_of(expected), files_of(found)
        different = sorted(set(a) ^ set(b)) + sorted(name for name in set(a) & set(b) if a[name] != b[name])
        self.problems += [f"{what}: {name} {'differs' if name in a and name in b else 'is in one of the two'}" for name in different]
        print(f"{what}: {len(b)} files, {len(different)} different", flush=True)


def files_of(folder):
    files = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    manifest = json.loads(files["manifest.json"])
    for name in ("reused", "seconds", "total_seconds", "threads", "ranks"):
        del manifest[name]
    files["manifest.json"] = json.dumps(manifest).encode()
    return files


def check_ranks(suite, first):
    mpirun = shutil.which("mpirun")
    if not mpirun:
        print("MPI ranks: skipped, no mpirun")
        return
    for name in ("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "OMPI_MCA_rmaps_base_oversubscribe"):
        os.environ[name] = "1"
    tried = subprocess.run([mpirun, "-n", "2", suite.ffmem, "--help"], capture_output=True, text=True)
    if "built without MPI" in tried.stderr:
        print("MPI ranks: skipped, ffmem was built without MPI")
        return
    for n in (1, 2):
        out, _ = suite.run(f"ranks-{n}", "--threads", "1", before=[mpirun, "-n", str(n)])
        suite.compare(first, out, f"{n} MPI ranks")


def check(suite, n_kills, chosen):
    first, seconds = suite.run("one", "--threads", "1")
    print(f"1 thread: {seconds:.1f} s")
    suite.compare(first, suite.run("two", "--threads", "2")[0], "2 threads")
    suite.compare(first, suite.run("batches", "--batch-tokens", "200")[0], "other batches")
    suite.compare(first, suite.run("two", "--threads", "2")[0], "again over what is there")
    for n in (1, 2, 3):
        suite.search_in_shards(suite.folder / f"shards-{n}", n)
        suite.compare(first, suite.run(f"shards-{n}")[0], f"{n} shards, merged")
    check_ranks(suite, first)
    for how in (signal.SIGKILL, signal.SIGINT):
        for i in range(n_kills):
            out, n_ended = suite.run_with_ends(f"{how.name}-{i}", how, seconds, chosen)
            if (out / "manifest.json").exists():
                suite.compare(first, out, f"{n_ended} ends by {how.name}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ffmem", type=pathlib.Path)
    parser.add_argument("--kills", type=int, default=3, metavar="N", help="runs ended by each signal")
    parser.add_argument("--sentences", type=int, default=400, metavar="N", help="of the training text")
    parser.add_argument("--seed", type=int, default=1, help="of the moments at which runs are ended")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        suite = Suite(options.ffmem.resolve(), pathlib.Path(folder), options.sentences)
        check(suite, options.kills, random.Random(options.seed))
    print("\n".join(suite.problems) if suite.problems else "all the same")
    return 1 if suite.problems else 0


if __name__ == "__main__":
    sys.exit(main())
