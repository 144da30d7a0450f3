#!/usr/bin/env python3
"""Generates what tao_inference needs of the protos: make_stubs.py [FOLDER]

FOLDER (by default the one of this script) gets tao/inference/v1/ with the messages, their types (.pyi) and
the gRPC stub, and status_details.binpb, the descriptors of the messages that errors carry. With grpcio-tools
if Python has it, else with protoc and grpc_python_plugin (Debian: protobuf-compiler-grpc).
"""

import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
PROTOS = HERE.parents[1] / "protos"
API = "tao/inference/v1/inference.proto"
# Of these only descriptors: `google.rpc` may be somebody else's in the same program.
DETAILS = ["google/rpc/status.proto", "google/rpc/error_details.proto"]


def compiler():
    """The command line of a protoc that writes Python and gRPC."""
    try:
        import grpc_tools
        well_known = pathlib.Path(grpc_tools.__file__).with_name("_proto")
        return [sys.executable, "-m", "grpc_tools.protoc", f"-I{well_known}"]
    except ImportError:
        pass
    protoc, plugin = shutil.which("protoc"), shutil.which("grpc_python_plugin")
    if protoc is None or plugin is None:
        sys.exit("make_stubs.py: neither grpcio-tools nor protoc with grpc_python_plugin is here. Install one:\n"
                 "  pip install grpcio-tools\n  apt-get install protobuf-compiler protobuf-compiler-grpc")
    return [protoc, f"--plugin=protoc-gen-grpc_python={plugin}"]


def make(out, protos=PROTOS):
    out = pathlib.Path(out)
    package = out / "tao/inference/v1"
    package.mkdir(parents=True, exist_ok=True)
    protoc = [*compiler(), f"-I{protos}"]
    subprocess.run([*protoc, f"--python_out={out}", f"--pyi_out={out}", f"--grpc_python_out={out}", API],
                   check=True)
    subprocess.run([*protoc, "--include_imports",
                    f"--descriptor_set_out={package / 'status_details.binpb'}", *DETAILS], check=True)


if __name__ == "__main__":
    if len(sys.argv) > 2 or (len(sys.argv) == 2 and sys.argv[1].startswith("-")):
        sys.exit(__doc__)
    make(sys.argv[1] if len(sys.argv) == 2 else HERE)
