"""Checks of the output of `make package`: the zip has only files for AWS, and the template can be deployed."""

import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

NOT_DEPLOYED: Final = re.compile(
    r"^(local|tests|site|deploy|benchmarks|moto|ministack|waitress|boto3|botocore)/|/gateways/sandbox/",
    re.IGNORECASE,
)
UNZIPPED_LIMIT: Final = 250 * 1024 * 1024  # Lambda's published limit for code and layers


def zip_findings(path: Path, root: Path) -> Iterator[str]:
    """Files of the zip that must not be deployed, files that are missing, and a size over the limit."""
    with zipfile.ZipFile(path) as packed:
        names = set(packed.namelist())
        size = sum(entry.file_size for entry in packed.infolist())
    yield from (f"{path.name}: {name} must not be deployed" for name in sorted(names) if NOT_DEPLOYED.search(name))
    yield from (f"{path.name}: {name} is missing" for name in sorted(source_files(root) - names))
    if size > UNZIPPED_LIMIT:
        yield f"{path.name}: {size} bytes unzipped, over Lambda's limit of {UNZIPPED_LIMIT}"


def source_files(root: Path) -> set[str]:
    """The project's files that the functions need, by their names in the zip."""
    paths = [path for path in (root / "chalicelib").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    names = {"app.py", *(path.relative_to(root).as_posix() for path in paths)}
    return {name for name in names if not NOT_DEPLOYED.search(name)}


def template_findings(path: Path) -> Iterator[str]:
    """The findings of cfn-lint, and of the check that it does not make in a SAM template."""
    lint = Path(sys.executable).with_name("cfn-lint")
    result = subprocess.run(
        [str(lint), "--format", "parseable", str(path)], capture_output=True, text=True, check=False
    )
    output = (result.stdout + result.stderr).splitlines()
    yield from output or ([f"cfn-lint ended with status {result.returncode}"] if result.returncode else [])
    yield from (f"{path.name}: {where} mixes functions" for where in mixed(json.loads(path.read_text("utf-8")), ""))


def mixed(value: object, where: str) -> Iterator[str]:
    """Pointers to objects with a CloudFormation function among other members, which no deployment accepts."""
    if isinstance(value, dict):
        if len(value) > 1 and any(key == "Ref" or key.startswith("Fn::") for key in value):
            yield where
        for key, inner in value.items():
            yield from mixed(inner, f"{where}/{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from mixed(inner, f"{where}/{index}")
