"""Hook of MkDocs: adds the pages that are made from the code, and mends links that leave `docs`."""

import posixpath
import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from site_pages import ROOT, generated_pages

# Files outside `docs` that are pages of the site too.
ALSO_PAGES = {
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "tools/demo_images/README.md": "demo_images.md",
}
PAGE_OF = {**ALSO_PAGES, "README.md": "index.md"}
SOURCE_OF = {page: source for source, page in ALSO_PAGES.items()}
CODE_OR_LINK = re.compile(
    r"(?P<code>^```.*?^```$|`[^`\n]+`)|(?<!!)\[(?P<text>[^\[\]]*)\]\((?P<target>[^)\s]+)\)", re.MULTILINE | re.DOTALL
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made from the code, and those that lie outside `docs`."""
    pages = generated_pages()
    pages |= {page: (ROOT / source).read_text(encoding="utf-8") for source, page in ALSO_PAGES.items()}
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links to files that are pages of the site to these, and turn other links out of `docs` into plain text."""
    source = SOURCE_OF.get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def mend(match: re.Match[str]) -> str:
        target = match["target"]
        if match["code"] or re.match(r"[a-z]+:|#", target):
            return match[0]
        path, _, anchor = target.partition("#")
        goal = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        inside = PAGE_OF.get(goal, goal.removeprefix("docs/") if goal.startswith("docs/") else None)
        if inside is None:
            return match["text"] if match["text"].startswith("`") else f"{match['text']} (`{goal}`)"
        here = posixpath.dirname(page.file.src_uri)
        return f"[{match['text']}]({posixpath.relpath(inside, here or '.')}{'#' if anchor else ''}{anchor})"

    return CODE_OR_LINK.sub(mend, markdown)
