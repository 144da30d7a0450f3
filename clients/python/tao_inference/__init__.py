"""Client of the TAO Inference Service: starts inference services, and asks them.

    from tao_inference import Client

    with Client() as client:
        service = client.start("cosmos-rl", "hf_model://nvidia/Cosmos-Reason1-7B", platform="local-docker")
        client.wait_ready(service.job_id)

Messages of the API (Service, Phase, ...) are those of the generated module `pb`, whose fields
protos/tao/inference/v1/inference.proto describes.
"""

from tao_inference._stubs import pb
from tao_inference.client import Client
from tao_inference.completion import Answer, TextStream
from tao_inference.errors import (AmbiguousServiceError, FieldViolation, InferenceError, InvalidRequestError,
                                  NotFoundError, ServiceFailedError, UnavailableError)

__all__ = ["AmbiguousServiceError", "Answer", "Client", "FieldViolation", "InferenceError", "InvalidRequestError",
           "NotFoundError", "ServiceFailedError", "TextStream", "UnavailableError", "pb"]
