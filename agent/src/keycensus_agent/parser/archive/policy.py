"""Which archives and which of their members are not looked at, by their names; they are counted.

Pure; the reader asks for files, the parser for members. Compiled programs, images, sound and fonts make up nine of ten members and hold no
text. What a distribution ships below /usr is searched less closely: its source archives alone would take
longer than all the rest.
"""

from __future__ import annotations

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


def is_searched(path: bytes) -> bool:
    """Tell whether an archive at `path` (absolute, within the root) is looked into at all."""
    return not path.startswith(_NOT_SEARCHED)


def passed_over_in(path: bytes) -> frozenset[bytes]:
    """Return the suffixes of members that are not looked at, in an archive at `path`."""
    shipped = path.startswith(b"/usr/") and not path.startswith(b"/usr/local/")
    return _NOT_BELOW_USR if shipped else _NEVER
