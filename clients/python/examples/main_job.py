"""Starts a service, follows it until it is READY, asks it, and stops it: main_job.py [SERVER]

It takes the platform local-process; on a host with a GPU say "local-docker", and leave gpu_mode out.
"""

import sys
from typing import Optional

from tao_inference import Client, InferenceError, pb


def main(server: Optional[str]) -> int:
    with Client(server) as client:
        job_id = ""
        try:
            job_id = client.start("tao-dataservices", "/models/x", platform="local-process",
                                  gpu_mode="none").job_id
            client.wait_ready(job_id, on_change=lambda service: print(
                pb.Phase.Name(service.phase), service.message))
            with client.stream("Say hello", job_id=job_id, max_tokens=256, top_p=0.9, temperature=0.2,
                               seed=7) as stream:
                for text in stream:
                    print(text, end="", flush=True)
            print()
            return 0
        except InferenceError as error:
            print(error, file=sys.stderr)
            return 1
        finally:
            if job_id:
                client.stop(job_id)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else None))
