"""Asks a service that speaks the protocol of ``docs/services.md``."""

from pathlib import Path
from typing import Any

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.exceptions import LabelError
from lightning_badge.labelers.service.contents import Contents, read_guidelines
from lightning_badge.labelers.service.endpoint import Endpoint
from lightning_badge.labelers.service.exchange import Exchange, Refused
from lightning_badge.labelers.service.labelers import ServiceLabelers
from lightning_badge.labelers.service.reply import Reply, Request, amount

_NOT_THIS_SAMPLE = 422
_UNKNOWN = (404, 410)  # for a request whose state is asked for
_LONGEST_POLL_S = 3600.0


class ServiceAsker:
    """Posts a sample, and asks for the state of the request until it is done.

    Args:
        exchange: Sends requests.
        guidelines: Text that explains the classes; None for none.
        poll: Seconds between two looks at an open request, if the service does not say.
    """

    is_idempotent = True  # the protocol says so
    accepts_new_classes = True

    def __init__(
        self, exchange: Exchange, *, guidelines: str | None = None, poll: float = 5.0
    ) -> None:
        if isinstance(poll, bool) or not isinstance(poll, (int, float)) or not poll > 0:
            raise LabelError(f"labelers.poll: expected seconds above 0, got {poll!r}")
        self.exchange, self._guidelines, self._poll = exchange, guidelines, poll

    def check(self) -> None:
        """Raises a LabelError if httpx or the key is missing."""
        self.exchange.check()

    def ask(self, request: Request) -> Reply:
        """Waits for the answer to a request.

        A sample that the service cannot label (HTTP 422) is passed over.

        Raises:
            LabelError: The service refuses the request, or its reply is not one of the protocol.
            Stopped: ``stop`` was called meanwhile.
        """
        exchange, url = self.exchange, self.exchange.endpoint.url
        try:
            state = exchange.send("POST", url, self._body(request))
            while (wait_s := self._wait_s(state)) is not None:
                exchange.pause(wait_s)
                state = self._look(request)
        except Refused as refused:
            if refused.status == _NOT_THIS_SAMPLE:
                return Reply(None, f"refused: {refused.text}", is_charged=False)
            raise exchange.error(refused) from refused
        return self._reply(state)

    def _look(self, request: Request) -> dict[str, Any]:
        url = self.exchange.endpoint.url
        try:
            return self.exchange.send("GET", f"{url}/{request.request_id}")
        except Refused as refused:
            if refused.status not in _UNKNOWN:
                raise
        # The service forgot it, perhaps in a restart: the same request, posted again.
        return self.exchange.send("POST", url, self._body(request))

    def _body(self, request: Request) -> dict[str, Any]:
        return {
            "request_id": request.request_id,
            "sample_id": request.sample_id,
            "kind": request.kind,
            **request.content,
            "classes": list(request.classes),
            "multilabel": request.multilabel,
            "guidelines": self._guidelines,
        }

    def _wait_s(self, state: dict[str, Any]) -> float | None:
        """Returns the seconds until the next look at a request; None if it is done."""
        if "label" in state:
            return None
        if state.get("status") != "pending":
            raise self._error(f"expected label, or status pending, got {sorted(state)}")
        try:
            told = amount(state.get("retry_after"))
        except ValueError as error:
            raise self._error(f"retry_after: {error}") from error
        return self._poll if told is None else min(told, _LONGEST_POLL_S)

    def _reply(self, state: dict[str, Any]) -> Reply:
        try:
            price, seconds = amount(state.get("price")), amount(state.get("seconds"))
        except ValueError as error:
            raise self._error(f"price and seconds: {error}") from error
        label = state["label"]
        if label is None:
            return Reply(None, "passed over by the service", price, seconds)
        names = [label] if isinstance(label, str) else label
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise self._error(
                "label: expected the name of a class, a list of names, or null, got "
                f"{type(label).__name__}"
            )
        return Reply(tuple(names), "", price, seconds)

    def _error(self, text: str) -> LabelError:
        return LabelError(f"{self.exchange.endpoint.url}: a reply of the service: {text}")


def for_run(
    datamodule: ActiveLearningDataModule,
    run_path: Path,  # noqa: ARG001 - all labelers are built alike
    *,
    url: str,
    key: str | None = None,
    annotator: str = "service",
    urls: str | None = None,
    guidelines: str | None = None,
    poll: float = 5.0,
    timeout: float = 60.0,
    patience: float = 300.0,
    **arguments: Any,
) -> ServiceLabelers:
    """Builds labelers who ask a labeling service.

    Args:
        datamodule: Knows samples and classes.
        run_path: Not used.
        url: Address of the service.
        key: Name of the environment variable that holds its key; None for none.
        annotator: As in `ServiceLabelers`.
        urls: As in `Contents`.
        guidelines: A text file that explains the classes; None for none.
        poll: As in `ServiceAsker`.
        timeout: As in `Exchange`.
        patience: As in `Exchange`.
        **arguments: Further arguments of `ServiceLabelers`.
    """
    exchange = Exchange(Endpoint(url, key), timeout=timeout, patience=patience)
    asker = ServiceAsker(exchange, guidelines=read_guidelines(guidelines), poll=poll)
    contents = Contents(datamodule, urls=urls)
    return ServiceLabelers(datamodule, asker, contents, annotator=annotator, **arguments)
