"""The package imports only downwards, and each third party stays on its row."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "lightning_badge"

# Rows from the bottom up: the modules, and what of third party they add to the rows below.
ROWS: list[tuple[set[str], set[str]]] = [
    ({"exceptions"}, set()),
    ({"sample_ids", "durable"}, {"numpy"}),
    ({"labels", "pool_batch"}, set()),
    ({"kernels", "oracle", "store"}, {"numba", "torch", "yaml"}),
    ({"embedding"}, set()),
    ({"ordering"}, set()),
    (
        {"ordering_file", "capture", "metrics", "viz"},
        {"lightning", "matplotlib", "PIL", "pyarrow", "torchmetrics"},
    ),
    ({"callback", "datamodule"}, set()),
    ({"loop"}, {"rich"}),
    ({"research"}, {"scipy"}),
    ({"examples"}, {"datasets", "PIL", "scipy", "sklearn", "tokenizers", "transformers"}),
]
OPTIONAL = {
    *("datasets", "matplotlib", "numba", "PIL", "scipy", "sklearn", "tokenizers", "transformers"),
    "triton",
}
# Compilers, and the one module or folder that imports each of them, itself imported on first use.
ALONE = {"numba": "kernels/numba_pruned.py", "triton": "kernels/triton_tiled/"}
STDLIB_ONLY = ("loop/budget/", "oracle.py", "store/label_store.py")

MODULES = sorted(
    path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE) != Path("__init__.py")
)


def unit_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def is_alone(path: Path, package: str) -> bool:
    """Whether a module belongs to what may import a compiler."""
    return str(path.relative_to(PACKAGE)).startswith(ALONE[package])


def row_of(unit: str) -> int:
    return next(row for row, (units, _) in enumerate(ROWS) if unit in units)


def imports(tree: ast.AST) -> set[str]:
    """Returns the dotted names that a syntax tree imports."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names.add(node.module or "")
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
class TestModule:
    def test_imports_of_the_package_go_downwards(self, path: Path) -> None:
        own = unit_of(path)
        for name in imports(parse(path)):
            if not name.startswith("lightning_badge."):
                continue
            unit = name.split(".")[1]
            if unit != own:
                assert row_of(unit) < row_of(own), f"{own} must not import {name}"

    def test_third_party_is_what_the_row_may_use(self, path: Path) -> None:
        own = unit_of(path)
        third_party = set().union(*(added for _, added in ROWS))
        allowed = set().union(*(added for _, added in ROWS[: row_of(own) + 1]))
        if str(path.relative_to(PACKAGE)).startswith(STDLIB_ONLY):
            allowed = {"numpy"}
        used = {name.split(".")[0] for name in imports(parse(path))} & third_party
        assert used <= allowed

    def test_optional_packages_are_imported_inside_functions(self, path: Path) -> None:
        # A folder itself is imported to find out whether its compiler is installed.
        is_folder = path.name == "__init__.py"
        allowed = {package for package in ALONE if is_alone(path, package) and not is_folder}
        top_level = ast.Module([n for n in parse(path).body if isinstance(n, ast.stmt)], [])
        for node in top_level.body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                used = {name.split(".")[0] for name in imports(node)}
                assert not used & OPTIONAL - allowed


@pytest.mark.parametrize("package", ALONE)
def test_compilers_are_imported_in_one_place_alone(package: str) -> None:
    users = [path for path in MODULES if package in imports(parse(path))]
    assert users
    assert all(is_alone(path, package) for path in users)


def test_every_module_has_a_row() -> None:
    known = set().union(*(units for units, _ in ROWS))
    assert {unit_of(path) for path in MODULES} <= known
