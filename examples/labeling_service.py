"""A labeling service in 40 lines: `python examples/labeling_service.py [PORT [LEDGER]]`.

It speaks the protocol of docs/services.md. Replace `label`, which knows scikit-learn's digits, by
people, a model or a vendor. The ledger, a line for each request, makes a repeated request harmless.
"""

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from sklearn.datasets import load_digits

DIGITS = load_digits().target
KEY = os.environ.get("LABELING_SERVICE_KEY")  # None lets everybody in


def label(request):
    """Returns what the service answers: a class or null, its price, and seconds of work."""
    return {"label": str(DIGITS[request["sample_id"]]), "price": 0.03, "seconds": 2.5}


class Service(ThreadingHTTPServer):
    def __init__(self, port, ledger, handler):
        super().__init__(("127.0.0.1", port), handler)
        self.lock, self.ledger = threading.Lock(), Path(ledger)
        lines = self.ledger.read_text().splitlines() if self.ledger.exists() else []
        self.done = {answer["request_id"]: answer for answer in map(json.loads, lines)}

    def answer(self, request):
        with self.lock:  # a request that comes twice is answered, and paid, once
            key = request["request_id"]
            if key not in self.done:
                answer = {"request_id": key, **label(request)}
                with self.ledger.open("a") as file:  # before the reply, which may be lost
                    file.write(json.dumps(answer) + "\n")
                self.done[key] = answer
            return self.done[key]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.is_admitted():
            self.reply(200, self.server.answer(request))

    def do_GET(self):
        found = self.server.done.get(self.path.rpartition("/")[2])
        if self.is_admitted():
            self.reply(200 if found else 404, found or {"error": "no such request"})

    def is_admitted(self):
        if KEY and self.headers["Authorization"] != f"Bearer {KEY}":
            self.reply(401, {"error": "the key is missing or wrong"})
            return False
        return True

    def reply(self, status, answer):
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    port, ledger = (sys.argv[1:] + ["8010", "ledger.jsonl"][len(sys.argv) - 1 :])[:2]
    service = Service(int(port), ledger, Handler)
    print(f"http://127.0.0.1:{service.server_port}/label", flush=True)
    service.serve_forever()
