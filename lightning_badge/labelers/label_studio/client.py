"""Requests to Label Studio, and what went wrong with them in one line."""

import socket
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lightning_badge.exceptions import LabelError
from lightning_badge.labelers.label_studio.token import VARIABLE, Token

if TYPE_CHECKING:
    import httpx

PAGE_SIZE = 100
_CONNECT_S, _REPLY_S = 10.0, 300.0  # a reply that is given up may come true later
_AWAY = {408, 425, 429, *range(500, 600)}
_LONGEST_REASON = 300


class AwayError(LabelError):
    """The server does not answer, or cannot at the moment; what was sent may have been carried out.

    Attributes:
        after_s: Seconds that the server asks to wait; None if it does not say.
    """

    def __init__(self, text: str, after_s: float | None = None) -> None:
        super().__init__(text)
        self.after_s = after_s


class NotFoundError(LabelError):
    """There is nothing under an address of the server."""


class NoSuchHostError(AwayError):
    """The name of the server is not known."""


class Client:
    """A connection to Label Studio; it repeats no request.

    Args:
        url: Address of the server, such as ``http://localhost:8080``.
        token: Admits to it.
        transport: Sends the requests, in tests; None for the network.

    Raises:
        LabelError: The address is not one, or httpx is not installed.
    """

    def __init__(
        self, url: str, token: Token, *, transport: "httpx.BaseTransport | None" = None
    ) -> None:
        try:
            import httpx
        except ImportError as error:
            raise LabelError(
                'labelers=label_studio needs httpx: pip install "lightning-badge[label-studio]"'
            ) from error
        self.url = checked_url(url)
        self._token = token
        self._http = httpx.Client(
            base_url=self.url,
            timeout=httpx.Timeout(_REPLY_S, connect=_CONNECT_S),
            transport=transport,
            verify=self.url.startswith("https:"),  # else reading certificates takes 0.3 s in vain
        )

    def close(self) -> None:
        """Closes the connection."""
        self._http.close()

    def get(self, path: str, **parameters: Any) -> Any:
        """Returns what a GET request brings."""
        return self._sent("GET", path, parameters=parameters)

    def post(self, path: str, body: Any, **parameters: Any) -> Any:
        """Returns the reply to a POST request."""
        return self._sent("POST", path, body=body, parameters=parameters)

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """Returns the reply to a PATCH request."""
        return self._sent("PATCH", path, body=body)

    def pages(self, path: str, key: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """Yields the entries of all pages of a list.

        Args:
            path: Of the list.
            key: Under which a page holds its entries.
            **parameters: Further parameters of the requests.
        """
        page = 1
        while True:
            try:
                found = self.get(path, page=page, page_size=PAGE_SIZE, **parameters)
            except NotFoundError:
                if page == 1:
                    raise
                return  # the last page was full, or entries were deleted meanwhile
            entries = found[key]
            yield from entries
            if len(entries) < PAGE_SIZE:
                return
            page += 1

    def _sent(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> Any:
        if self._token.is_refreshed and self._token.access is None:
            self._refresh()
        response = self._reply(method, path, body, parameters)
        if response.status_code == 401 and self._token.is_refreshed:  # its five minutes are over
            self._refresh()
            response = self._reply(method, path, body, parameters)
        return self._content(response, f"{method} {path}")

    def _refresh(self) -> None:
        self._token.access = None
        response = self._reply("POST", "/api/token/refresh/", {"refresh": self._token.text}, None)
        self._token.access = str(self._content(response, "POST /api/token/refresh/")["access"])

    def _reply(
        self, method: str, path: str, body: Any, parameters: Mapping[str, Any] | None
    ) -> "httpx.Response":
        import httpx

        try:
            return self._http.request(
                method, path, json=body, params=parameters, headers=self._token.header()
            )
        except (httpx.LocalProtocolError, httpx.InvalidURL):  # its text may hold a header
            raise LabelError(f"Label Studio at {self.url}: no request can be sent there") from None
        except httpx.TransportError as error:
            kind = NoSuchHostError if _is_unknown_host(error) else AwayError
            reason = " ".join(str(error).split()) or type(error).__name__
            reason = self._token.hidden_in(reason)
            raise kind(f"Label Studio at {self.url} does not answer ({reason})") from None

    def _content(self, response: "httpx.Response", request: str) -> Any:
        """Returns the JSON of a reply.

        Raises:
            LabelError: The server refuses the request, or is not Label Studio.
            AwayError: The server cannot answer now.
        """
        status = response.status_code
        if 200 <= status < 300:
            return self._json(response)
        reason = self._token.hidden_in(_reason(response))
        where = f"Label Studio at {self.url}"
        if status in _AWAY:
            raise AwayError(f"{where} answers {status} to {request} ({reason})", _wait(response))
        if status in (401, 403):
            raise LabelError(
                f"{where} refuses {request} with the token in {VARIABLE} ({status}: {reason}); "
                "copy a valid one from the account settings of Label Studio"
            )
        if 300 <= status < 400:
            target = _without_query(response.headers.get("location", "nowhere"))
            raise LabelError(
                f"{where} leads to {target}; set labelers.url to the address that it leads to"
            )
        kind = NotFoundError if status == 404 else LabelError
        raise kind(
            f"{where} answers {status} to {request} ({reason}); see whether labelers.url and "
            "labelers.project are right"
        )

    def _json(self, response: "httpx.Response") -> Any:
        if not response.content:
            return None
        try:
            return response.json()
        except ValueError:
            found = response.headers.get("content-type", "no type")
            raise LabelError(
                f"{self.url}: expected JSON from Label Studio, got {found}; see whether "
                "labelers.url is right"
            ) from None


def checked_url(url: str) -> str:
    """Returns the address of a server without a slash at its end.

    Raises:
        LabelError: It is not one, or it holds a password.
    """
    try:
        parts = urlsplit(url if isinstance(url, str) else "")
    except ValueError:
        parts = urlsplit("")
    if "@" in str(url) or parts.query or parts.fragment:  # it may hold a secret: it is not shown
        raise LabelError(
            "labelers.url: expected an address without user, password and query; the token in "
            f"{VARIABLE} admits to Label Studio"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        got = repr(parts.scheme) if parts.scheme and "//" in url else "none"  # it may be the token
        raise LabelError(
            f"labelers.url: expected an address such as http://localhost:8080, got {got}"
        )
    return url.rstrip("/")


def _without_query(address: str) -> str:
    """Returns an address without what may be a secret."""
    return address.partition("?")[0].partition("#")[0].rpartition("@")[2]


def _reason(response: "httpx.Response") -> str:
    """Returns what a reply says of an error, in one line."""
    try:
        found = response.json()
    except ValueError:
        return response.reason_phrase or "no reason"
    if isinstance(found, dict):
        found = found.get("validation_errors") or found.get("detail") or found
    text = " ".join(str(found).split())
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON].rstrip()} ..."


def _wait(response: "httpx.Response") -> float | None:
    text = response.headers.get("retry-after", "")
    return float(text) if text.isdecimal() else None


def _is_unknown_host(error: BaseException) -> bool:
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, socket.gaierror):
            return True
        found = found.__cause__ or found.__context__
    return False
