"""Rules for imports: only downwards, not between siblings, third-party packages where listed.

The scripts have similar rules: five commands at the top, one folder per task, shared modules below.
"""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE, SCRIPTS = ROOT / "lightning_badge", ROOT / "scripts"

# From the top down: a row may import the rows below it.
ROWS = (
    *("__main__", "app", "examples", "research", "callback", "loop", "labelers", "store"),
    *(
        "datamodule",
        "encoders",
        "capture",
        "order_files",
        "exports",
        "ordering_file",
        "ordering_digest",
        "review_file",
    ),
    "viz",
    *("ordering", "embedding_files", "embedding_folder", "parquet_folder", "shard_folder"),
    "shard_file",
    *("embedding_blocks", "embedding_columns"),
    *("array_file", "csv_file", "parquet_file"),
    *(
        "pool_memory",
        "embedding",
        "embedding_checks",
        "kernels",
        "metrics",
        "durable",
        "pool_batch",
    ),
    *(
        "shard",
        "peers",
        "sample_ids",
        "labels",
        "found_by_file",
        "progress",
        "namespaces",
        "module_digest",
        "stopping",
        "file_limits",
        "outlook",
        "forecast",
        "accuracy_change",
        "arguments",
        "exceptions",
    ),
)
# The rows that may import a third-party package. A package that is not listed is not restricted.
COMPUTING = {
    *("callback", "capture", "datamodule", "embedding", "embedding_blocks", "embedding_columns"),
    "embedding_folder",
    *("kernels", "metrics", "module_digest", "ordering", "parquet_folder", "peers"),
    *("embedding_checks", "pool_memory", "shard", "shard_file", "shard_folder"),
}
USERS = {
    "datasets": {"examples"},
    "click": {"app"},
    "lightning": {"app", "callback", "capture", "datamodule", "examples", "loop"},
    "matplotlib": {"callback", "metrics", "research", "viz"},
    "numba": {"kernels"},
    "numpy": set(ROWS) - {"arguments", "csv_file", "exceptions", "file_limits", "namespaces"},
    "PIL": {"app", "datamodule", "encoders", "examples", "labelers", "research", "viz"},
    "httpx": {"labelers"},
    "huggingface_hub": {"encoders"},
    "jinja2": {"app"},
    "pyarrow": {
        *("app", "datamodule", "embedding_columns", "embedding_files", "encoders", "labelers"),
        *("ordering_digest", "ordering_file", "parquet_file", "parquet_folder", "review_file"),
    },
    "rich": {"app", "loop", "progress"},
    "safetensors": {"shard_file"},
    "scipy": {"examples", "research"},
    "sklearn": {"examples", "ordering"},
    "starlette": {"labelers"},
    "tokenizers": {"examples"},
    "torch": {*COMPUTING, "app", "embedding_files", "encoders", "examples", "loop", "research"},
    "torchmetrics": {"examples", "loop", "metrics"},
    "transformers": {"encoders", "examples"},
    "triton": {"kernels"},
    "uvicorn": {"labelers"},
    "yaml": {"app", "store"},
}
STDLIB_AND_NUMPY = (
    *("loop/budget/", "labelers/base.py", "labelers/dataset.py", "labelers/files/"),
    *("labelers/team.py", "labelers/working_hours.py"),
    *("store/allowance.py", "store/answer", "store/changes.py", "store/consensus.py"),
    *("store/label_store.py", "store/leases.py", "store/next_sample.py", "store/query_"),
    *("store/columns.py", "store/gate.py", "store/offers.py", "store/priorities.py"),
    *("store/spending.py", "store/terms.py"),
)
OPTIONAL = {
    *("datasets", "matplotlib", "numba", "PIL", "safetensors", "scipy", "sklearn", "tokenizers"),
    *(
        "httpx",
        "huggingface_hub",
        "starlette",
        "threadpoolctl",
        "transformers",
        "triton",
        "uvicorn",
    ),
}
# Compilers and web packages, and the only folder whose modules may import each of them. These
# modules are imported on first use. The folder's __init__ must not import the package.
ALONE = {
    "numba": "kernels/numba_pruned",
    "triton": "kernels/triton_tiled",
    **dict.fromkeys(("starlette", "uvicorn"), "labelers/page"),
}
# Folders whose modules must not import each other, with the exceptions: shared modules that all
# modules of the folder may import.
KINDS = {
    "lightning_badge.ordering.strategies": set(),
    "lightning_badge.loop.budget": {"base"},
    "lightning_badge.labelers": {"base", "pictures", "shown", "team", "working_hours"},
    "lightning_badge.exports": {"export"},
    "lightning_badge.app.commands": set(),
    # numba_pruned uses numerics of torch_blocked, until these are a separate module.
    "lightning_badge.kernels": {
        *("backend", "factors", "gradient", "herding", "mass", "pairwise", "precision"),
        *("registry", "similarity", "torch_blocked"),
    },
}
COMMANDS = {"al_loop", "bench_ordering", "compare_strategies", "reproduce_mnist", "scale_model"}


def name_of(path: Path, root: Path = ROOT) -> str:
    """Returns the dotted name of a module."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in PACKAGE.rglob("*.py")}
MODULES = {name_of(path): path for path in sorted(TREES) if path.parent != PACKAGE} | {
    name_of(path): path for path in sorted(PACKAGE.glob("[!_]*.py"))
}
SCRIPT_TREES = {
    name_of(path, SCRIPTS): ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted(SCRIPTS.rglob("*.py"))
}


def imports(tree: ast.AST) -> set[str]:
    """Returns the dotted names that a syntax tree imports, anywhere in it."""
    return {name for node in ast.walk(tree) for name in imported_by(node)}


def imported_by(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        assert node.module is not None
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def statements_at_import(tree: ast.AST) -> Iterator[ast.AST]:
    """Yields the nodes that run when a module is imported: not functions, not TYPE_CHECKING."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield node
        yield from statements_at_import(node)


def unit_of(module: str) -> str:
    return module.split(".")[1]


def cycle_in(trees: dict[str, ast.Module]) -> list[str]:
    """Returns a cycle of modules that import each other when imported; empty if there is none."""
    graph: dict[str, set[str]] = {}
    for module, tree in trees.items():
        graph[module] = set()
        for node in statements_at_import(tree):
            names = {*imported_by(node)}
            # `from package import module` does not depend on the contents of package/__init__.
            if isinstance(node, ast.ImportFrom) and names - {node.module} <= set(trees):
                names.remove(str(node.module))
            graph[module] |= names & set(trees) - {module}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [str(module) for module in error.args[1]]
    return []


@pytest.mark.parametrize("module", MODULES)
class TestModule:
    def test_imports_of_the_package_go_downwards(self, module: str) -> None:
        own = unit_of(module)
        for name in imports(TREES[MODULES[module]]):
            if name.startswith("lightning_badge.") and unit_of(name) != own:
                assert ROWS.index(own) < ROWS.index(unit_of(name)), f"{own} is not above {name}"

    def test_siblings_of_one_kind_do_not_import_each_other(self, module: str) -> None:
        folder = next((kind for kind in KINDS if module.startswith(f"{kind}.")), None)
        if folder is None:
            return
        own = module.removeprefix(f"{folder}.").split(".")[0]
        siblings = {
            name.removeprefix(f"{folder}.").split(".")[0]
            for name in imports(TREES[MODULES[module]])
            if name.startswith(f"{folder}.")
        }
        siblings = {name for name in siblings if f"{folder}.{name}" in MODULES}
        if own not in KINDS[folder]:
            assert siblings <= KINDS[folder] | {own}

    def test_third_party_packages_have_only_the_listed_users(self, module: str) -> None:
        used = {name.split(".")[0] for name in imports(TREES[MODULES[module]])} & set(USERS)
        own = unit_of(module)
        assert used <= {package for package, users in USERS.items() if own in users}
        if str(MODULES[module].relative_to(PACKAGE)).startswith(STDLIB_AND_NUMPY):
            assert used <= {"numpy"}

    def test_optional_packages_are_imported_inside_functions(self, module: str) -> None:
        path = MODULES[module]
        allowed = {package for package, folder in ALONE.items() if is_alone(path, folder)}
        at_import = statements_at_import(TREES[path])
        names = {name for node in at_import for name in imported_by(node)}
        assert not {name.split(".")[0] for name in names} & OPTIONAL - allowed


def is_alone(path: Path, folder: str) -> bool:
    """Returns whether a module may import a compiler when it is imported itself."""
    return path.parent == PACKAGE / folder and path.name != "__init__.py"


@pytest.mark.parametrize(("package", "folder"), ALONE.items())
def test_some_packages_are_imported_in_one_folder_only(package: str, folder: str) -> None:
    users = [
        file
        for file in MODULES.values()
        if package in {name.split(".")[0] for name in imports(TREES[file])}
    ]
    assert users
    assert all(is_alone(file, folder) for file in users)


def test_every_module_has_a_row() -> None:
    assert {unit_of(module) for module in MODULES} <= set(ROWS)


def test_the_package_has_no_import_cycle() -> None:
    assert not cycle_in({name_of(path): tree for path, tree in TREES.items()})


@pytest.mark.parametrize(
    ("sources", "cycle"),
    [
        ({"a": "import b", "b": "def f():\n    import a"}, False),
        ({"a": "import b", "b": "if TYPE_CHECKING:\n    import a"}, False),
        ({"a": "from p import q", "p": "import a", "p.q": ""}, False),
        ({"a": "import b", "b": "try:\n    import a\nexcept ImportError:\n    pass"}, True),
        ({"a": "from p import q, x", "p": "import a", "p.q": ""}, True),
        ({"a": "import b", "b": "import c", "c": "class C:\n    import a"}, True),
    ],
)
def test_cycles_are_found(sources: dict[str, str], cycle: bool) -> None:
    found = cycle_in({name: ast.parse(source) for name, source in sources.items()})
    assert bool(found) == cycle


@pytest.mark.parametrize("script", SCRIPT_TREES)
class TestScript:
    def test_imports_the_package_shared_parts_and_its_own_folder(self, script: str) -> None:
        folders = {name.split(".")[0] for name in SCRIPT_TREES if "." in name}
        own = script.split(".")[0]
        used = {name.split(".")[0] for name in imports(SCRIPT_TREES[script])}
        allowed = folders if own in COMMANDS else {"shared", own}
        assert used & (folders | COMMANDS) <= allowed

    def test_uses_nothing_private_of_others(self, script: str) -> None:
        tree = SCRIPT_TREES[script]
        private = {name for name in imports(tree) if "._" in name}
        private |= {
            ast.unparse(node)
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and node.attr.startswith("_")
            and not node.attr.endswith("__")
            and not (isinstance(node.value, ast.Name) and node.value.id in {"self", "cls", "os"})
        }
        assert not private


def test_the_top_level_scripts_are_the_commands() -> None:
    assert {path.stem for path in SCRIPTS.glob("*.py")} == COMMANDS


def test_the_scripts_have_no_import_cycle() -> None:
    assert not cycle_in(SCRIPT_TREES)
