"""A source of packages with one package, made of what is installed here: apt installs it without a network."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from tests.vm.inside.machine import run, write

FIELDS = ("Package", "Version", "Architecture", "Maintainer", "Description")


def build_source(package: str, program: str, folder: Path) -> str:
    """The value of APT_CONFIG by which apt knows this source and no other."""
    tree = folder / package
    (tree / Path(program).parent.relative_to("/")).mkdir(parents=True, exist_ok=True)
    shutil.copy2(program, tree / Path(program).relative_to("/"))
    control = "".join(f"{name}: {_told(package, name)}\n" for name in FIELDS)
    write(str(tree / "DEBIAN" / "control"), control)
    deb = folder / f"{package}.deb"
    run(f"dpkg-deb --root-owner-group -b {tree} {deb}")
    digest = hashlib.sha256(deb.read_bytes()).hexdigest()
    listed = f"{control}Filename: ./{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {digest}\n\n"
    (folder / "Packages").write_text(listed)
    (folder / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    (folder / "sources.list").write_text(f"deb [trusted=yes] file:{folder} ./\n")
    config = folder / "apt.conf"
    config.write_text(
        f'Dir::Etc::sourcelist "{folder}/sources.list";\nDir::Etc::sourceparts "/dev/null";\n'
        f'Dir::State::lists "{folder}/lists";\nAPT::Sandbox::User "root";\n'
    )
    return str(config)


def _told(package: str, field: str) -> str:
    return run(f"dpkg-query -W -f '${{{field}}}' {package}").splitlines()[0]
