"""The generated code, or what to do where it was not generated."""

try:
    from tao.inference.v1 import inference_pb2 as pb
    from tao.inference.v1 import inference_pb2_grpc as pb_grpc
except ModuleNotFoundError as missing:
    if missing.name is None or not missing.name.startswith("tao"):
        raise
    raise ImportError(
        "tao_inference: the stubs are not generated. In a checkout run clients/python/make_stubs.py; "
        "`pip install` of clients/python does it by itself.") from missing

__all__ = ["pb", "pb_grpc"]
