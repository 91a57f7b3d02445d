"""Numbers that a file claims are compared with limits before anything is read."""

import pytest

from lightning_badge.file_limits import check_limit


def test_numbers_within_the_limit_pass() -> None:
    for found in (0, 1, 10):
        check_limit("rows", found, 10)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (11, "^rows: expected at most 10, got 11; split the file$"),
        (-29, "^rows: expected 0 or more, got -29; the file is damaged$"),
    ],
)
def test_others_are_refused(found: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_limit("rows", found, 10)
