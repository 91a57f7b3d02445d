"""Prints the shell commands of README.md's install-and-run section, one per line."""

import re
import sys
from pathlib import Path

readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
section = re.search(r"<!-- ci: commands -->(.*?)<!-- ci: end -->", readme, re.DOTALL)
commands = re.findall(r"^(pip install .*)$", section[1], re.MULTILINE) if section else []
if len(commands) != 2:
    sys.exit(f"README.md: expected two `pip install ...` lines between the markers, got {commands}")
print("\n".join(commands))
