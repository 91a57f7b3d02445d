"""What the loop prints, read by tests."""

import re


def printed_rounds(output: str) -> list[list[str]]:
    """Returns the cells of the table's lines, one for each round."""
    return [line.split() for line in output.splitlines() if re.match(r" +\d{3,} ", line)]
