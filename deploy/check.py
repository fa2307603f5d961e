"""Checks of what `make package` made: nothing in the zip that must not run on AWS, and a template that can be deployed."""

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
    """What is in the zip and must not be, and what is missing from it."""
    with zipfile.ZipFile(path) as packed:
        names = set(packed.namelist())
        size = sum(entry.file_size for entry in packed.infolist())
    yield from (f"{path.name}: {name} must not be deployed" for name in sorted(names) if NOT_DEPLOYED.search(name))
    yield from (f"{path.name}: {name} is missing" for name in sorted(source_files(root) - names))
    if size > UNZIPPED_LIMIT:
        yield f"{path.name}: {size} bytes unzipped, over Lambda's limit of {UNZIPPED_LIMIT}"


def source_files(root: Path) -> set[str]:
    """Every file of ours that the functions need, by its name in the zip."""
    found = [path for path in (root / "chalicelib").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    names = {"app.py", *(path.relative_to(root).as_posix() for path in found)}
    return {name for name in names if not NOT_DEPLOYED.search(name)}


def template_findings(path: Path) -> Iterator[str]:
    """What cfn-lint has to say, and what it does not see in a SAM template; anything at all is too much."""
    lint = Path(sys.executable).with_name("cfn-lint")
    result = subprocess.run(
        [str(lint), "--format", "parseable", str(path)], capture_output=True, text=True, check=False
    )
    said = (result.stdout + result.stderr).splitlines()
    yield from said or ([f"cfn-lint ended with status {result.returncode}"] if result.returncode else [])
    yield from (f"{path.name}: {where} mixes functions" for where in mixed(json.loads(path.read_text("utf-8")), ""))


def mixed(value: object, where: str) -> Iterator[str]:
    """Where a merge put one CloudFormation function beside another, which no deployment accepts."""
    if isinstance(value, dict):
        if len(value) > 1 and any(key == "Ref" or key.startswith("Fn::") for key in value):
            yield where
        for key, inner in value.items():
            yield from mixed(inner, f"{where}/{key}")
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from mixed(inner, f"{where}/{place}")
