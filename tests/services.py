"""Labeling services and chat endpoints for tests: the reference service, and stand-ins.

Run as a program, it is the reference service with errors and lost replies.
"""

import base64
import hashlib
import importlib.util
import io
import json
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "labeling_service.py"


def reference() -> Any:
    """Returns the module of the reference service, anew at each call."""
    spec = importlib.util.spec_from_file_location("labeling_service", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def faulty_handler(module: Any, *, errors: float, lost: float) -> Any:
    """Returns the handler of the reference service, with errors and lost replies.

    Request and number of the attempt decide. What was done before is in the ledger.
    """

    class Faulty(module.Handler):  # type: ignore[misc]
        def reply(self, status: int, answer: Any) -> None:
            request_id = answer.get("request_id")
            tries = self.server.__dict__.setdefault("tries", Counter())
            tries[request_id] += 1
            fate = uniform(f"{request_id}:{tries[request_id]}")
            if fate < errors:
                super().reply(500, {"error": "out of order"})
            elif fate < errors + lost:
                self.close_connection = True  # without a reply
            else:
                super().reply(status, answer)

    return Faulty


def uniform(text: str) -> float:
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


class Answering:
    """Answers requests of the protocol, and of chats about images of one shade.

    Args:
        label: Returns the class of a sample by its number; None for a skip.
        count: Number of samples; sample n has the shade n / count.

    Attributes:
        bodies: The bodies of all requests.
    """

    def __init__(self, label: Callable[[int], str | None], count: int) -> None:
        self.label, self.count = label, count
        self.bodies: list[Any] = []

    def number(self, body: Any) -> int:
        if "sample_id" in body:
            return int(body["sample_id"])
        from PIL import Image

        uri = body["messages"][1]["content"][0]["image_url"]["url"]
        image = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
        return round(image.getpixel((0, 0))[0] / 255 * self.count)

    def __call__(self, body: Any) -> Any:
        self.bodies.append(body)
        label = self.label(self.number(body))
        if "messages" not in body:
            return {"label": label, "price": 0.03, "seconds": 2.5}
        usage = {"prompt_tokens": 1000, "completion_tokens": 2}
        return {"choices": [{"message": {"content": label}}], "usage": usage}


@contextmanager
def running(answer: Callable[[Any], Any]) -> Iterator[str]:
    """Serves ``answer``, which gets the body of a POST and returns a JSON value."""
    module = reference()

    class Handler(module.Handler):  # type: ignore[misc]
        def do_POST(self) -> None:  # noqa: N802
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.reply(200, answer(body))

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/label"
        finally:
            server.shutdown()


def main(port: int, ledger: str, dies_at: int) -> None:
    """Serves with 5 % errors and 2 % lost replies, and is killed once so many lines are written."""
    module = reference()
    service = module.Service(port, ledger, faulty_handler(module, errors=0.05, lost=0.02))
    label = module.label

    def label_or_die(request: Any) -> Any:
        if len(service.done) == dies_at:  # the last answer is written, and may be on its way
            os.kill(os.getpid(), signal.SIGKILL)
        return label(request)

    module.label = label_or_die
    print(f"http://127.0.0.1:{service.server_port}/label", flush=True)
    service.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
