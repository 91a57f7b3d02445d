"""A language model as an annotator: what it is asked, and what its answers mean."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.exceptions import LabelError
from lightning_badge.labelers.service.chat import ChatAsker
from lightning_badge.labelers.service.endpoint import Endpoint
from lightning_badge.labelers.service.exchange import Exchange
from lightning_badge.labelers.service.prompt import classes_of
from lightning_badge.labelers.service.reply import Reply, Request

httpx = pytest.importorskip("httpx")
URL = "https://chat.example.org/v1"
CLASSES = ("cat", "dog")
CONFIGS = Path(__file__).parent.parent.parent.parent / "configs"


class Chat:
    """A chat endpoint that answers a text, or what else it is given."""

    def __init__(self, answer: Any, usage: Any = None) -> None:
        message = {"role": "assistant", "content": answer}
        self.reply: Any = {"choices": [{"message": message}], "usage": usage}
        self.asked: list[Any] = []

    def __call__(self, request: Any) -> Any:
        self.asked.append(request)
        return httpx.Response(200, json=self.reply)

    def ask(
        self, content: dict[str, Any], kind: str = "texts", multilabel: bool = False, **more: Any
    ) -> Reply:
        request = Request("r1", 7, content, kind, CLASSES, multilabel)
        clock = iter(range(99))
        exchange = Exchange(
            Endpoint(URL), transport=httpx.MockTransport(self), clock=lambda: float(next(clock))
        )
        try:
            return ChatAsker(exchange, **{"model": "llama", **more}).ask(request)
        finally:
            exchange.close()

    @property
    def body(self) -> Any:
        return json.loads(self.asked[-1].content)


def test_a_model_is_asked_with_classes_guidelines_and_the_sample() -> None:
    chat = Chat("dog")
    reply = chat.ask(
        {"text": "It barks at {classes}."},
        guidelines="{rule} is no rule",
        options={"temperature": 0},
    )
    assert reply.classes == ("dog",)
    assert reply.price is None
    assert reply.seconds is not None
    request = chat.asked[0]
    assert (request.method, str(request.url)) == ("POST", f"{URL}/chat/completions")
    assert request.headers["Idempotency-Key"] == "r1"
    system, user = chat.body["messages"]
    assert (chat.body["model"], chat.body["temperature"]) == ("llama", 0)
    assert "The classes are: cat, dog." in system["content"]
    assert "the name of one class" in system["content"]
    assert system["content"].endswith("{rule} is no rule"), "what is filled in is no template"
    assert user == {"role": "user", "content": "It barks at {classes}."}


@pytest.mark.parametrize(
    ("content", "kind", "expected"),
    [
        (
            {"image": "data:image/png;base64,AA=="},
            "images",
            [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}],
        ),
        (
            {"url": "https://example.org/7"},
            "images",
            [{"type": "image_url", "image_url": {"url": "https://example.org/7"}}],
        ),
        ({"url": "https://example.org/7"}, "texts", "https://example.org/7"),
        ({"row": {"age": 3, "näme": "x"}}, "tables", '{"age": 3, "näme": "x"}'),
        ({"text": ""}, "texts", ""),
    ],
)
def test_each_kind_of_sample(content: Any, kind: str, expected: Any) -> None:
    chat = Chat("cat")
    chat.ask(content, kind)
    assert chat.body["messages"][1]["content"] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cat", ("cat",)),
        (" **Dog**.\n", ("dog",)),
        ('"DOG"', ("dog",)),
        ("a cat", None),
        ("cat or dog", None),
        ("cat, dog", None),
        ("bird", None),
        ("skip", None),
        ("", None),
    ],
)
def test_an_answer_is_a_class_or_a_skip(text: str, expected: Any) -> None:
    assert Chat(text).ask({"text": "x"}).classes == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cat, dog", ("cat", "dog")),
        ("Dog|dog", ("dog",)),
        ("none", ()),
        ("cat, bird", None),
        ("", None),
        ("skip", None),
    ],
)
def test_several_classes_of_a_sample(text: str, expected: Any) -> None:
    chat = Chat(text)
    assert chat.ask({"text": "x"}, multilabel=True).classes == expected
    assert "all classes that apply" in chat.body["messages"][0]["content"]


def test_classes_that_differ_by_case_or_marks_only() -> None:
    assert classes_of("Us", ["us", "US", "Us"]) == ("Us",)
    assert classes_of("uS", ["us", "US"]) is None
    assert classes_of("C!", ["C!", "c"]) == ("C!",)
    assert classes_of("none", ["none", "some"], multilabel=True) == ("none",)


@pytest.mark.parametrize("answer", [None, 7, ["cat"]])
def test_no_answer_is_a_skip(answer: Any) -> None:
    """As of a model that refuses, or that only calls a tool."""
    assert Chat(answer).ask({"text": "x"}).classes is None


@pytest.mark.parametrize(
    "reply", [{}, {"choices": []}, {"choices": [{"text": "cat"}]}, {"choices": 7}]
)
def test_what_is_no_completion_is_one_line(reply: Any) -> None:
    chat = Chat("cat")
    chat.reply = reply
    with pytest.raises(LabelError, match="expected a chat completion with choices"):
        chat.ask({"text": "x"})


def test_tokens_have_a_price() -> None:
    usage = {"prompt_tokens": 2_000, "completion_tokens": 10}
    prices = {"input": 0.15, "output": 0.6}
    reply = Chat("bird", usage).ask({"text": "x"}, prices=prices)
    assert reply.price == pytest.approx((2_000 * 0.15 + 10 * 0.6) / 1e6)
    assert Chat("cat", usage).ask({"text": "x"}).price is None
    assert Chat("cat").ask({"text": "x"}, prices=prices).price is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"prompt": "Say something."}, "labelers.prompt: expected {classes}"),
        ({"prices": {"input": 1}}, "labelers.prices: expected the price of a million tokens"),
        ({"prices": {"input": 1, "output": -1}}, "labelers.prices: expected a finite number"),
        ({"prices": 3}, "labelers.prices"),
        (
            {"options": {"model": "other"}},
            r"labelers.options: expected other entries than \['model'\]",
        ),
    ],
)
def test_arguments_are_checked(arguments: Any, said: str) -> None:
    with pytest.raises(LabelError, match=said):
        Chat("cat").ask({"text": "x"}, **arguments)


def test_a_model_needs_a_name() -> None:
    exchange = Exchange(Endpoint(URL))
    with pytest.raises(LabelError, match="labelers.model: expected the name of a model"):
        ChatAsker(exchange, model=None).check()


@pytest.mark.parametrize("option", ["chat", "page_and_chat"])
def test_entries_of_the_request_and_prices_are_set_on_the_command_line(
    option: str, tmp_path: Path
) -> None:
    at = "labelers" if option == "chat" else "labelers.beside"
    overrides = [
        *(f"labelers={option}", f"{at}.model=m"),
        f"{at}.options={{temperature: 0, stop: [x], response_format: {{type: text}}}}",
        f"{at}.prices={{input: 0.15, output: 0.6}}",
    ]
    data = [(torch.zeros(1, 4, 4), n % 2) for n in range(9)]
    module = ActiveLearningDataModule(data, initial_labeled=3, class_names=["even", "odd"])
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        built: Any = instantiate(compose("al_loop", overrides).labelers)(module, tmp_path)
    asker = (built if option == "chat" else built._beside)._asker
    request = Request("r1", 7, {"text": "x"}, "texts", CLASSES)
    assert json.loads(json.dumps(asker._body(request)))["response_format"] == {"type": "text"}
    assert asker._price({"prompt_tokens": 1e6}) == 0.15
    built.close()
