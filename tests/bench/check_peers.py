"""bench/peers with programs that only pretend: what is refused and installed, what a failure or an interrupt leaves.

python check_peers.py BENCH_PEERS
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import types
import unittest
from pathlib import Path
from unittest import mock

PEERS = Path(sys.argv.pop(1))
sys.path.insert(0, str(PEERS))
sys.dont_write_bytecode = True

SPEEDS = {"weights": "f32", "prompt": {"tokens_per_second": 100}, "decode": {"tokens_per_second": 10}, "parameters": 1,
          "backend": "cpu", "peak_flops": {"weights": 1}, "read_bytes_per_second": 1}
FFMEM = f"#!/bin/sh\necho '{json.dumps(SPEEDS)}'\n"
# Runs once; then fails, or where HANG is set waits.
PROGRAM = """
import json, os, pathlib, sys, time
before = pathlib.Path(sys.argv[2] + "-ran")
if before.exists():
    time.sleep(60 if "HANG" in os.environ else 0)
    sys.exit("it broke")
before.touch()
print(json.dumps({"prompt": {"all": 50}, "decode": 5, "version": "1"}))
"""
MODEL = """
SHAPES = {"gpt2": ("gpt2",), "paper": ("gpt2-relu",)}
def write_model(folder, name):
    pass
"""
# Writes down what it is called with. Makes environments with a copy of itself in them, and lets the real one read arguments.
PYTHON = f"""#!/bin/sh
case $* in *--list-programs*) exec {sys.executable} -B "$@" ;; esac
echo "$*" >>"$LOG"
case $* in
  "-m venv "*) mkdir -p "$4/bin" && cp "$0" "$4/bin/python" ;;
  *"import numpy"*) [ -z "${{OFFLINE-}}" ] ;;
  -c*) exit 1 ;;
esac
"""


def write_program(path, text):
    path.write_text(text)
    path.chmod(0o755)


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        write_program(self.folder / "ffmem", FFMEM)


class Rounds(Folder):
    def setUp(self):
        super().setUp()
        shutil.copy(PEERS / "compare.py", self.folder)
        (self.folder / "random_model.py").write_text(MODEL)
        (self.folder / "programs.py").write_text(PROGRAM)

    def start(self, *options, **environment):
        command = [sys.executable, "compare.py", "--ffmem", "ffmem", "--work", ".", "--precisions", "f32", *options]
        return subprocess.Popen(command, cwd=self.folder, env=os.environ | environment, start_new_session=True, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def test_a_failure_in_a_later_round_stands_in_the_row(self):
        out, _ = self.start("--programs", "OpenVINO").communicate()
        self.assertIn("| OpenVINO (1 of 3 rounds: it broke) | 50 (2.00) |", out)

    def test_what_is_no_result_stands_in_the_row(self):
        for printed, why in (
            ("", "expected JSON in its last line, found ''"),
            ("loaded", "expected JSON in its last line, found 'loaded'"),
            ("[]", "its last line is JSON of another form"),
            ('{"prompt": {"all": 50}, "decode": 5}', "its last line is JSON of another form: KeyError('version')"),
            ('{"prompt": {"all": 50}, "decode": null, "version": "1"}', "its last line is JSON of another form"),
            ('{"prompt": {"all": 0}, "decode": 5, "version": "1"}', "expected tokens per second above 0, found 0, 5"),
            ('{"prompt": {"all": 50}, "decode": NaN, "version": "1"}', "expected tokens per second above 0, found 50, nan"),
        ):
            with self.subTest(printed):
                (self.folder / "programs.py").write_text(f"print({printed!r})")
                out, _ = self.start("--programs", "OpenVINO").communicate()
                self.assertIn("| ffmem | 100 |", out)
                self.assertIn(f"| OpenVINO | not run: {why}", out)

    def test_without_ffmem_nothing_is_compared(self):
        for text, why in (("#!/bin/sh\n", "expected JSON in its last line"), ("#!/nowhere\n", "No such file or directory"),
                          ("#!/bin/sh\necho '{}'\n", "its last line is JSON of another form: KeyError('prompt')")):
            write_program(self.folder / "ffmem", text)
            process = self.start()
            _, errors = process.communicate()
            self.assertEqual(process.returncode, 1)
            self.assertEqual(len(errors.splitlines()), 2)
            self.assertIn("compare.py: ffmem did not run: ", errors)
            self.assertIn(why, errors)

    def test_less_arithmetic_is_told(self):
        for options, told in (("gpt2", False), ("paper", True), ("paper --precisions int8", False)):
            out, _ = self.start("--programs", "OpenVINO", "--rounds", "1", "--shape", *options.split()).communicate()
            self.assertEqual("multiply by all" in out, told)

    def test_an_interrupt_leaves_the_rounds_before_it(self):
        process = self.start("--programs", "OpenVINO", HANG="1")
        while "round 2 of 3: f32 OpenVINO" not in process.stderr.readline():
            self.assertIsNone(process.poll())
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate()
        self.assertEqual(process.returncode, 130)
        self.assertEqual(len(errors.splitlines()), 1)
        measured = json.loads((self.folder / "results.json").read_text())["measured"]["f32"]
        self.assertEqual({name: len(rounds) for name, rounds in measured.items()}, {"ffmem": 1, "OpenVINO": 1})

    def test_unknown_precisions_are_refused(self):
        for script in ("compare.py", "trigger_search.py"):
            result = subprocess.run([sys.executable, PEERS / script, "--ffmem", "x", "--work", "x", "--precisions", "f32,f16"],
                                    capture_output=True, text=True)
            self.assertEqual(result.returncode, 2)
            self.assertIn("found 'f16'", result.stderr)


class Run(Folder):
    def run_script(self, *options, **environment):
        """The result, and what python was called with."""
        log = self.folder / "log"
        log.write_text("")
        write_program(self.folder / "python3", PYTHON)
        path = f"{self.folder}:{os.environ['PATH']}"
        command = ["sh", PEERS / "run.sh", f"--ffmem={self.folder}/ffmem", f"--work={self.folder}/work", *options]
        result = subprocess.run(command, env=os.environ | {"PATH": path, "LOG": str(log)} | environment, capture_output=True,
                                text=True)
        return result, log.read_text()

    def test_a_search_needs_no_other_programs(self):
        _, log = self.run_script("--search")
        self.assertIn("torch transformers\n", log)
        self.assertNotIn("openvino", log)
        self.assertIn("trigger_search.py --ffmem", log)

    def test_only_what_is_named_is_installed(self):
        for options in (["--programs", "llama.cpp"], ["--programs=llama.cpp"]):
            result, log = self.run_script(*options)
            self.assertEqual(result.returncode, 0)
            constraints = f"-c {PEERS.resolve()}/constraints.txt"
            self.assertIn(f"install {constraints} --no-binary llama-cpp-python llama-cpp-python\n-c import gguf", log)
            self.assertNotIn("torch", log)
            self.assertIn(f"compare.py --ffmem {self.folder}/ffmem --work {self.folder}/work", log)
            self.assertTrue(log.endswith(" ".join(options) + "\n"))

    def test_wrong_arguments_are_refused_before_anything_is_made(self):
        for options, why in (
            ("--programs", "--programs: expected one argument"),
            ("--programs llama", "found 'llama'"),
            ("--program=llama.cpp", "unrecognized arguments"),
            ("--shape nosuch", "--shape: invalid choice: 'nosuch'"),
            ("--rounds x", "--rounds: expected a whole number, at least 1, found 'x'"),
            ("--rounds 0", "--rounds: expected a whole number, at least 1, found '0'"),
            ("--under nosuch", "--under: nosuch: no such program"),
            ("--nosuch", "unrecognized arguments: --nosuch"),
            ("--search --programs OpenVINO", "unrecognized arguments: --programs"),
            ("--search --batches 0", "--batches: expected a whole number, at least 1, found '0'"),
        ):
            with self.subTest(options):
                result, log = self.run_script(*options.split())
                self.assertEqual(result.returncode, 2)
                self.assertIn(why, result.stderr)
                self.assertEqual(log, "")
                self.assertFalse((self.folder / "work").exists())

    def test_a_folder_is_no_ffmem(self):
        result, log = self.run_script(f"--ffmem={self.folder}")
        self.assertEqual(result.returncode, 1)
        self.assertIn("no such program", result.stderr)
        self.assertEqual(log, "")

    def test_the_newest_versions_have_an_environment_of_their_own(self):
        _, log = self.run_script("--latest", "--programs", "CTranslate2")
        self.assertIn(f"-m venv --clear {self.folder}/work/venv-latest\n", log)
        self.assertIn("install ctranslate2\n", log)
        self.assertNotIn("constraints.txt", log)

    def test_half_an_environment_is_made_anew(self):
        python = self.folder / "work" / "venv" / "bin" / "python"
        python.parent.mkdir(parents=True)
        write_program(python, "#!/bin/sh\nexit 1\n")
        self.assertIn("-m venv --clear", self.run_script()[1])
        self.assertNotIn("-m venv", self.run_script()[1])

    def test_a_model_needs_numpy(self):
        result, log = self.run_script(OFFLINE="1")
        self.assertEqual(result.returncode, 1)
        self.assertIn("run.sh: without numpy and safetensors the model cannot be written", result.stderr)
        self.assertNotIn("compare.py", log)


class Programs(Folder):
    def setUp(self):
        super().setUp()
        with mock.patch.dict(sys.modules, numpy=types.ModuleType("numpy")):
            import programs
        self.programs = programs

    def test_a_conversion_appears_whole(self):
        def half(path):
            path.mkdir()
            raise KeyboardInterrupt

        with self.assertRaises(KeyboardInterrupt):
            self.programs.converted(self.folder, "made", half)
        self.assertFalse((self.folder / "made").exists())
        self.assertTrue(self.programs.converted(self.folder, "made", Path.mkdir).is_dir())
        self.programs.converted(self.folder, "made", half)  # it is there

    def test_other_processors_have_no_flags(self):
        with mock.patch("builtins.open", mock.mock_open(read_data="processor: 0\nFeatures: fp asimd\n")):
            self.assertEqual(self.programs.cpu_flags(), [])


unittest.main()
