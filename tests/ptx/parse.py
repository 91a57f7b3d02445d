"""Parses the PTX of one kernel into instructions."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

STATEMENT = re.compile(
    r"""\s*(?:
    \.loc\s+(?P<file>\d+)\s+(?P<line>\d+)[^\n]*
    | \.reg\s+\.(?P<kind>\w+)\s+%(?P<prefix>[a-z]+)<\d+>;
    | \.(?:pragma|file)[^\n]*
    | (?P<label>[$\w]+):
    | [{}]
    | (?P<text>[@\w][^;]*);
    )""",
    re.VERBOSE,
)
# What a register holds; PTX does not distinguish integers from floats in registers.
REGISTERS = {"pred": np.bool_, "b16": np.uint16, "b32": np.uint32, "b64": np.uint64}
REGISTERS |= {"f32": np.uint32, "f64": np.uint64}  # before LLVM 21


@dataclass(frozen=True)
class Address:
    """An address operand: a register, a symbol or a parameter, plus bytes."""

    base: str
    offset: int


@dataclass(frozen=True)
class Instruction:
    """One instruction.

    Attributes:
        parts: The opcode, split at its dots.
        predicate: The register that says which threads execute it; None: all.
        negated: Whether the predicate is negated.
        operands: A name or a number, a list of them in braces, or an address.
        line: Line of the kernel's source; 0 if unknown.
        text: The instruction as written.
    """

    parts: tuple[str, ...]
    predicate: str | None
    negated: bool
    operands: tuple[str | list[str] | Address, ...]
    line: int
    text: str


@dataclass(frozen=True)
class Program:
    """A kernel.

    Attributes:
        name: Name of the function.
        parameters: Name and bytes of each parameter.
        threads: Threads of a block.
        registers: What the registers with a prefix hold.
        instructions: In order.
        labels: Index of the instruction after a label.
    """

    name: str
    parameters: dict[str, int]
    threads: int
    registers: dict[str, type]
    instructions: list[Instruction]
    labels: dict[str, int]

    def register_type(self, name: str) -> type:
        """Returns what a register holds."""
        return self.registers[name[1:].rstrip("0123456789")]

    def smallest_access(self, space: str) -> int:
        """Returns the bytes of the smallest element that is accessed in a space of memory."""
        sizes = [
            int(re.search(r"\d+", instruction.parts[-1])[0]) // 8
            for instruction in self.instructions
            if instruction.parts[0] in ("ld", "st", "atom") and space in instruction.parts
        ]
        return min([*sizes, 4])


def parse(ptx: str) -> Program:
    """Parses the only kernel of a module."""
    ptx = re.sub(r"//[^\n]*", "", ptx)
    entry = re.search(r"\.entry\s+(\w+)\s*\(([^)]*)\)\s*([^{]*)\{", ptx)
    parameters = {
        name: int(bits) // 8
        for bits, name in re.findall(r"\.param\s+\.[a-z](\d+)[^,]*?(\w+)\s*(?:,|$)", entry[2])
    }
    threads = int(re.search(r"\.reqntid\s+(\d+)", entry[3])[1])
    registers, instructions, labels, line = {}, [], {}, 0
    body = ptx[entry.end() : _end_of_scope(ptx, entry.end())]
    position = 0
    while found := STATEMENT.match(body, position):
        position = found.end()
        if found["line"]:
            line = int(found["line"]) if found["file"] == "1" else line
        elif found["kind"]:
            registers[found["prefix"]] = REGISTERS[found["kind"]]
        elif found["label"]:
            labels[found["label"]] = len(instructions)
        elif found["text"]:
            instructions.append(_instruction(found["text"], line))
    if rest := body[position:].strip():
        raise ValueError(f"expected a statement of PTX, got {rest[:80]!r}")
    return Program(entry[1], parameters, threads, registers, instructions, labels)


def _end_of_scope(text: str, start: int) -> int:
    depth = 1
    for brace in re.finditer(r"[{}]", text[start:]):
        depth += 1 if brace[0] == "{" else -1
        if not depth:
            return start + brace.start()
    raise ValueError("the body of the kernel does not end")


def _instruction(text: str, line: int) -> Instruction:
    text = " ".join(text.split())
    found = re.match(r"(?:@(!?)(%p\d+) )?([\w.:]+) ?(.*)$", text)
    operands = re.findall(r"\{[^}]*\}|\[[^]]*\]|[^,\s{}\[\]]+", found[4])
    return Instruction(
        tuple(part.partition("::")[0] for part in found[3].split(".")),
        found[2],
        found[1] == "!",
        tuple(map(_operand, operands)),
        line,
        text,
    )


def _operand(text: str) -> str | list[str] | Address:
    if text[0] == "{":
        return [name.strip() for name in text[1:-1].split(",")]
    if text[0] == "[":
        base, _, offset = text[1:-1].replace(" ", "").partition("+")
        return Address(base, int(offset or "0", 0))
    return text
