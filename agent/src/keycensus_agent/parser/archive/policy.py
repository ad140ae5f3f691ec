"""Which archives and which of their members are not looked at, by their names; they are counted.

Pure; the reader asks for files, the parser for members. Compiled programs, images, sound and fonts make up nine of ten members and hold no
text. What a distribution ships below /usr is searched less closely: its source archives alone would take
longer than all the rest. Among programs a name has to promise a key or a certificate.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from keycensus_agent.parser.triage import among_programs

_NEVER = frozenset(
    {
        *(b"class", b"pyc", b"pyo", b"kotlin_metadata", b"kotlin_module", b"dex", b"wasm"),
        *(b"so", b"dll", b"dylib", b"jnilib", b"exe", b"o", b"a", b"pdb", b"mo"),
        *(b"png", b"jpg", b"jpeg", b"gif", b"ico", b"webp", b"bmp", b"tif", b"tiff"),
        *(b"woff", b"woff2", b"ttf", b"otf", b"eot", b"icns", b"psd", b"pdf"),
        *(b"mp3", b"mp4", b"m4a", b"avi", b"mov", b"ogg", b"wav", b"flac"),
    }
)
_NOT_BELOW_USR = _NEVER | {
    *(b"java", b"kt", b"scala", b"go", b"proto", b"xsd", b"dtd", b"res", b"rsc", b"icu", b"sym"),
    *(b"css", b"html", b"htm", b"svg", b"po", b"sig"),
}
# Documentation, translations, kernel modules and firmware: tens of thousands of small compressed files
# that packages own.
_NOT_SEARCHED = (
    *(b"/usr/share/man/", b"/usr/share/doc/", b"/usr/share/info/", b"/usr/share/locale/"),
    *(b"/usr/share/i18n/", b"/usr/share/fonts/", b"/usr/share/icons/", b"/usr/local/share/man/"),
    # A JDK's own classes, modules and sources; its trust store is a plain file.
    *(b"/usr/lib/jvm/",),
    *(b"/lib/modules/", b"/usr/lib/modules/", b"/lib/firmware/", b"/usr/lib/firmware/"),
)


# Names in there that are compressed files: the reader need not open them to pass over them.
COMPRESSED = (".gz", ".xz", ".bz2", ".zst", ".lz4")
# Among programs, what has to be decompressed whole to know what is in it.
_STREAMS = re.compile(rb"\.(?:gz|xz|bz2|zst|tar|t[bgx]z2?|tzst)\Z", re.IGNORECASE)

# What a name in lower case promises: by its suffix, META-INF's signatures of jars among them, or as a whole.
_SUFFIXES = (
    rb"\.(?:pem|key|crt|cer|cert|der|p12|pfx|jks|jceks|bks|bcfks|keystore|truststore|ks|p7[bcms]"
    rb"|p8|pk8|rsa|dsa|ec|csr|crl|ppk|kdb|kbx|sst|sso|jwk)"
)
_PROMISING = re.compile(
    _SUFFIXES + rb"s?\Z|(?:\A|/)(?:id_(?:rsa|dsa|ecdsa|ed25519)|ssh_host_[a-z0-9]+_key|cacerts"
    rb"|truststore|keystore|key[34]\.db|cert[89]\.db)\Z"
)
# The same within a zip's directory, where the end of a name can't be seen. A first letter that is fixed
# is what makes the search fast: jars list a quarter of a million names on one machine.
_SUFFIX_WITHIN = re.compile(_SUFFIXES + rb"|\.db")
_NAMES_WITHIN = (b"cacerts", b"truststore", b"keystore", b"ssh_host_")
_IDENTITIES_WITHIN = (b"id_rsa", b"id_dsa", b"id_ecdsa", b"id_ed25519")


class Selection(NamedTuple):
    """Which members of an archive are looked at."""

    passed_over: frozenset[bytes]
    """Suffixes, in lower case, of those that are not."""
    promising: bool = False
    """Whether a name has to promise something besides."""

    def takes(self, name: bytes) -> bool:
        """Tell whether the member `name` is looked at."""
        _, dot, suffix = name.rpartition(b".")
        if dot and suffix.lower() in self.passed_over:
            return False
        return not self.promising or _PROMISING.search(name.lower()) is not None

    def takes_none_of(self, directory: bytes) -> bool:
        """Tell whether surely none of the names in a piece of a zip's directory is taken."""
        if not self.promising:
            return False
        lower = directory.lower()
        if _SUFFIX_WITHIN.search(lower) is not None:
            return False
        for name in _NAMES_WITHIN:
            if name in lower:
                return False
        return b"id_" not in lower or not any(name in lower for name in _IDENTITIES_WITHIN)


def is_searched(path: bytes) -> bool:
    """Tell whether an archive at `path` (absolute, within the root) is looked into at all."""
    if path.startswith(_NOT_SEARCHED):
        return False
    stream = _STREAMS.search(path)
    if stream is None or not among_programs(path):
        return True
    return _PROMISING.search(path[: stream.start()].lower()) is not None


def selection_in(path: bytes) -> Selection:
    """Return which members of an archive at `path` are looked at."""
    if among_programs(path):
        return _AMONG_PROGRAMS
    shipped = path.startswith(b"/usr/") and not path.startswith(b"/usr/local/")
    return _SHIPPED if shipped else _ELSEWHERE


_AMONG_PROGRAMS = Selection(_NOT_BELOW_USR, promising=True)
_SHIPPED = Selection(_NOT_BELOW_USR)
_ELSEWHERE = Selection(_NEVER)
