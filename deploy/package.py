"""`make package`: build the deployment package into out/ and check it.

Chalice packages a copy of the tree that has only the files for AWS. It needs a region and no credentials. Libraries come
in the versions that the tests ran with. Deploy the result with any CloudFormation client, for example `sam deploy --template-file out/sam.json`.
"""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from deploy.check import source_files, template_findings, zip_findings

ROOT: Final = Path(__file__).resolve().parent.parent
OUT: Final = ROOT / "out"
SHIPPED: Final = ("app.py", "chalicelib", ".chalice")
# The Lambda runtime brings boto3; Chalice puts its own runtime part into every package it makes.
PROVIDED: Final = re.compile(r"(boto3|chalice)\b", re.IGNORECASE)
MEGABYTE: Final = 1_000_000


def main() -> int:
    """Package, check and report. Returns the exit status."""
    if not (ROOT / "app.py").exists():
        print("There is no app.py to package.", file=sys.stderr)
        return 1
    shutil.rmtree(OUT, ignore_errors=True)
    with TemporaryDirectory(prefix="earnest-package-") as folder:
        stage(Path(folder))
        status = package(Path(folder))
    if status:
        return status
    findings = [*zip_findings(OUT / "deployment.zip", ROOT), *template_findings(OUT / "sam.json")]
    if findings:
        print(*findings, sep="\n", file=sys.stderr)
        return 1
    print(summary(OUT / "deployment.zip"))
    return 0


def stage(folder: Path) -> None:
    """Copy the files to ship, and write requirements.txt and constraints.txt."""
    # The sandbox provider is not shipped: on AWS only a real provider moves money.
    ignored = shutil.ignore_patterns("__pycache__", "deployments", "deployed", "sandbox")
    for name in SHIPPED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            shutil.copy2(source, folder / name)
    shutil.copy2(ROOT / "deploy/infra.json", folder / "infra.json")
    wanted = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    (folder / "requirements.txt").write_text("\n".join(line for line in wanted if not PROVIDED.match(line)), "utf-8")
    locked = (ROOT / "requirements-dev.txt").read_text("utf-8")
    pins = re.findall(r"^[\w.-]+==[\w.]+", locked, re.MULTILINE)
    (folder / "constraints.txt").write_text("\n".join(pins), "utf-8")


def package(folder: Path) -> int:
    """Run Chalice on the copy and keep its result. Returns its exit status; it prints its own failures."""
    chalice = Path(sys.executable).with_name("chalice")
    command = [str(chalice), "package", "--stage", "prod", "--merge-template", "infra.json", "out"]
    done = subprocess.run(command, cwd=folder, env=environment(os.environ, folder), check=False)
    if done.returncode == 0:
        shutil.copytree(folder / "out", OUT)
    return done.returncode


def environment(machine: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The machine's environment without an AWS account, which packaging does not need."""
    kept = {name: value for name, value in machine.items() if not name.startswith("AWS_")}
    return kept | {
        "AWS_DEFAULT_REGION": "eu-central-1",  # any will do: the template names none
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "PIP_CONSTRAINT": str(folder / "constraints.txt"),
    }


def summary(path: Path) -> str:
    """One line with the sizes of the package."""
    with zipfile.ZipFile(path) as packed:
        unzipped = sum(entry.file_size for entry in packed.infolist())
    zipped = path.stat().st_size
    ours = len(source_files(ROOT))
    return f"out/: {zipped / MEGABYTE:.1f} MB zipped, {unzipped / MEGABYTE:.1f} MB unzipped, {ours} project files"


if __name__ == "__main__":
    raise SystemExit(main())
