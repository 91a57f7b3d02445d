import ast
import importlib
import inspect

import numpy as np
import pytest

pytest.importorskip("scipy")
from lightning_badge.examples.scipy_sentences import TOPICS, _docstrings, scipy_sentences


def test_sentences_are_distinct_and_so_are_their_ids() -> None:
    sentences = scipy_sentences()
    assert len({sentence.text for sentence in sentences}) == len(sentences)
    assert len({sentence.sample_id for sentence in sentences}) == len(sentences)
    assert all(5 <= len(sentence.text.split()) <= 60 for sentence in sentences)


def test_each_topic_has_a_hundred_sentences_from_its_own_subpackage() -> None:
    sentences = scipy_sentences()
    assert np.bincount([sentence.topic for sentence in sentences]).min() >= 100
    for sentence in sentences:
        assert sentence.sample_id.startswith(f"scipy.{TOPICS[sentence.topic]}.")


@pytest.mark.parametrize("name", ["scipy.stats._odds_ratio.odds_ratio", "scipy.signal._ltisys.lti"])
def test_an_id_names_what_the_sentence_documents(name: str) -> None:
    (found,) = (sentence for sentence in scipy_sentences() if sentence.sample_id == name)
    module, _, attribute = name.rpartition(".")
    documented = inspect.getdoc(getattr(importlib.import_module(module), attribute)) or ""
    assert " ".join(documented.split()).startswith(found.text)


SOURCE = """
'''No sentence: a title.'''
if True:
    def first():
        "one"
        def inner():
            "two"
class Second:
    "three"
    async def unread(self):
        "no"
    def method(self):
        "four"
    silent = lambda: "no"
"""


def test_docstrings_of_nested_classes_and_functions_are_found() -> None:
    assert dict(_docstrings(ast.parse(SOURCE), "m")) == {
        "m.first": "one",
        "m.first.inner": "two",
        "m.Second": "three",
        "m.Second.method": "four",
    }
