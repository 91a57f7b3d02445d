"""What is checked before a request reaches the page, and what every response says to browsers."""

import asyncio
import hmac
import json
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lightning_badge.labelers.page.address import Address

MOST_BYTES = 64 * 1024
_LONGEST_PATH = 2048
_BODY_SECONDS = 10.0
_READS = ("GET", "HEAD")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cache-control": "no-store",
}
_NO_COOKIE = (
    "Open the address that `lightning-badge` printed: it ends with ?token=... "
    "and lets this browser in."
)
# A browser withholds the cookie from a visit by a link on another site. It sends it when this page
# leads there itself.
_SECOND_TRY = "/?visit=again"


class RefusalError(Exception):
    """A request that is refused.

    Args:
        status: The HTTP status.
        text: One line that says why.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Guard:
    """Refuses requests of strangers, of other sites, and ones that are too large.

    Args:
        app: Gets what is admitted, with bodies that are complete and small.
        address: Where the page is served.
    """

    def __init__(self, app: ASGIApp, address: Address) -> None:
        self._app = app
        self._address = address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            return
        send = _with_headers(send)
        try:
            is_entry = self._check(scope)
            body = await _body(scope, receive)
        except RefusalError as refusal:
            await _refuse(send, refusal)
            return
        if is_entry:
            await self._enter(scope, send)
        elif not self._is_admitted(scope):
            await self._stay_out(scope, send)
        else:
            await self._app(scope, _replayed(body, receive), send)

    def _check(self, scope: Scope) -> bool:
        """Raises a `RefusalError`, or returns whether the request carries the token."""
        if len(scope["raw_path"]) + len(scope["query_string"]) > _LONGEST_PATH:
            raise RefusalError(414, "the address is too long")
        hosts = _all(scope, b"host")
        scheme = self._address.scheme_for(hosts[0]) if len(hosts) == 1 else None
        if scheme is None:
            raise RefusalError(
                421, "this name is not one of the labeling page; use the printed address"
            )
        if scope["method"] == "POST":
            _check_post(scope, f"{scheme}://{hosts[0]}")
            return False
        if scope["method"] not in _READS:
            raise RefusalError(405, "expected GET or POST")
        return scope["path"] == "/" and b"token=" in scope["query_string"]

    def _is_admitted(self, scope: Scope) -> bool:
        try:
            cookie = SimpleCookie("; ".join(_all(scope, b"cookie"))).get(self._address.cookie)
        except CookieError:
            return False
        return cookie is not None and _is_same(cookie.value, self._address.token)

    async def _enter(self, scope: Scope, send: Send) -> None:
        """Exchanges the token of the printed address for a cookie."""
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])
        if len(given) != 1 or not _is_same(given[0], self._address.token):
            await _say(send, 401, _NO_COOKIE)
            return
        is_secure = self._address.origin.startswith("https:")
        cookie = (
            f"{self._address.cookie}={self._address.token}; HttpOnly; SameSite=Strict; Path=/; "
            f"Max-Age={365 * 24 * 3600}{'; Secure' if is_secure else ''}"
        )
        await _respond(send, 303, b"", (("location", "/"), ("set-cookie", cookie)))

    async def _stay_out(self, scope: Scope, send: Send) -> None:
        if scope["method"] == "POST":
            await _refuse(send, RefusalError(401, _NO_COOKIE))
        elif scope["path"] == "/" and not scope["query_string"]:
            await _say(send, 401, _NO_COOKIE, again=True)
        else:
            await _say(send, 401, _NO_COOKIE)


def _check_post(scope: Scope, own_origin: str) -> None:
    origins, kinds = _all(scope, b"origin"), _all(scope, b"content-type")
    if [origin.lower() for origin in origins] != [own_origin.lower()]:
        raise RefusalError(403, "a call from another page")
    if any(site not in ("same-origin", "none") for site in _all(scope, b"sec-fetch-site")):
        raise RefusalError(403, "a call from another page")
    if len(kinds) != 1 or kinds[0].partition(";")[0].strip().lower() != "application/json":
        raise RefusalError(415, "expected Content-Type: application/json")


async def _body(scope: Scope, receive: Receive) -> bytes:
    """Returns the body of a request, without reading more than is permitted."""
    declared = _all(scope, b"content-length")
    most = MOST_BYTES if scope["method"] == "POST" else 0
    if any(not size.isdecimal() or len(size) > 9 or int(size) > most for size in declared):
        raise RefusalError(413, f"expected a body of at most {most} bytes")
    if not declared and not _all(scope, b"transfer-encoding"):
        return b""
    body = bytearray()
    try:
        while True:
            message = await asyncio.wait_for(receive(), _BODY_SECONDS)
            if message["type"] == "http.disconnect":
                raise RefusalError(400, "the request ended too early")
            body += message.get("body", b"")
            if len(body) > most:
                raise RefusalError(413, f"expected a body of at most {most} bytes")
            if not message.get("more_body", False):
                return bytes(body)
    except asyncio.TimeoutError as error:
        raise RefusalError(408, "the request came too slowly") from error


def _replayed(body: bytes, receive: Receive) -> Receive:
    waiting = [body]

    async def replay() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return replay


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", []))
            given = {name.lower() for name, _ in headers}
            headers += [
                (name.encode(), value.encode())
                for name, value in _HEADERS.items()
                if name.encode() not in given
            ]
            message = {**message, "headers": headers}
        await send(message)

    return sending


async def _refuse(send: Send, refusal: RefusalError) -> None:
    # What is left of the request is not read, so the connection cannot be used again.
    content = json.dumps({"error": str(refusal)}).encode()
    headers = (("content-type", "application/json"), ("connection", "close"))
    await _respond(send, refusal.status, content, headers)


async def _say(send: Send, status: int, sentence: str, *, again: bool = False) -> None:
    refresh = f'<meta http-equiv="refresh" content="0;url={_SECOND_TRY}">' if again else ""
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8">{refresh}'
        f"<title>Labeling page</title><p>{sentence}</p></html>"
    )
    await _respond(send, status, page.encode(), (("content-type", "text/html; charset=utf-8"),))


async def _respond(
    send: Send, status: int, content: bytes, headers: Iterable[tuple[str, str]]
) -> None:
    pairs = [(name.encode(), value.encode()) for name, value in headers]
    pairs.append((b"content-length", str(len(content)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": content})


def _all(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _is_same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())
