"""Whatever a file holds: it is read, or refused in one line by an error of ours, in time."""

import io
import pickle
import signal
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from good_files import KINDS, LOGITS, N
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lightning_badge import BadgeError, file_limits
from lightning_badge.datamodule.folder.find import SampleSource

LIMIT_S = 20  # of one example, on a busy machine; a reader that hangs needs longer
QUICK, LARGE = 10, 2000
pytestmark = pytest.mark.filterwarnings("ignore")

CHANGES = st.tuples(
    st.sampled_from(["flip", "cut", "insert", "repeat", "overwrite"]),
    st.floats(0, 1),  # where
    st.binary(min_size=1, max_size=9)
    | st.sampled_from([b"\0" * 8, b"\xff" * 8, b"\x7f" + b"\xff" * 7, b"[" * 5000, b"9" * 5000]),
)
FOREIGN = st.builds(
    bytes.__add__,
    st.sampled_from(
        [b"", b"PAR1", b"\x93NUMPY\x01\0v\0{", b"PK\x03\x04", b"ARROW1\0\0", b"{", b"["]
    ),
    st.binary(max_size=200),
)


class TookTooLong(BaseException):
    """An example exceeded its time limit."""


@contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise TookTooLong(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def changed(good: bytes, changes: list[tuple[str, float, bytes]]) -> bytes:
    content = bytearray(good)
    for kind, where, new in changes:
        at = int(where * len(content))
        if kind == "flip" and at < len(content):
            content[at] ^= new[0] or 1
        elif kind == "cut":
            del content[at:]
        elif kind == "insert":
            content[at:at] = new
        elif kind == "repeat":
            content[at:at] = content[at : at + 64]
        else:
            content[at : at + len(new)] = new
    return bytes(content)


def check(path: Path, read: Any, content: bytes) -> None:
    path.write_bytes(content)
    said = ""
    with time_limit(LIMIT_S):
        try:
            read()
        except BadgeError as error:
            said = str(error)
    assert len(said.splitlines()) <= 1, said


def fuzz(kind: str, folder: Path, examples: int) -> None:
    path, read = KINDS[kind](folder)
    good = path.read_bytes()
    read()

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.builds(changed, st.just(good), st.lists(CHANGES, min_size=1, max_size=3)) | FOREIGN)
    def run(content: bytes) -> None:
        check(path, read, content)

    run()


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_file_is_read_or_refused(kind: str, tmp_path: Path) -> None:
    fuzz(kind, tmp_path, QUICK)


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_thousands_of_changed_files_are_read_or_refused(kind: str, tmp_path: Path) -> None:
    fuzz(kind, tmp_path, LARGE)


class Bomb:
    """An object that, unpickled, writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def npy_of(header: str, content: bytes = b"") -> bytes:
    padded = header.ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\0" + len(padded).to_bytes(2, "little") + padded + content


def archive_of(**arrays: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in arrays.items():
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


def npy_content(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


HUGE = "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, 3), }"
DEEP = b"[" * 200_000
HOSTILE = {
    "a header that promises a tebibyte": ("embedding.npy", npy_of(HUGE % 2**38, b"\0" * 64)),
    "a shape beyond 64 bits": ("embedding.npy", npy_of(HUGE % 2**70)),
    "a header that is no dict": ("features.npy", npy_of("[" * 100)),
    "an archive in place of an array": ("embedding.npy", archive_of(a=npy_content(LOGITS))),
    "an array without a dimension": ("ids.npy", npy_content(np.array(7))),
    "ids that are structures": ("ids.npy", npy_content(np.zeros(N, "f4,i8"))),
    "an array in an archive that promises a tebibyte": (
        "embedding.npz",
        archive_of(penultimate=npy_of(HUGE % 2**38), logits=npy_content(LOGITS)),
    ),
    "JSON that nests deeply": ("embedding.json", DEEP),
    "a page that nests deeply": ("page.json", DEEP),
    "a manifest that nests deeply": ("manifest", DEEP),
    "a line of JSON that nests deeply": ("data.jsonl", b'{"text": ' + DEEP + b"\n"),
    "a number that no float holds": (
        "data.jsonl",
        b"".join(b'{"price": 1%s}\n' % (b"0" * 400) for _ in range(3)),
    ),
    "a number of 5,000 digits": ("data.jsonl", b'{"price": ' + b"1" * 5000 + b"}"),
    "a label of 5,000 digits": ("labels and answers", b"sample_id,label\nimg_000," + b"1" * 5000),
    "a column named like a novel": ("data.csv", b'"' + b"x\n" * 9000 + b'",b\n1,2\n3,4\n'),
    "NUL in a table": ("data.csv", b"id,kind\na,x\nb,x\0\nc,x\n"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_read_or_refused(name: str, tmp_path: Path) -> None:
    kind, content = HOSTILE[name]
    path, read = KINDS[kind](tmp_path)
    check(path, read, content)


@pytest.mark.parametrize("kind", ["embedding.npy", "embedding.npz", "ids.npy", "features.npy"])
def test_objects_in_arrays_are_never_unpickled(kind: str, tmp_path: Path) -> None:
    path, read = KINDS[kind](tmp_path)
    trap = tmp_path / "trapped"
    array = np.array([Bomb(trap)] * N, dtype=object)
    pickled = npy_content(array)
    content = archive_of(penultimate=pickled, logits=pickled) if kind.endswith("z") else pickled
    check(path, read, content)
    assert not trap.exists()
    pickle.loads(pickle.dumps(Bomb(trap)))
    assert trap.exists()


@pytest.mark.parametrize("kind", ["embedding.npz", "data.parquet", "features.parquet", "review"])
def test_a_bomb_is_refused_by_its_decoded_bytes(kind, tmp_path, monkeypatch) -> None:
    _, read = KINDS[kind](tmp_path)
    read()
    monkeypatch.setattr(file_limits, "DECODED_BYTES", 100)
    monkeypatch.setattr(file_limits, "DECODED_RATIO", 0)
    with pytest.raises(BadgeError, match="decoded bytes: expected at most 100, got"):
        read()


@pytest.mark.long
def test_an_archive_of_zeros_is_refused(tmp_path: Path) -> None:
    """A real bomb: 2 MB that would become 2 GB."""
    path, read = KINDS["embedding.npz"](tmp_path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("penultimate.npy", "w", force_zip64=True) as file:
            file.write(npy_of(HUGE % (2**31 // 12)))
            for _ in range(2**31 // 2**24):
                file.write(bytes(2**24))
        archive.writestr("logits.npy", npy_content(LOGITS))
    assert path.stat().st_size < 2**23
    with pytest.raises(BadgeError, match="decoded bytes: expected at most"):
        read()


@pytest.mark.parametrize("special", ["a folder", "/dev/zero", "a loop of links"])
@pytest.mark.parametrize(
    "kind",
    ["ordering of int ids", "labels and answers", "data.jsonl", "embedding.npy", "page.json"],
)
def test_what_is_no_regular_file_is_refused(kind: str, special: str, tmp_path: Path) -> None:
    path, read = KINDS[kind](tmp_path)
    path.unlink()
    if special == "a folder":
        path.mkdir()
    else:
        path.symlink_to(path.name if special == "a loop of links" else special)
    with time_limit(LIMIT_S), pytest.raises(BadgeError, match=r"\A[^\n]+\Z"):
        read()


def test_a_text_with_nul_at_its_end_is_another_text(tmp_path: Path) -> None:
    columns = {"id": ["a", "a\0", "b"], "kind": ["x", "x\0", "y"]}
    pq.write_table(pa.table(columns), tmp_path / "data.parquet")
    samples = SampleSource(tmp_path / "data.parquet", kind="tables").read()
    assert samples.sample_ids == ["a", "a\0", "b"]
    assert samples.inputs.unique(dim=0).shape == (3, 3)
