"""What must hold of the package before it is packed, whoever changed how it is laid out.

What lintian looks for that matters here, and what it does not know: our byte code, paths of the
machine that builds, libraries that the release does not have.
"""

from __future__ import annotations

import hashlib
import re
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from keycensus_deb.release import ENVIRONMENT, NAME

# Whatever is below these, and nothing else, is what a package of an agent has to bring.
ALLOWED = (
    "etc/keycensus",
    "usr/bin",
    str(ENVIRONMENT),
    "usr/lib/systemd/system",
    "usr/lib/sysusers.d",
    "usr/lib/tmpfiles.d",
    f"usr/share/doc/{NAME}",
    "usr/share/lintian/overrides",
    "usr/share/man/man8",
)
FIELDS = ("Package", "Version", "Architecture", "Maintainer", "Depends", "Section", "Description")
# Of Depends: libc6, libgcc-s1 and libstdc++6.
LIBRARIES = re.compile(
    r"(libc|libm|librt|libpthread|libdl|libgcc_s|libstdc\+\+|ld-linux-\S+)\.so(\.\d+)?"
)
# Of Depends: procps.
OTHERS_PROGRAMS = ("bin/kill",)
_NEEDED = re.compile(r"\((NEEDED|RPATH|RUNPATH)\).*\[(.*)\]")


def complaints(root: Path, build_directory: str) -> list[str]:
    """Return what is wrong below `root`, DEBIAN/ included; `build_directory` must not show in it."""
    found = [text for check in CHECKS for text in check(root)]
    return found + list(_traces(root, build_directory))


def _files(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield each file that will be installed, and its name without the first slash."""
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if not name.startswith("DEBIAN") and (path.is_symlink() or not path.is_dir()):
            yield path, name


def _places(root: Path) -> Iterator[str]:
    for path, name in _files(root):
        if not any(name.startswith(f"{place}/") for place in ALLOWED):
            yield f"{name}: no place for a file of this package"
        mode = path.lstat().st_mode
        if not path.is_symlink() and not stat.S_ISREG(mode):
            yield f"{name}: neither a file nor a link"
        if not path.is_symlink() and mode & 0o7022:
            yield f"{name}: mode {stat.S_IMODE(mode):o}"


def _configuration(root: Path) -> Iterator[str]:
    told = (root / "DEBIAN" / "conffiles").read_text().split()
    there = [f"/{name}" for _, name in _files(root) if name.startswith("etc/")]
    if sorted(told) != sorted(there):
        yield f"conffiles has {told}, the package {there}"


def _sums(root: Path) -> Iterator[str]:
    lines = (root / "DEBIAN" / "md5sums").read_text().splitlines()
    told = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    there = {
        name: hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        for path, name in _files(root)
        if not path.is_symlink()
    }
    if told != there:
        yield f"md5sums is not of these files: {sorted(set(told.items()) ^ set(there.items()))[:4]}"


def _fields(root: Path) -> Iterator[str]:
    text = (root / "DEBIAN" / "control").read_text()
    for field in FIELDS:
        if not re.search(rf"^{field}: \S", text, re.MULTILINE):
            yield f"control has no {field}"
    yield from (f"control: line too long: {line}" for line in text.splitlines() if len(line) > 200)
    for name in ("copyright", "changelog.gz", "changelog.Debian.gz"):
        if not (root / "usr/share/doc" / NAME / name).is_file():
            yield f"there is no {name}"


def _scripts(root: Path) -> Iterator[str]:
    for name in ("postinst", "prerm", "postrm"):
        script = root / "DEBIAN" / name
        lines = script.read_text().splitlines()
        if lines[0] != "#!/bin/sh" or "set -e" not in lines:
            yield f"{name}: not a script of sh that stops at the first mistake"
        if script.stat().st_mode & 0o777 != 0o755:
            yield f"{name}: not executable"
        said = subprocess.run(["sh", "-n", script], capture_output=True, text=True, check=False)
        if said.returncode != 0:
            yield f"{name}: {said.stderr}"


def _programs(root: Path) -> Iterator[str]:
    """Yield programs whose interpreter, and units whose program, is not in the package."""
    for path in sorted((root / "usr/bin").iterdir()):
        interpreter = path.read_text().splitlines()[0].removeprefix("#!").split()[0]
        if not (root / interpreter.lstrip("/")).is_symlink():
            yield f"{path.name}: {interpreter} is not in the package"
    for unit in sorted((root / "usr/lib/systemd/system").glob("*.service")):
        for program in re.findall(r"^Exec\w+=/(\S+)", unit.read_text(), re.MULTILINE):
            if program not in OTHERS_PROGRAMS and not (root / program).is_file():
                yield f"{unit.name}: /{program} is not in the package"


def _byte_code(root: Path) -> Iterator[str]:
    """Yield sources without byte code, and byte code without a source."""
    sources, compiled = set(), set()
    for path, name in _files(root):
        if name.startswith(f"{ENVIRONMENT}/lib/") and path.suffix == ".py":
            sources.add(path.relative_to(root).with_suffix(""))
        elif path.suffix == ".pyc":
            stem = path.name.partition(".")[0]
            compiled.add(path.relative_to(root).parent.parent / stem)
    yield from (f"{name}: source or byte code alone" for name in sorted(sources ^ compiled))


def _linked(root: Path) -> Iterator[str]:
    """Yield compiled libraries that need what the package does not depend on (readelf(1))."""
    for path, name in _files(root):
        if path.suffix == ".so":
            said = subprocess.run(
                ["readelf", "--dynamic", path], capture_output=True, text=True, check=True
            )
            for kind, value in _NEEDED.findall(said.stdout):
                if kind != "NEEDED" or not LIBRARIES.fullmatch(value):
                    yield f"{name}: {kind} {value}"


def _traces(root: Path, build_directory: str) -> Iterator[str]:
    trace = build_directory.encode()
    for path, name in _files(root):
        if not path.is_symlink() and trace in path.read_bytes():
            yield f"{name}: names the directory that it was built in"


CHECKS: tuple[Callable[[Path], Iterator[str]], ...] = (
    _places,
    _configuration,
    _sums,
    _fields,
    _scripts,
    _programs,
    _byte_code,
    _linked,
)
