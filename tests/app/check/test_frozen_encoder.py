import sys
from pathlib import Path

import pytest
from encoders.raw import tiny_bert

from lightning_badge.app.check.run_check import run_check

pytest.importorskip("transformers")


@pytest.mark.slow
def test_the_cost_of_a_frozen_encoder_is_known_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = [f"my {['card', 'key'][n % 2]} is lost number {n},{n % 2}" for n in range(90)]
    (tmp_path / "texts.csv").write_text("\n".join(["text,label", *rows]))
    tiny_bert(tmp_path / "bert")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["check"])
    run_check(["data=folder", "data.path=texts.csv", "model=frozen", "encoder=bert", "run_dir=run"])
    output = capfd.readouterr()
    assert "embedding 90 samples by bert takes about" in output.err + output.out
    assert "LogisticHead" in output.out
    assert not (tmp_path / "run").exists()
