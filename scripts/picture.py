#!/usr/bin/env python3
"""Draws docs/vaultexec.svg: the chain of a run, and the life of its lease. With --check it only says whether the file is that."""

import pathlib
import sys

WIDTH, HEIGHT = 840, 400
OUT = pathlib.Path(__file__).resolve().parent.parent / "docs" / "vaultexec.svg"


def box(x, y, width, title, *lines):
    height = 34 + 18 * len(lines)
    yield f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" class="box"/>'
    yield f'<text x="{x + width / 2:g}" y="{y + 22}" class="title">{title}</text>'
    for number, line in enumerate(lines):
        yield f'<text x="{x + width / 2:g}" y="{y + 42 + 18 * number}" class="small">{line}</text>'


def arrow(x1, y1, x2, y2, words, above=True):
    yield f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" class="line" marker-end="url(#head)"/>'
    if words:
        y = (y1 + y2) / 2 - 7 if above else (y1 + y2) / 2 + 17
        yield f'<text x="{(x1 + x2) / 2:g}" y="{y:g}" class="small">{words}</text>'


def chain():
    yield from box(20, 60, 150, "vaultexec", "started in front", "of your command")
    yield from box(360, 20, 170, "Vault or OpenBao", "AppRole, policy,", "database engine")
    yield from box(680, 20, 140, "PostgreSQL", "a role for", "this run alone")
    yield from box(360, 140, 170, "your command", "PGUSER, PGPASSWORD,", "DATABASE_URL")
    yield from arrow(170, 75, 358, 40, "1  log in")
    yield from arrow(170, 95, 358, 78, "2  read credentials", above=False)
    yield from arrow(530, 55, 678, 55, "CREATE / DROP ROLE")
    yield from arrow(170, 120, 358, 170, "3  start", above=False)
    yield from arrow(530, 170, 690, 92, "queries", above=False)


def life():
    y = 330
    yield f'<line x1="60" y1="{y}" x2="790" y2="{y}" class="line" marker-end="url(#head)"/>'
    for x, above, below in (
        (80, "login, read", "role made"),
        (230, "renew", ""),
        (360, "renew", ""),
        (500, "max_ttl is near:", "new role, restart,"),
        (620, "renew", ""),
        (740, "command ends", "role dropped, token"),
    ):
        yield f'<circle cx="{x}" cy="{y}" r="5" class="dot"/>'
        yield f'<text x="{x}" y="{y - 14}" class="small">{above}</text>'
        yield f'<text x="{x}" y="{y + 24}" class="small">{below}</text>'
    yield f'<text x="500" y="{y + 42}" class="small">old role dropped</text>'
    yield f'<text x="740" y="{y + 42}" class="small">revoked</text>'
    yield f'<text x="60" y="{y - 60}" class="title left">The life of a lease</text>'


def picture():
    style = (
        "text{font:14px system-ui,sans-serif;text-anchor:middle;fill:#222}.small{font-size:12px}.title{font-weight:600}"
        ".left{text-anchor:start}.box{fill:#eef3fb;stroke:#4a6fa5}.line{stroke:#555;stroke-width:1.4}.dot{fill:#4a6fa5}"
        ".back{fill:#fff}"
    )
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="The chain of a run, and the life of its lease">'
    yield f"<style>{style}</style>"
    yield '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z" fill="#555"/></marker></defs>'
    yield f'<rect width="{WIDTH}" height="{HEIGHT}" class="back"/>'
    yield from chain()
    yield from life()
    yield "</svg>"


def main():
    text = "\n".join(picture()) + "\n"
    if sys.argv[1:] == ["--check"]:
        sys.exit(0 if OUT.is_file() and OUT.read_text() == text else f"{OUT} is not what scripts/picture.py draws: run it")
    OUT.write_text(text)


main()
