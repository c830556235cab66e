"""The architecture as it is drawn: who imports whom, and which modules do no I/O."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import tusd_s3

PACKAGE = Path(tusd_s3.__file__).parent
PROJECT = Path(__file__).parents[2]
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
PURE = (
    "errors",
    "model",
    "values",
    "protocol.",
    "store.keys",
    "store.info",
    "store.grid",
    "store.concat",
    "store.snapshot",
    "store.objects",
)
IMPURE_LIBRARIES = {"asyncio", "time", "random", "socket", "threading", "subprocess", "os", "io"}


def imports_of(path: Path) -> set[str]:
    """Return the modules that a file imports when it runs (not for type checkers only)."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith(PURE)])
def test_pure_modules_import_the_standard_library_and_pure_modules_only(name: str) -> None:
    """Rules and arithmetic can be tested without clocks, loops or buckets."""
    for imported in imports_of(MODULES[name]):
        top, _, rest = imported.partition(".")
        if top == "tusd_s3":
            assert f"{rest}.".startswith(tuple(f"{pure.rstrip('.')}." for pure in PURE)), imported
        else:
            assert top in sys.stdlib_module_names - IMPURE_LIBRARIES, imported


@pytest.mark.parametrize("name", [name for name in MODULES if not name.startswith("buckets.s3")])
def test_only_the_bucket_on_s3_knows_the_libraries_of_s3(name: str) -> None:
    """Everything else runs on any bucket."""
    tops = {imported.partition(".")[0] for imported in imports_of(MODULES[name])}

    assert not tops & {"botocore", "aiobotocore", "boto3", "awscrt"} - allowed(name)


def allowed(name: str) -> set[str]:
    """Return the library that computes checksums for the one module that computes them."""
    return {"awscrt"} if name == "digests" else set()


def test_the_layers_are_kept() -> None:
    """The contracts stand in pyproject.toml, [tool.importlinter]."""
    linter = Path(sys.executable).with_name("lint-imports")
    if not linter.exists():
        pytest.skip("import-linter comes with make check")

    # in a process of its own: it sets up logging for all of ours
    result = subprocess.run(
        [linter, "--no-cache"], cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False
    )

    assert result.returncode == 0, result.stdout
