"""Requests over HTTP that outlast time-outs, overload and restarts of a service."""

import json
import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from lightning_badge.exceptions import LabelError
from lightning_badge.labelers.service.endpoint import Endpoint

if TYPE_CHECKING:
    import httpx

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
_LONGEST_RETRY_AFTER_S = 300.0
_QUIET_S = 3.0  # a request that fails for a shorter time is not worth a line
# What another attempt may mend: time-outs, too many requests.
_BUSY = 429
_PASSING = (408, 425, _BUSY)
_SHOWN = 200  # characters of what a service says
_log = logging.getLogger(__name__)


class Stopped(Exception):  # noqa: N818 - it is no error
    """The waiting was ended, because the loop needs no further answers now."""


class Refused(Exception):  # noqa: N818 - its user decides whether it is an error
    """A service refused a request, and would refuse it again.

    Args:
        status: The HTTP status.
        text: What the service says, without the key.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class Exchange:
    """Sends requests, again and again where that may help; several threads may use it.

    After a time-out, a lost connection, HTTP 408, 425, 429 or 5xx a request is sent again, 0.5, 1,
    2, ... at most 30 seconds later, or when the header ``Retry-After`` says so. The pauses begin
    anew where the service answered another request meanwhile. A request that
    fails for ``patience`` seconds is an error; if the service only has too many of them (429),
    others that succeed show that it works.

    Args:
        endpoint: Address and key.
        timeout: Seconds to wait for a reply.
        patience: Seconds after which to give up.
        transport: Of httpx, in tests.
        clock: Returns seconds that never go back.
        sleep: Waits for some seconds, or less if `stop` is called; None really waits.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        timeout: float = 60.0,
        patience: float = 300.0,
        transport: "httpx.BaseTransport | None" = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        for name, value in (("timeout", timeout), ("patience", patience)):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
                raise LabelError(f"labelers.{name}: expected seconds above 0, got {value!r}")
        if timeout == math.inf:
            raise LabelError("labelers.timeout: expected a finite number of seconds, got inf")
        self.endpoint = endpoint
        self.clock = clock
        self._timeout, self._patience, self._transport = timeout, patience, transport
        self._stopped = threading.Event()
        self._sleep: Callable[[float], object] = sleep or self._stopped.wait
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None
        self._secret: str | None = None
        self._last_success = clock()
        self._not_before = clock()
        self._is_troubled = False

    def check(self) -> None:
        """Raises a LabelError if httpx or the key is missing."""
        self._opened()

    def stop(self) -> None:
        """Ends all pauses; no further request is sent until ``go_on``."""
        self._stopped.set()

    def go_on(self) -> None:
        """Allows requests again."""
        self._stopped.clear()

    def close(self) -> None:
        """Closes all connections."""
        with self._lock:
            if self._client is not None:
                self._client.close()
            self._client = None

    def pause(self, seconds: float) -> None:
        """Waits.

        Raises:
            Stopped: `stop` was called before or meanwhile.
        """
        if not self._stopped.is_set() and seconds > 0:
            self._sleep(seconds)
        if self._stopped.is_set():
            raise Stopped

    def send(
        self,
        method: str,
        url: str,
        body: Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Returns the JSON object that a service replies.

        Raises:
            Refused: The service refuses the request by another 4xx status.
            LabelError: It fails for too long, or the reply is not a JSON object.
            Stopped: `stop` was called.
        """
        import httpx

        client, pause_s = self._opened(), _FIRST_PAUSE_S
        failing_since = tried_at = math.inf
        content = None if body is None else json.dumps(body).encode()
        typed = {} if body is None else {"Content-Type": "application/json"}
        while True:
            self.pause(self._not_before - self.clock())
            sent_at, status, retry_after = self.clock(), 0, None
            try:
                reply = client.request(
                    method, url, content=content, headers={**typed, **(headers or {})}
                )
            except httpx.RequestError as error:
                trouble = self._hidden(str(error)) or type(error).__name__
            else:
                if reply.status_code < 400:
                    return self._received(reply)
                if reply.status_code < 500 and reply.status_code not in _PASSING:
                    raise Refused(reply.status_code, self._said(reply))
                status = reply.status_code
                trouble = f"HTTP {status} {self._said(reply)}".rstrip()
                retry_after = reply.headers.get("Retry-After")
            failing_since = min(failing_since, self.clock())
            self._bear(trouble, self._since(failing_since, status))
            if self._last_success > tried_at:  # meanwhile it answered another request
                pause_s = _FIRST_PAUSE_S
            self.pause(self._told(retry_after, pause_s))
            pause_s, tried_at = min(2 * pause_s, _LONGEST_PAUSE_S), sent_at

    def error(self, refused: Refused) -> LabelError:
        """Returns the error of one line that a refusal is."""
        key = self.endpoint.key
        mend = "correct labelers.url and what the service expects"
        if refused.status in (401, 403):
            mend = (
                f"correct the key in {key}" if key else "name the variable of its key: labelers.key"
            )
        return LabelError(
            f"{self.endpoint.url}: the service refuses the request (HTTP {refused.status}"
            f"{': ' if refused.text else ''}{refused.text}); {mend}, and run the same command again"
        )

    def _received(self, reply: "httpx.Response") -> dict[str, Any]:
        with self._lock:
            self._last_success = self.clock()
            if self._is_troubled:
                self._is_troubled = False
                _log.warning("%s answers again", self.endpoint.url)
        try:
            found = reply.json()
        except ValueError:
            found = None
        if reply.status_code >= 300 or not isinstance(found, dict):
            raise LabelError(
                f"{self.endpoint.url}: expected a JSON object, got HTTP {reply.status_code} "
                f"{self._said(reply)!r}; correct labelers.url, or the service"
            )
        return found

    def _told(self, retry_after: str | None, pause_s: float) -> float:
        """Returns the seconds to wait; all threads wait as long as a service says."""
        seconds = seconds_of_header(retry_after)
        if seconds is None:
            return pause_s
        seconds = min(seconds, _LONGEST_RETRY_AFTER_S)
        with self._lock:
            self._not_before = max(self._not_before, self.clock() + seconds)
        return 0.0  # `_not_before` says it

    def _since(self, failing_since: float, status: int) -> float:
        """Returns since when a request gets nothing, or if the service is busy, all requests."""
        return max(failing_since, self._last_success) if status == _BUSY else failing_since

    def _bear(self, trouble: str, since: float) -> None:
        failing_s = self.clock() - since
        with self._lock:
            is_first = failing_s >= _QUIET_S and not self._is_troubled
            self._is_troubled |= is_first
        if failing_s > self._patience:
            raise LabelError(
                f"{self.endpoint.url}: no answer for {failing_s:.0f} s ({trouble}); see that the "
                "service runs, and run the same command again: open requests go on"
            )
        if is_first:
            _log.warning(
                "%s: %s; trying again for up to %.0f s",
                *(self.endpoint.url, trouble, self._patience),
            )

    def _opened(self) -> "httpx.Client":
        with self._lock:
            if self._client is None:
                try:
                    import httpx
                except ImportError as error:
                    raise LabelError(
                        'labeling services need httpx; pip install "lightning-badge[service]"'
                    ) from error
                self._secret = self.endpoint.secret()
                keyed = {"Authorization": f"Bearer {self._secret}"} if self._secret else {}
                self._client = httpx.Client(
                    timeout=self._timeout, headers=keyed, transport=self._transport
                )
            return self._client

    def _said(self, reply: "httpx.Response") -> str:
        """Returns the begin of a reply in one line."""
        text = reply.text
        try:
            found = reply.json()
            text = found["error"]["message"] if isinstance(found["error"], dict) else found["error"]
        except (ValueError, KeyError, TypeError):
            pass
        return self._hidden(" ".join(str(text).split()))[:_SHOWN]

    def _hidden(self, text: str) -> str:
        return text.replace(self._secret, "***") if self._secret else text


def seconds_of_header(text: str | None) -> float | None:
    """Returns the seconds of a header ``Retry-After``: a number, or the time until a date.

    Example:
        >>> seconds_of_header("2"), seconds_of_header("soon"), seconds_of_header(None)
        (2.0, None, None)
    """
    if text is None:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        until = parsedate_to_datetime(text)
        return max(0.0, (until - datetime.now(timezone.utc)).total_seconds())
    except (ValueError, TypeError):
        return None
