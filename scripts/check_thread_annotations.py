#!/usr/bin/python3
"""Checks the thread-safety annotations of our sources with clang, which GCC ignores.

usage: check_thread_annotations.py BUILD_DIRECTORY

Reads BUILD_DIRECTORY/compile_commands.json, and parses each of our .cc files as it was compiled there.
Nothing but the annotations is checked: the other warnings are GCC's.
"""

import concurrent.futures
import json
import pathlib
import shlex
import subprocess
import sys

CLANG = "clang++-14"
OURS = ("server", "gateway", "clients")
# clang 14 has C++20's coroutines, but not yet the macro by which the standard library knows.
FLAGS = [
    "-fsyntax-only", "-Wno-everything", "-Wthread-safety", "-Werror=thread-safety",
    "-D__cpp_impl_coroutine=201902L", "-Wno-builtin-macro-redefined",
]


def clang_command(entry):
    """The command of an entry, with clang in GCC's place and what only GCC takes left out."""
    arguments = shlex.split(entry["command"])
    kept = []
    skip = False
    for position, argument in enumerate(arguments):
        if skip:
            skip = False
        elif argument in ("-o", "-MF", "-MT", "-include", "-Winvalid-pch"):
            skip = argument != "-Winvalid-pch"
        elif argument in ("-isystem", "-I", "-D"):
            kept += arguments[position:position + 2]
            skip = True
        elif argument.startswith(("-I", "-D", "-std=")):
            kept.append(argument)
    return [CLANG, *FLAGS, *kept, entry["file"]]


def check(entry):
    done = subprocess.run(
        clang_command(entry), cwd=entry["directory"], capture_output=True, text=True
    )
    return entry["file"], done.returncode, done.stderr


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    top = pathlib.Path(__file__).resolve().parents[1]
    entries = {}
    for entry in json.loads((pathlib.Path(sys.argv[1]) / "compile_commands.json").read_text()):
        path = pathlib.Path(entry["file"])
        if path.is_relative_to(top) and path.relative_to(top).parts[0] in OURS:
            entries[entry["file"]] = entry
    if not entries:
        sys.exit(f"{sys.argv[1]}/compile_commands.json names none of our sources")
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        for file, code, messages in pool.map(check, entries.values()):
            if code != 0:
                failed += 1
                print(f"{file}:\n{messages}", flush=True)
    print(f"thread annotations: {len(entries)} sources checked, {failed} with findings")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
