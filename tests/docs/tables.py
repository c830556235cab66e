"""The tables of the documentation, made from the code.

`python -m tests.docs.tables` writes them into the documents; a test compares them.
"""

from pathlib import Path

from tusd_s3 import errors, sources
from tusd_s3.config import Config

DOCS = Path(__file__).parents[2] / "docs"
BEGIN, END = "<!-- table: begin -->\n", "<!-- table: end -->\n"


def settings() -> str:
    """Return the table of settings, one section per group of the help."""
    lines: list[str] = []
    group = ""
    for name, field in Config.model_fields.items():
        if sources.group_of(field) != group:
            group = sources.group_of(field)
            head = "| flag | variable | value | default | what it does |\n|---|---|---|---|---|"
            lines += ["", f"### {group}", "", head]
        kind = sources.kind_of(field)
        choices = getattr(field.annotation, "__args__", ()) if kind is None else ()
        words = ", ".join(f"`{choice}`" for choice in choices if isinstance(choice, str))
        value = kind.metavar.lower() if kind else words or "switch"
        default = sources.default_of(field).replace("|", "\\|")
        lines.append(
            f"| `{sources.flag_of(name)}` | `{sources.variable_of(name)}` | {value} "
            f"| {default} | {field.description} |"
        )
    return "\n".join(lines).strip() + "\n"


def refusals() -> str:
    """Return the table of refusals, by status."""
    classes = sorted(_below(errors.TusError), key=lambda cls: (cls.status, cls.code, cls.__name__))
    lines = ["| status | code | message | when |", "|---|---|---|---|"]
    for cls in classes:
        when = " ".join((cls.__doc__ or "").split("\n\n")[0].split())
        lines.append(f"| {cls.status} | `{cls.code}` | {cls.message} | {when} |")
    return "\n".join(lines) + "\n"


def _below(root: type[errors.TusError]) -> set[type[errors.TusError]]:
    found = {root}
    for cls in root.__subclasses__():
        if cls.__module__ == errors.__name__:
            found |= _below(cls)
    return found


TABLES = {"configuration.md": settings, "errors.md": refusals}


def in_document(name: str) -> str:
    """Return the table that a document has now."""
    return (DOCS / name).read_text().partition(BEGIN)[2].partition(END)[0]


def main() -> None:
    """Write the tables into the documents."""
    for name, table in TABLES.items():
        text = (DOCS / name).read_text()
        before, rest = text.partition(BEGIN)[::2]
        after = rest.partition(END)[2]
        (DOCS / name).write_text(f"{before}{BEGIN}{table()}{END}{after}")
        print(f"docs/{name}")


if __name__ == "__main__":
    main()
