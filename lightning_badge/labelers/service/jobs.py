"""Requests that are open at the same time, each in a thread of its own."""

import threading
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress

from lightning_badge.exceptions import LabelError
from lightning_badge.labelers.service.exchange import Stopped
from lightning_badge.labelers.service.reply import Asker, Reply, Request


class Jobs:
    """Asks for the answers to several requests at once.

    Args:
        asker: Asks.
        parallel: Most requests that are open at once.
    """

    def __init__(self, asker: Asker, parallel: int) -> None:
        self._asker = asker
        self._parallel = parallel
        self._open: dict[str, Future[Reply]] = {}
        asker.exchange.go_on()

    def __len__(self) -> int:
        return len(self._open)

    @property
    def room(self) -> int:
        """How many further requests may be opened."""
        return self._parallel - len(self._open)

    def begin(self, request: Request) -> None:
        """Opens a request."""
        future: Future[Reply] = Future()
        self._open[request.request_id] = future
        # A daemon: after Ctrl-C nobody waits for the reply of a service.
        threading.Thread(target=self._ask, args=(request, future), daemon=True).start()

    def know(self, request_id: str, reply: Reply) -> None:
        """Adds a request whose answer is known without asking."""
        self._open[request_id] = Future()
        self._open[request_id].set_result(reply)

    def next(self, seconds: float) -> tuple[str, Reply] | None:
        """Returns the id and the answer of a request that is done; None if none is in time.

        Raises:
            LabelError: A request failed.
        """
        wait(self._open.values(), timeout=seconds, return_when=FIRST_COMPLETED)
        for request_id, future in self._open.items():
            if future.done():
                del self._open[request_id]
                return request_id, future.result()
        return None

    def finish(self) -> list[tuple[str, Reply]]:
        """Sends nothing more, and returns the answers to what was sent; open jobs stay open."""
        self.stop()
        wait(self._open.values())
        found = []
        for request_id, future in self._open.items():
            with suppress(Stopped, LabelError):
                found.append((request_id, future.result()))
        self._open.clear()
        return found

    def stop(self) -> None:
        """Ends all waiting between two attempts at a request."""
        self._asker.exchange.stop()

    def _ask(self, request: Request, future: Future[Reply]) -> None:
        try:
            future.set_result(self._asker.ask(request))
        except BaseException as error:
            future.set_exception(error)
