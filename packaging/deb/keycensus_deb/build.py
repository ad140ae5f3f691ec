"""Makes the package: the tree, the control files, dpkg-deb, and a check of what came out."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import tempfile
from pathlib import Path

from keycensus_deb import texts
from keycensus_deb.checks import complaints
from keycensus_deb.release import (
    ARCHITECTURES,
    CHECKOUT,
    FILES,
    NAME,
    Release,
    debian_version,
    project_version,
)
from keycensus_deb.tree import lay_out, normalise
from keycensus_deb.wheels import BuildError, fetch_wheels, run

SCRIPTS = ("postinst", "prerm", "postrm")


def build(release: Release, directory: Path, *, level: int = 6, wheels: Path | None = None) -> Path:
    """Build the package into `directory` and return its path; raises BuildError.

    `level` is xz's: 0 is quick, for tests. `wheels` is where the wheels are, if they were fetched before.
    """
    architecture = ARCHITECTURES.get(platform.machine())
    if architecture is None:
        raise BuildError(f"there is no package for {platform.machine()}")
    needed = ("dpkg-deb", f"python{release.python}")
    missing = [name for name in needed if shutil.which(name) is None]
    if missing:
        raise BuildError(f"not found: {', '.join(missing)}; build on {release.codename}")
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(source_date()), "PYTHONHASHSEED": "0"}
    version = debian_version(project_version("agent"), release)
    target = directory / f"{NAME}_{version}_{architecture}.deb"
    with tempfile.TemporaryDirectory(prefix="keycensus-deb-") as scratch:
        root = Path(scratch, "root")
        root.mkdir()
        if wheels is None:
            wheels = Path(scratch, "wheels")
            fetch_wheels(release.python, wheels, environment)
        lay_out(root, wheels, release, environment)
        add_control(root, release, architecture, int(environment["SOURCE_DATE_EPOCH"]))
        if found := complaints(root, scratch):
            raise BuildError("\n".join(("the package is not right:", *found)))
        directory.mkdir(parents=True, exist_ok=True)
        # One thread: how xz cuts its blocks is part of what is the same in every build.
        pack = ("--root-owner-group", "-Zxz", f"-z{level}", "--threads-max=1")
        run("dpkg-deb", *pack, "--build", str(root), str(target), environment=environment)
    return target


def source_date() -> int:
    """Return when the sources are of: SOURCE_DATE_EPOCH, or the last commit's time."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(given)
    try:
        return int(run("git", "-C", str(CHECKOUT), "log", "-1", "--format=%ct"))
    except (BuildError, OSError, ValueError):
        raise BuildError(
            "no commit to take the date from: set SOURCE_DATE_EPOCH to seconds since 1970"
        ) from None


def add_control(root: Path, release: Release, architecture: str, epoch: int) -> None:
    """Write DEBIAN/ below `root`, from the files that are there."""
    files = sorted(path for path in root.rglob("*") if not path.is_dir() or path.is_symlink())
    size = sum(-(-path.lstat().st_size // 1024) for path in files)
    names = {path: path.relative_to(root) for path in files}
    sums = [
        f"{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}  {name}\n"
        for path, name in names.items()
        if not path.is_symlink()
    ]
    kept = [f"/{name}\n" for name in names.values() if name.parts[0] == "etc"]
    control = root / "DEBIAN"
    control.mkdir()
    (control / "control").write_text(texts.control(release, architecture, size))
    (control / "md5sums").write_text("".join(sums))
    (control / "conffiles").write_text("".join(kept))
    normalise(control, epoch)
    for name in SCRIPTS:
        shutil.copyfile(FILES / name, control / name)
        (control / name).chmod(0o755)
        os.utime(control / name, (epoch, epoch))
