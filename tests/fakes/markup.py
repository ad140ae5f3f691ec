"""What pages of ours are marked up with; all else would come from somebody's certificate or file name."""

from __future__ import annotations

from fakes import hostile
from fakes.browser import Page

ELEMENTS = frozenset(
    [
        "a",
        "body",
        "br",
        "button",
        "code",
        "datalist",
        "dd",
        "details",
        "fieldset",
        "legend",
        "div",
        "dl",
        "dt",
        "footer",
        "form",
        "h1",
        "h2",
        "h3",
        "head",
        "header",
        "html",
        "input",
        "label",
        "li",
        "link",
        "main",
        "meta",
        "nav",
        "ol",
        "option",
        "p",
        "pre",
        "rect",
        "script",
        "section",
        "select",
        "small",
        "span",
        "strong",
        "summary",
        "svg",
        "table",
        "tbody",
        "td",
        "textarea",
        "th",
        "thead",
        "time",
        "title",
        "tr",
        "ul",
    ]
)
ATTRIBUTES = frozenset(
    [
        "action",
        "aria-controls",
        "aria-current",
        "aria-describedby",
        "aria-hidden",
        "aria-invalid",
        "aria-label",
        "aria-sort",
        "aria-labelledby",
        "autocapitalize",
        "autocomplete",
        "autofocus",
        "charset",
        "class",
        "content",
        "data-choose",
        "data-complete",
        "data-copy",
        "data-fragment",
        "data-key",
        "data-label",
        "data-live",
        "data-load",
        "datetime",
        "defer",
        "disabled",
        "download",
        "enctype",
        "for",
        "formaction",
        "height",
        "hidden",
        "href",
        "id",
        "lang",
        "list",
        "maxlength",
        "method",
        "name",
        "open",
        "placeholder",
        "preserveaspectratio",
        "rel",
        "required",
        "role",
        "rows",
        "scope",
        "selected",
        "checked",
        "spellcheck",
        "src",
        "tabindex",
        "title",
        "type",
        "value",
        "viewbox",
        "width",
        "x",
        "y",
    ]
)


def check_inert(page: Page) -> None:
    """Assert that a page has nothing but our own markup and addresses, and words that do nothing."""
    assert page.elements <= ELEMENTS, page.elements - ELEMENTS
    assert page.attributes <= ATTRIBUTES, page.attributes - ATTRIBUTES
    assert all(link.startswith(("/", "#")) and not link.startswith("//") for link in page.links)
    assert all(hostile.is_inert(line) for line in page.words.split("\n"))


def check_accessible(page: Page) -> None:
    """Assert what can be told without a browser: ids once, labels for controls, headings in their order."""
    assert len(page.ids) == len(set(page.ids)), [i for i in page.ids if page.ids.count(i) > 1]
    assert page.described <= set(page.ids), page.described - set(page.ids)
    unlabelled = [name for name, id_ in page.controls if id_ not in page.labelled]
    assert not unlabelled, unlabelled
    assert page.headings[:1] == [1]
    assert page.headings.count(1) == 1
    steps = zip(page.headings, page.headings[1:], strict=False)
    assert all(after <= before + 1 for before, after in steps), page.headings
