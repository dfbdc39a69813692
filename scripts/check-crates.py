#!/usr/bin/env python3
"""Checks the crates without compiling anything: one registry, with checksums; one version of each crate that is compiled;
a licence that deny.toml allows; no crate that needs a newer Rust than Cargo.toml says; and for each crate that Cargo.toml
names, the reason in ARCHITECTURE.md.

`make deny` says more (cargo-deny, and the database of known weaknesses), but takes minutes to compile the first time; this
takes a second, so that it can be part of `make test`.
"""
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What a release is made for; `make deny` has more of them.
TARGETS = ["x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl"]


def read(name):
    return (ROOT / name).read_text()


def tree(*options):
    command = ["cargo", "tree", "--locked", "--prefix", "none", *options]
    lines = subprocess.run(command, cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE).stdout.splitlines()
    return {line.removesuffix(" (*)").strip() for line in lines if line.strip()}


def sources():
    """One registry for all, no repository and no folder; that it is cargo's own, `make deny` says."""
    registries = set()
    for package in read("Cargo.lock").split("[[package]]")[1:]:
        field = dict(re.findall(r'^(\w+) = "(.*)"$', package, re.MULTILINE))
        if field["name"] == "vaultexec":
            continue
        source = field.get("source", "a folder")
        registries.add(source)
        if not source.startswith("registry+"):
            yield f"{field['name']} comes from {source}"
        if "checksum" not in field:
            yield f"{field['name']} has no checksum in Cargo.lock"
    if len(registries) > 1:
        yield f"crates come from {len(registries)} places: {', '.join(sorted(registries))}"


def duplicates():
    for target in TARGETS:
        versions = {}
        for crate in tree("--edges", "normal,build", "--target", target, "--format", "{p}"):
            name, version = crate.split()[:2]
            versions.setdefault(name, set()).add(version)
        yield from (f"{name} is there as {sorted(several)}" for name, several in versions.items() if len(several) > 1)


def is_allowed(licence, allowed):
    """An expression of SPDX's: one side of an OR will do, all sides of an AND must; what is in brackets comes first."""
    def holds(text):
        return any(all(part.strip() in allowed for part in side.split(" AND ")) for side in text.split(" OR "))

    allowed = {*allowed, "yes"}
    text, found = licence.replace("/", " OR "), 1
    while found:
        text, found = re.subn(r"\(([^()]*)\)", lambda inner: "yes" if holds(inner[1]) else "no", text)
    return holds(text)


def licences():
    allowed = re.findall(r'"(.*?)"', re.search(r"^allow = \[(.*?)\]", read("deny.toml"), re.MULTILINE | re.DOTALL)[1])
    for target in TARGETS:
        for crate in tree("--target", target, "--format", "{p}|{l}"):
            name, licence = crate.split("|")
            if not name.startswith("vaultexec ") and not is_allowed(licence, allowed):
                yield f"{name} has the licence {licence or '(none)'}, which deny.toml does not allow"


def oldest_rust():
    """A crate that asks for a newer Rust than Cargo.toml says would make that a lie; for what we call, clippy tells."""
    def number(version):
        return [int(part) for part in version.split(".")[:2]]

    ours = re.search(r'^rust-version = "(.*)"$', read("Cargo.toml"), re.MULTILINE)[1]
    for target in TARGETS:
        command = ["cargo", "metadata", "--locked", "--format-version=1", f"--filter-platform={target}"]
        for crate in json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)["packages"]:
            if crate["rust_version"] and number(crate["rust_version"]) > number(ours):
                yield f"{crate['name']} needs Rust {crate['rust_version']}, and Cargo.toml promises {ours}"


def reasons():
    table = read("ARCHITECTURE.md").split("## Dependencies")[1]
    first_cells = " ".join(re.findall(r"^\| (.*?) \|", table, re.MULTILINE))
    named = read("Cargo.toml").split("[dependencies]")[1].split("\n[")[0]
    for name in re.findall(r"^([\w-]+) = ", named, re.MULTILINE):
        if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", first_cells):
            yield f"{name} has no line in ARCHITECTURE.md that says why it is needed"


# In this order: what is wrong with the lock file keeps cargo from telling the rest.
for check in (sources, duplicates, licences, oldest_rust, reasons):
    problems = sorted(set(check()))
    if problems:
        sys.exit("\n".join(["check-crates.py: the crates are not as they should be:", *problems]))
print("ok: the crates: one registry, one version of each, licences that are allowed, no newer Rust, a reason for each")
