"""Build build/types/effnet_lite, the package as one tree, for mypy and pyright.

The folders at the top of the repository are mapped into the package by ``package_dir`` in
setup.cfg, which type checkers do not read; here are links to the same files in the places
where Python finds them after installation.

    python scripts/link_types.py && mypy && pyright
"""

from __future__ import annotations

import configparser
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TREE = ROOT / "build" / "types"


def main() -> None:
    """Make the tree anew."""
    shutil.rmtree(TREE, ignore_errors=True)
    for name, folder in package_folders().items():
        for path in sorted((ROOT / folder).rglob("*.py*")):
            if path.suffix == ".pyc":
                continue
            link = TREE.joinpath(*name.split("."), path.relative_to(ROOT / folder))
            # Real folders with links to files in them: pyright passes over a linked folder.
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)


def package_folders() -> dict[str, str]:
    """Import name → folder, from setup.cfg."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    lines = config["options"]["package_dir"].strip().splitlines()
    return {name.strip(): folder.strip() for name, _, folder in (x.partition("=") for x in lines)}


if __name__ == "__main__":
    main()
