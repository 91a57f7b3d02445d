"""Bounds on connections: idle ones make room, and requests have to come within a time."""

import asyncio
import itertools
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_CONNECTIONS = 300
_REQUEST_SECONDS = 10.0
_numbers = itertools.count()


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 on a connection that is closed if it is idle and another one needs its place.

    A connection on which a request is incomplete for ten seconds is closed, too.
    """

    _timer: asyncio.TimerHandle | None = None

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: Any) -> None:
        """Makes room for a new connection, or refuses it if all others are at work."""
        super().connection_made(transport)
        self.number = next(_numbers)
        self._start_timer()
        if len(self.connections) > MOST_CONNECTIONS:
            others: Any = self.connections - {self}
            idle = [other for other in others if other.is_idle and not other.is_closing]
            oldest = min(idle, key=lambda other: other.number, default=self)
            oldest.transport.abort()

    @property
    def is_closing(self) -> bool:
        """Whether the connection is being closed."""
        return self.transport.is_closing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the timer."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Takes in a part of a request, which has to be complete in time."""
        super().data_received(data)
        if not self.is_idle:
            self._stop_timer()
        elif self._timer is None:
            self._start_timer()

    def _start_timer(self) -> None:
        self._timer = self.loop.call_later(_REQUEST_SECONDS, self._close_if_idle)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close_if_idle(self) -> None:
        self._timer = None
        if self.is_idle:
            self.transport.abort()
