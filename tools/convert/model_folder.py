"""A model's folder, written whole or not at all, and errors told in one line."""

import os
import sys


def fail(path, expected, found):
    sys.exit(f"{path}: expected {expected}, found {found}")


def kind_of(path):
    return "a folder" if path.is_dir() else "a file" if path.exists() else "nothing"


def one_line(error):
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]


def check_folder(folder):
    """Before the work, not after it."""
    if folder.exists() and not folder.is_dir():
        fail(folder, "a folder to write", kind_of(folder))


def write_folder(folder, writers):
    """Writes files by name; a writer is given the open binary file.

    All are written aside and synced before the first takes its place, so that what ends the work early (a full disk, Ctrl-C)
    leaves an earlier conversion as it was. A link is replaced, not written through. config.json, without which no program takes
    the folder for a model, goes first and comes last.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "config.json"
    asides = {folder / name: folder / f"{name}.tmp.{os.getpid()}" for name in writers}
    try:
        for (path, aside), write in zip(asides.items(), writers.values(), strict=True):
            write_synced(path, aside, write)
        config.unlink(missing_ok=True)
        sync_folder(folder)
        for path in sorted(asides, key=lambda path: path == config):
            os.replace(asides[path], path)
        sync_folder(folder)
    finally:
        for aside in asides.values():
            aside.unlink(missing_ok=True)


def write_synced(path, aside, write):
    try:
        with open(aside, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error  # writing and syncing name no file


def sync_folder(folder):
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def run(main):
    """Runs the program. What the system refuses is one line and exit code 1; Ctrl-C is 130."""
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        sys.exit(f"{error.filename}: {error.strerror}" if error.filename else str(error))
