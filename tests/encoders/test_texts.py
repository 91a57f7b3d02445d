import json
from pathlib import Path

import pytest
import torch
from encoders.raw import Raw, tiny_bert

from lightning_badge.encoders import FeatureStore, embed_new, load_encoder
from lightning_badge.exceptions import EncoderError

pytest.importorskip("transformers")

TEXTS = ["my card is lost", "where is my key", "how", "my card and my key and my card is lost"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture
def texts() -> Raw:
    return Raw(list(TEXTS), kind="texts")


def sentence_transformer(folder: Path, pooling: dict[str, object], *more: str) -> None:
    """Adds the files of sentence-transformers to a model."""
    kinds = {"Transformer": "", "Pooling": "1_Pooling"} | {kind: kind for kind in more}
    modules = [{"type": f"st.{kind}", "path": path} for kind, path in kinds.items()]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))


def test_texts_have_the_mean_over_their_tokens(bert: Path, texts: Raw) -> None:
    from transformers import AutoModel, AutoTokenizer

    encoder = load_encoder(str(bert), texts)
    features = encoder.embed(encoder.collate(TEXTS))
    tokenizer, model = AutoTokenizer.from_pretrained(bert), AutoModel.from_pretrained(bert)
    for text, row in zip(TEXTS, features, strict=True):
        alone = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        torch.testing.assert_close(row, alone.mean(dim=0), rtol=1e-4, atol=1e-5)
    assert encoder.width == 16
    assert encoder.pooling == "mean over tokens (the rule for texts), at most 16 tokens"


def test_the_models_own_pooling_comes_first(tmp_path: Path, texts: Raw) -> None:
    folder = tiny_bert(tmp_path)
    plain = load_encoder(str(folder), texts, pooling="cls")
    sentence_transformer(folder, {"pooling_mode_cls_token": True, "dim": 16}, "Normalize")
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 7}')
    own = load_encoder(str(folder), texts)
    assert own.pooling == "CLS token, of length one (its modules.json), at most 7 tokens"
    features, raw = (e.embed(e.collate(TEXTS[:2])) for e in (own, plain))
    torch.testing.assert_close(features, torch.nn.functional.normalize(raw, dim=1))
    assert own.fingerprint() != plain.fingerprint()


@pytest.mark.parametrize(
    ("pooling", "more", "message"),
    [
        ({"pooling_mode_max_tokens": True}, (), "expected pooling by mean or cls, got"),
        ({"pooling_mode_mean_tokens": True}, ("Dense",), "got also Dense"),
    ],
)
def test_pooling_that_is_not_supported_says_what_to_do(
    tmp_path: Path, texts: Raw, pooling: dict[str, object], more: tuple[str, ...], message: str
) -> None:
    sentence_transformer(tiny_bert(tmp_path), pooling, *more)
    with pytest.raises(EncoderError, match=message):
        load_encoder(str(tmp_path), texts)
    assert load_encoder(str(tmp_path), texts, pooling="mean").width == 16


def test_a_newer_configuration_of_pooling_is_read(tmp_path: Path, texts: Raw) -> None:
    sentence_transformer(tiny_bert(tmp_path), {"pooling_mode": "mean"})
    assert load_encoder(str(tmp_path), texts).pooling.startswith("mean over tokens (its modules")


def test_the_longest_texts_are_embedded_first_and_rows_keep_their_order(
    tmp_path: Path, bert: Path, texts: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = load_encoder(str(bert), texts, batch_size=2)
    lengths: list[int] = []
    collate = encoder.collate
    monkeypatch.setattr(
        encoder, "collate", lambda s: (lengths.append(max(map(len, s))), collate(s))[1]
    )
    with FeatureStore(tmp_path) as store:
        embed_new(store, encoder, texts)
        array, rows = store.read(texts.keys)
    assert lengths == [38, 15]
    for text, row in zip(TEXTS, array[rows], strict=True):
        alone = encoder.embed(collate([text]))[0]
        torch.testing.assert_close(torch.tensor(row), alone, rtol=1e-4, atol=1e-5)


def test_the_fingerprint_depends_on_weights_and_length(tmp_path: Path, texts: Raw) -> None:
    first, other = tiny_bert(tmp_path / "a"), tiny_bert(tmp_path / "b", seed=1)
    prints = [load_encoder(str(folder), texts).fingerprint() for folder in (first, first, other)]
    assert prints[0] == prints[1] != prints[2]
    assert load_encoder(str(first), texts, max_length=5).fingerprint() != prints[0]


@pytest.mark.parametrize(
    "name", [pytest.param("no/such-model-anywhere", marks=pytest.mark.long), "{folder}"]
)
def test_a_model_that_is_not_there_is_one_line(
    tmp_path: Path, texts: Raw, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        EncoderError, match=r"encoder=.*: expected a model of Hugging Face"
    ) as error:
        load_encoder(name.format(folder=tmp_path), texts, local=True)
    assert "\n" not in str(error.value)


def test_a_package_that_is_not_installed_says_how_to_install_it(texts: Raw) -> None:
    with pytest.raises(EncoderError, match="pip install no-such-package"):
        load_encoder("package:no_such_package/model", texts)


def test_an_encoder_for_texts_does_not_take_tensors(bert: Path) -> None:
    with pytest.raises(EncoderError, match="expected texts or images"):
        load_encoder(str(bert), Raw([torch.ones(2)]))


def test_an_unknown_pooling_lists_those_that_exist(bert: Path, texts: Raw) -> None:
    with pytest.raises(EncoderError, match="expected auto, mean, cls, pooled, got 'max'"):
        load_encoder(str(bert), texts, pooling="max")
