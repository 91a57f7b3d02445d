"""Asks a language model at an OpenAI-compatible chat endpoint: one annotator among others."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning_badge import arguments as check
from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.exceptions import LabelError
from lightning_badge.labelers.service.contents import Contents, read_guidelines
from lightning_badge.labelers.service.endpoint import Endpoint
from lightning_badge.labelers.service.exchange import Exchange, Refused
from lightning_badge.labelers.service.labelers import ServiceLabelers
from lightning_badge.labelers.service.prompt import PROMPT, classes_of, messages
from lightning_badge.labelers.service.reply import Reply, Request, amount
from lightning_badge.store.consensus import MODEL

_MILLION = 1e6
_SHOWN = 60


class ChatAsker:
    """Sends a prompt and a sample, and reads the name of a class.

    A chat endpoint does not promise that a request that is sent again is paid once. So a request
    whose reply was lost may be paid twice; it is answered once.

    Args:
        exchange: Sends requests; its address ends before ``/chat/completions``.
        model: Name of the model.
        prompt: Template over ``{classes}``, ``{rule}`` (how to answer) and ``{guidelines}``; None
            for `PROMPT`.
        guidelines: Text that explains the classes; None for none.
        prices: Price of a million tokens, by ``input`` and ``output``; None if it is not known.
        options: Further entries of the request, such as ``temperature``.

    Raises:
        LabelError: A template without the classes, prices that are not numbers, or options that
            replace what this class sends.
    """

    is_idempotent = False
    accepts_new_classes = False  # a model that invents a class is wrong

    def __init__(
        self,
        exchange: Exchange,
        *,
        model: str | None,
        prompt: str | None = None,
        guidelines: str | None = None,
        prices: Mapping[str, float] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        for name, value in (("model", model), ("prompt", prompt)):
            if value is not None:
                check.text(f"labelers.{name}", value, error=LabelError)
        if options is not None:
            check.instance("labelers.options", options, Mapping, "a dict", error=LabelError)
        self.exchange, self._model = exchange, model
        self._prompt, self._guidelines = PROMPT if prompt is None else prompt, guidelines or ""
        self._prices = _checked(prices)
        self._options = dict(options or {})
        if "{classes}" not in self._prompt:
            raise LabelError(
                "labelers.prompt: expected {classes} in it, where the classes are named"
            )
        if taken := self._options.keys() & {"model", "messages", "stream", "n"}:
            raise LabelError(f"labelers.options: expected other entries than {sorted(taken)}")

    def check(self) -> None:
        """Raises a LabelError if the model has no name, or the key is missing."""
        if not self._model:
            raise LabelError(
                "labelers.model: expected the name of a model at the endpoint, got none"
            )
        self.exchange.check()

    def ask(self, request: Request) -> Reply:
        """Waits for the answer of the model; an answer outside the classes is a skip.

        Raises:
            LabelError: The endpoint refuses the request, or its reply is no chat completion.
            Stopped: ``stop`` was called meanwhile.
        """
        exchange = self.exchange
        begun = exchange.clock()
        try:
            completion = exchange.send(
                "POST",
                f"{exchange.endpoint.url}/chat/completions",
                self._body(request),
                headers={"Idempotency-Key": request.request_id},
            )
        except Refused as refused:
            raise exchange.error(refused) from refused
        seconds = exchange.clock() - begun
        text = self._text(completion)
        price = self._price(completion.get("usage"))
        classes = classes_of(text, request.classes, multilabel=request.multilabel)
        if classes is None:
            shown = " ".join(text.split())[:_SHOWN]
            return Reply(None, f"answered {shown!r}", price, seconds)
        return Reply(classes, "", price, seconds)

    def _body(self, request: Request) -> dict[str, Any]:
        return {
            **self._options,
            "model": self._model,
            "messages": messages(self._prompt, request, self._guidelines),
        }

    def _text(self, completion: dict[str, Any]) -> str:
        try:
            content = completion["choices"][0]["message"].get("content")
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise LabelError(
                f"{self.exchange.endpoint.url}: expected a chat completion with choices, got "
                f"{sorted(completion)}; correct labelers.url, which ends before /chat/completions"
            ) from error
        return content if isinstance(content, str) else ""

    def _price(self, usage: Any) -> float | None:
        if self._prices is None or not isinstance(usage, Mapping):
            return None
        try:
            tokens = {
                "input": amount(usage.get("prompt_tokens")) or 0.0,
                "output": amount(usage.get("completion_tokens")) or 0.0,
            }
        except ValueError as error:
            raise LabelError(f"{self.exchange.endpoint.url}: usage: {error}") from error
        return sum(self._prices[name] * count for name, count in tokens.items()) / _MILLION


def for_run(
    datamodule: ActiveLearningDataModule,
    run_path: Path,  # noqa: ARG001 - all labelers are built alike
    *,
    url: str,
    model: str | None,
    key: str | None = None,
    annotator: str | None = None,
    urls: str | None = None,
    guidelines: str | None = None,
    prompt: str | None = None,
    prices: Mapping[str, float] | None = None,
    options: Mapping[str, Any] | None = None,
    timeout: float = 60.0,
    patience: float = 300.0,
    **arguments: Any,
) -> ServiceLabelers:
    """Builds a labeler that is a language model.

    Args:
        datamodule: Knows samples and classes.
        run_path: Not used.
        url: Address of the endpoint, before ``/chat/completions``.
        model: As in `ChatAsker`.
        key: Name of the environment variable that holds its key; None for none.
        annotator: Name after ``model:`` in the label store; None for that of the model.
        urls: As in `Contents`.
        guidelines: A text file that explains the classes; None for none.
        prompt: As in `ChatAsker`.
        prices: As in `ChatAsker`.
        options: As in `ChatAsker`.
        timeout: As in `Exchange`.
        patience: As in `Exchange`.
        **arguments: Further arguments of `ServiceLabelers`.
    """
    exchange = Exchange(Endpoint(url, key), timeout=timeout, patience=patience)
    asker = ChatAsker(
        exchange,
        model=model,
        prompt=prompt,
        guidelines=read_guidelines(guidelines),
        prices=prices,
        options=options,
    )
    contents = Contents(datamodule, urls=urls)
    if annotator:
        check.text("labelers.annotator", annotator, error=LabelError)
    name = f"{MODEL}{annotator or model}"
    return ServiceLabelers(datamodule, asker, contents, annotator=name, **arguments)


def _checked(prices: Mapping[str, float] | None) -> dict[str, float] | None:
    if prices is None:
        return None
    check.instance("labelers.prices", prices, Mapping, "a dict", error=LabelError)
    try:
        found = {name: amount(value) for name, value in prices.items()}
    except ValueError as error:
        raise LabelError(f"labelers.prices: {error}") from error
    if found.keys() != {"input", "output"} or None in found.values():
        raise LabelError(
            "labelers.prices: expected the price of a million tokens, such as "
            f"{{input: 0.15, output: 0.6}}, or null, got {dict(prices)}"
        )
    return {name: value for name, value in found.items() if value is not None}
