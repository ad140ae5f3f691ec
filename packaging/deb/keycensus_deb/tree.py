"""Lays out the package's files as they will lie on the machine."""

from __future__ import annotations

import gzip
import os
import shutil
import tomllib
from collections.abc import Mapping
from pathlib import Path

from keycensus_deb import texts
from keycensus_deb.release import CHECKOUT, ENVIRONMENT, FILES, NAME, SYSTEMD, UNITS, Release
from keycensus_deb.wheels import run, unpack_all

# What people read on the machine, without a network.
DOCUMENTS = (
    "docs/agent.md",
    "docs/agent-configuration.md",
    "docs/formats.md",
    "docs/scan-output.md",
    "docs/architecture.md",
    "docs/threat-model.md",
    "docs/reliability.md",
    "packaging/systemd/README.md",
)
# A drop-in that an administrator may put into place; off as it lies here.
EXAMPLES = ("keycensus-agent-processes.conf",)
CONFIGURATION = {
    "etc/keycensus/agent.toml": CHECKOUT / "packaging" / "agent.toml",
    "etc/keycensus/agent.d/10-systemd.toml": SYSTEMD / "10-systemd.toml",
}
_LAUNCH = """\
#!/{environment}/bin/python -IB
import sys

from {module} import {function}

sys.exit({function}())
"""


def lay_out(root: Path, wheels: Path, release: Release, environment: Mapping[str, str]) -> None:
    """Put everything but the control files below `root`."""
    packages = root / release.packages
    unpack_all(wheels, packages)
    _lay_out_environment(root, release)
    _lay_out_service(root)
    _lay_out_documents(root, packages, release, int(environment["SOURCE_DATE_EPOCH"]))
    compile_libraries(root, release, environment)
    normalise(root, int(environment["SOURCE_DATE_EPOCH"]))


def _lay_out_environment(root: Path, release: Release) -> None:
    """Make what venv(1) would: the system's interpreter with these libraries and no others."""
    home = root / ENVIRONMENT
    (home / "bin").mkdir()
    (home / "bin" / "python").symlink_to(f"/usr/bin/python{release.python}")
    (home / "pyvenv.cfg").write_text(
        f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {release.python}\n"
    )
    (root / "usr" / "bin").mkdir()
    for name, entry in programs().items():
        module, _, function = entry.partition(":")
        text = _LAUNCH.format(environment=ENVIRONMENT, module=module, function=function)
        (root / "usr" / "bin" / name).write_text(text)


def programs() -> dict[str, str]:
    """Return the agent's programs, each with its "module:function"."""
    project = tomllib.loads((CHECKOUT / "agent" / "pyproject.toml").read_text())["project"]
    scripts: dict[str, str] = project["scripts"]
    return scripts


def _lay_out_service(root: Path) -> None:
    for name in UNITS:
        put(SYSTEMD / name, root / "usr/lib/systemd/system" / name)
    put(SYSTEMD / f"{NAME}.sysusers", root / "usr/lib/sysusers.d" / f"{NAME}.conf")
    put(SYSTEMD / f"{NAME}.tmpfiles", root / "usr/lib/tmpfiles.d" / f"{NAME}.conf")
    for path, source in CONFIGURATION.items():
        put(source, root / path)


def _lay_out_documents(root: Path, packages: Path, release: Release, epoch: int) -> None:
    documents = root / "usr/share/doc" / NAME
    for name in DOCUMENTS:
        folder, _, file = name.rpartition("/")
        # Links between them stay true: docs/ here as there, the units' README beside it.
        put(CHECKOUT / name, documents / (name if folder == "docs" else f"systemd/{file}"))
    for name in EXAMPLES:
        put(SYSTEMD / name, documents / "examples" / name)
    (documents / "copyright").write_text(texts.copyright_of(packages))
    for name, text in {
        f"usr/share/doc/{NAME}/changelog.Debian.gz": texts.debian_changelog(release, epoch),
        f"usr/share/doc/{NAME}/changelog.gz": (CHECKOUT / "CHANGELOG.md").read_text(),
        f"usr/share/man/man8/{NAME}.8.gz": texts.manual_page(FILES / f"{NAME}.8", epoch),
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        # Without a name and a time in it (gzip -9n), as Debian Policy, section 12.3, wants it.
        (root / name).write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    put(FILES / "lintian-overrides", root / "usr/share/lintian/overrides" / NAME)


def put(source: Path, target: Path) -> None:
    """Copy one file, its content only."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def compile_libraries(root: Path, release: Release, environment: Mapping[str, str]) -> None:
    """Compile all Python below the library directory, for this path on the machine.

    Unchecked: the byte code is a file of the package as its source is, and a start looks at neither's
    time. One process, hash seed fixed: the same source gives the same bytes.
    """
    mode = ("-q", "-j", "1", "--invalidation-mode", "unchecked-hash", "-o", "0")
    place = ("-s", str(root), "-p", "/")
    compiler = (f"python{release.python}", "-m", "compileall", *mode, *place)
    run(*compiler, str(root / release.packages), environment=environment)


def normalise(root: Path, epoch: int) -> None:
    """Give every file and directory its mode, and all the same time."""
    root.chmod(0o755)
    for directory, names, files in os.walk(root, topdown=False):
        for name in (*names, *files):
            path = Path(directory, name)
            if not path.is_symlink():
                program = path.is_dir() or path.parent == root / "usr/bin"
                path.chmod(0o755 if program else 0o644)
            os.utime(path, (epoch, epoch), follow_symlinks=False)
    os.utime(root, (epoch, epoch))
