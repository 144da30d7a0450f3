"""The gateway by OpenAI's protocol, with nothing but Python: openai_http.py [BASE_URL] [MODEL]

MODEL is a job_id, or a network_arch that one service has. With the `openai` package the same is
`OpenAI(base_url=BASE_URL, api_key="none").chat.completions.create(model=MODEL, messages=MESSAGES)`.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPResponse
from typing import Any

# cosmos-rl takes media by URL, or by a path in its container; it fetches them itself.
MESSAGES = [{"role": "user", "content": [
    {"type": "image_url", "image_url": {"url": "http://127.0.0.1:9000/street.jpg"}},
    {"type": "text", "text": "What moves?"}]}]
SAMPLING = {"max_tokens": 512, "temperature": 0.2, "top_p": 0.9}


def post(url: str, body: dict[str, Any], tries: int = 20) -> HTTPResponse:
    """The answer; waits as it is told to while the model loads."""
    data = json.dumps(body).encode()
    while True:
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
        try:
            answer: HTTPResponse = urllib.request.urlopen(request, timeout=600)
            return answer
        except urllib.error.HTTPError as error:
            wait = error.headers.get("Retry-After")
            tries -= 1
            if wait is None or error.headers.get("x-should-retry") == "false" or tries == 0:
                raise
            error.close()
            time.sleep(int(wait))


def pieces(answer: HTTPResponse) -> Iterator[str]:
    """The text of a streamed completion. Comments keep the connection alive, and mean nothing."""
    for line in answer:
        if not line.startswith(b"data: ") or line.strip() == b"data: [DONE]":
            continue
        chunk = json.loads(line[len(b"data: "):])
        if "error" in chunk:
            raise RuntimeError(chunk["error"]["message"])
        for choice in chunk["choices"]:
            yield choice["delta"].get("content") or ""


def main(base_url: str, model: str) -> None:
    url = f"{base_url}/chat/completions"
    with post(url, {"model": model, "messages": MESSAGES, **SAMPLING}) as answer:
        print(json.load(answer)["choices"][0]["message"]["content"])

    with post(url, {"model": model, "messages": MESSAGES, **SAMPLING, "stream": True}) as answer:
        for text in pieces(answer):
            print(text, end="", flush=True)
    print()

    # What is wrong with a request is said before anything runs.
    try:
        post(url, {"model": "no-such-model", "messages": MESSAGES})
    except urllib.error.HTTPError as error:
        print(error.code, json.load(error)["error"]["code"])


if __name__ == "__main__":
    arguments = sys.argv[1:]
    main(arguments[0] if arguments else "http://127.0.0.1:8000/v1",
         arguments[1] if len(arguments) > 1 else "cosmos-rl")
