"""The table: made from a run's JSON, written into docs/comparison.md, compared with it."""

import re
from pathlib import Path

BEGIN, END = "<!-- compare: begin -->", "<!-- compare: end -->"


def _cell(cell):
    if cell["verdict"] == "ok":
        return "ok"
    if cell["verdict"] == "not run":
        return f"*{cell['note']}*"
    return f"**fails**: {cell['note']}"


def table(result):
    """The Markdown table of a run, and the line that says where it comes from."""
    columns = [column for column in result["columns"] if column["key"] != "direct"]
    lines = [
        "| | " + " | ".join(column["title"] for column in columns) + " |",
        "|---|" + "---|" * len(columns),
    ]
    for row in result["rows"]:
        lines.append(f"| {row['title']} | " + " | ".join(_cell(row["cells"][column["key"]]) for column in columns) + " |")
    lines += ["", f"Measured on {result['date']}: {result['machine']}; {'; '.join(result['versions'])}.",
              "Each row was also run on the socket itself, where it works."]
    return "\n".join(lines)


def _split(page):
    text = Path(page).read_text()
    match = re.search(f"{re.escape(BEGIN)}\n(.*?){re.escape(END)}", text, re.S)
    if not match:
        raise SystemExit(f"compare: {page} must hold the lines {BEGIN} and {END}")
    return text, match


def write(result, page):
    """Puts the table between the two marks of the page."""
    text, match = _split(page)
    Path(page).write_text(text[:match.start(1)] + table(result) + "\n" + text[match.end(1):])


def differences(result, page):
    """Where the page says something else than this run about what works: lines for a person."""
    _, match = _split(page)
    rows = {}
    lines = [line for line in match[1].splitlines() if line.startswith("|")]
    titles = [word.strip() for word in lines[0].split("|")[2:-1]]
    for line in lines[2:]:
        words = [word.strip() for word in line.split("|")[1:-1]]
        rows[words[0]] = dict(zip(titles, words[1:]))
    found = []
    for row in result["rows"]:
        for column in result["columns"]:
            if column["key"] == "direct":
                continue
            cell = row["cells"][column["key"]]
            says = rows.get(row["title"], {}).get(column["title"])
            verdict = None if says is None else "ok" if says == "ok" else "not run" if says.startswith("*not run") else "fails"
            if verdict != cell["verdict"]:
                found.append(f"{row['title']} / {column['title']}: the page says {says!r}, this run: {_cell(cell)}")
    known = {row["title"] for row in result["rows"]}
    found += [f"{title}: on the page and not in this run" for title in rows if title not in known]
    return found
