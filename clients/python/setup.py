"""Generates the stubs into the wheel; everything else is in pyproject.toml."""

import pathlib
import sys

from setuptools import setup
from setuptools.command.build_py import build_py

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import make_stubs  # noqa: E402


class BuildWithStubs(build_py):
    def run(self):
        super().run()
        make_stubs.make(pathlib.Path(self.build_lib))


setup(cmdclass={"build_py": BuildWithStubs})
