#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Every command that README.md, MIGRATION.md and the manual name, one a line: COMMAND, tab, the files that name it.

A command is what begins with a program of this machine, or with a verb of nfq2xdp, and has more than that name: in a
code span, in bold in the manual, in an indented line, in a block of sh, or in a synopsis. Not in MIGRATION.md's blocks of sh
and bash: tests/netns/test_guide.sh and test_package.sh run those as they are. A synopsis stands for every way to call it,
with each [option] and without, with each of {these | those}. Placeholders become what PLACEHOLDERS says.
"""
import re
import shutil
import subprocess
import sys

PLACEHOLDERS = [
    (r"(-c|--config) FILE\b", r"\1 /etc/nfq2xdp/br0.yaml"),
    (r"--out FILE\.html", "--out /run/lab/report.html"),
    (r"--out FILE\b", "--out /run/lab/out"),
    (r"--out report\.html", "--out /run/lab/report.html"),
    (r"--write FILE\b", "--write /run/lab/new.yaml"),
    (r"FILE\.pcap", "/run/lab/FILE.pcap"),
    (r"\bDIR\b", "/run/lab/example"),
    (r"\b(GENERATION)\b", r"$\1"),
    (r"\b(IFACE|INSTANCE)\b", "br0"),
    (r"--every N\b", "--every 10"),
    (r"--percent P\b", "--percent 10"),
    (r"--for DURATION", "--for 3s"),
    (r"--bound SHARE", "--bound 1e-2"),
]


def alternatives(text):
    """text at its " | ", outside of brackets."""
    part, depth, out = "", 0, []
    for piece in re.split(r"([\[{\]}]| \| )", text):
        depth += (piece in "[{") - (piece in "]}") if piece else 0
        if piece == " | " and depth == 0:
            out.append(part)
            part = ""
        else:
            part += piece
    return out + [part]


def expand(text):
    """Every way to call a synopsis."""
    word = re.search(r"(?<= )([a-z]+(?:\|[a-z]+)+)(?= |$)", text)
    if word:
        return [e for w in word[1].split("|") for e in expand(text[:word.start()] + w + text[word.end():])]
    begin = re.search(r"[\[{]", text)
    if not begin:
        return [" ".join(text.split())]
    depth, end = 1, begin.end()
    while depth:
        depth += (text[end] in "[{") - (text[end] in "]}")
        end += 1
    inner = alternatives(text[begin.end():end - 1]) + ([""] if begin[0] == "[" else [])
    return [e for i in inner for e in expand(text[:begin.start()] + i + text[end:])]


def markdown(text, blocks):
    """(text, is it a synopsis?) of each."""
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", text, re.M | re.S):
        if not language:
            for line in block.splitlines():
                yield re.sub(r"   .*", "", re.sub(r"(?<=\S)  +.*", "", line)), True
        elif language in ("sh", "bash") and blocks:
            for line in block.splitlines():
                yield line, False
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    for line in re.findall(r"^    (\S.*)", text, re.M):
        yield line, False
    for span in re.findall(r"`([^`]+)`", text):
        yield span, "[" in span or "|" in span


def manual(text):
    synopsis = re.search(r"^# SYNOPSIS\n(.*?)^# ", text, re.M | re.S)[1]
    for line in synopsis.splitlines():
        if " ... see " not in line:
            yield re.sub(r"[*_]|\+\+$", "", line), True
    for span in re.findall(r"\*([^*]+)\*", text.replace(synopsis, "")):
        yield span, False


def main(binary, paths):
    usage = subprocess.run([binary, "--help"], capture_output=True, text=True, check=True).stdout
    verbs = set(re.findall(r"^  ([a-z]+(?: [a-z]+)?)", usage, re.M))
    first = {"nfq2xdp"} | {v.split()[0] for v in verbs}
    found = {}
    for path in paths:
        with open(path, encoding="utf-8") as f:
            text = f.read()
        named = manual(text) if path.endswith(".scd") else markdown(text, "MIGRATION" not in path)
        for said, is_synopsis in named:
            said = " ".join(said.split())
            words = said.split()
            if len(words) < 2 or not (words[0] in first or shutil.which(words[0])):
                continue
            name = said.removeprefix("nfq2xdp ")
            if not is_synopsis and (name in verbs or name in first):
                continue  # the name of a verb, not how it is called
            if words[0] in first - {"nfq2xdp"}:
                said = "nfq2xdp " + said
            for command in expand(said) if is_synopsis else [said]:
                for pattern, value in PLACEHOLDERS:
                    command = re.sub(pattern, value, command)
                found.setdefault(command, set()).add(path.rsplit("/", 1)[-1])
    for command in sorted(found):
        print(command, " ".join(sorted(found[command])), sep="\t")


main(sys.argv[1], sys.argv[2:])
