#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""session-to-man.py HEADER OUTPUT - makes vgpu-session-ring(7) from the contract, protocol/vgpu-session.h:
its opening comment, a table of the operations, and every structure with what the header says of it."""
import re
import sys

HEAD = r""".\" SPDX-License-Identifier: LGPL-2.1-or-later
.\" Made from protocol/vgpu-session.h by session-to-man.py.
.Dd November 30, 2026
.Dt VGPU-SESSION-RING 7
.Os vgpu-mediator
.Sh NAME
.Nm vgpu-session-ring
.Nd operations in the ring of a CUDA session
.Sh SYNOPSIS
.In vgpu/vgpu-session.h
.Sh DESCRIPTION
This page is for who writes a library for guests.
What a session is, is in
.Xr vgpu-sessions 7 ;
how a process gets a ring, in
.Xr vgpu-stub 7 .
Who sends operations by libvgpu's own functions finds them in
.In vgpu/cuda-client.h .
.Pp
"""

TABLE = r""".Sh OPERATIONS
Behind the record's header stand the parameters.
A record that lacks some of them, or has more without the property
.Sq more ,
breaks the ring's rules, and the session ends.
An operation that the host's executor does not know ends with CUDA_ERROR_NOT_SUPPORTED.
.Bl -tag -width replies -compact
.It context
The record's context becomes current.
.It if-context
The same, if it has one; it needs none.
.It work
It gives work to the device.
.It slow
It may take long, and others overtake it.
.It reply
It needs a reply slot.
.It more
Bytes follow the parameters.
.El
.Pp
.TS
lb lb lb lb
l l l lx.
Number	Name	Parameters	Properties
"""

FOOT = r""".Sh SEE ALSO
.Xr vgpu 1 ,
.Xr vgpu-sessions 7 ,
.Xr vgpu-stub 7
"""

PROPERTIES = {
    "VGPU_SESSION_IN_CONTEXT": ["context"],
    "VGPU_SESSION_GIVES_WORK": ["work"],
    "VGPU_SESSION_SLOW": ["slow"],
    "VGPU_SESSION_REPLIES_ONLY": ["reply"],
    "VGPU_SESSION_MORE": ["more"],
    "VGPU_SESSION_IF_CONTEXT": ["if-context"],
    "VGPU_SESSION_CONTEXT_WORK": ["context", "work"],
    "VGPU_SESSION_CONTEXT_ASK": ["context", "reply"],
}


def escaped(text):
    """A line of text that roff takes for nothing else."""
    text = text.replace("\\", "\\e")
    return "\\&" + text if text[:1] in (".", "'") else text


def comment_lines(comment):
    """The text of a comment, without its stars."""
    text = re.sub(r"^/\*+|\*+/$", "", comment.strip())
    return [re.sub(r"^\s*\* ?", "", line).rstrip() for line in text.splitlines()]


def paragraphs(lines):
    """Paragraphs, each a list of lines."""
    paragraph = []
    for line in lines + [""]:
        if line.strip():
            paragraph.append(line)
        elif paragraph:
            yield paragraph
            paragraph = []


def prose(comment):
    """A comment as mdoc. What is indented stays as it is."""
    blocks = []
    for lines in paragraphs(comment_lines(comment)):
        if all(line.startswith("  ") for line in lines):
            body = "\n".join(escaped(line.strip(" ")) for line in lines)
            blocks.append(f".Bd -literal -offset indent\n{body}\n.Ed")
        else:
            text = " ".join(line.strip() for line in lines)
            sentences = re.split(r"(?<=[.]) (?=[A-Z])", text)
            blocks.append("\n".join(escaped(sentence) for sentence in sentences))
    return "\n.Pp\n".join(blocks).replace(".Pp\n.Bd", ".Bd")


def literal(code):
    body = "\n".join(escaped(line) for line in code.strip().splitlines())
    return f".Bd -literal\n{body}\n.Ed"


def operations(header):
    """The rows of the table."""
    table = re.search(r"#define VGPU_SESSION_OPERATIONS\(X\)(.*?)\n\n", header, re.S).group(1)
    table = table.replace("\\\n", " ")
    for name, number, parameters, properties in re.findall(
            r"X\((\w+), (0x\w+), (\w+),\s*([^)]*)\)", table):
        words = []
        for macro in re.split(r"\s*\|\s*", properties.strip()):
            words += PROPERTIES[macro] if macro != "0" else []
        yield number, name, parameters, words


def structures(header):
    """What stands between the header's parts: comments, enumerations, structures, macros of numbers."""
    begin = header.index("/* What every record begins with")
    end = header.index("/* ---- Operations ---")
    pattern = re.compile(r"/\*.*?\*/|typedef struct \w+ \{.*?\n\} \w+;|enum \{.*?\n\};|#define [^\n]*", re.S)
    for match in pattern.finditer(header[begin:end]):
        text = match.group(0)
        if text.startswith("/* ----"):
            continue
        if text.startswith("/*"):
            yield (".Pp\n" + prose(text)).replace(".Pp\n.Bd", ".Bd")
        else:
            yield literal(text)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        header = file.read()
    opening = re.search(r"/\*\n \* A CUDA session.*?\*/", header, re.S).group(0)
    rows = list(operations(header))
    if len(rows) != header.count("\n    X("):
        sys.exit("an operation of the header has not been understood")
    parts = [HEAD + prose(opening), TABLE + "\n".join(
        f"{number}\t{name}\t{parameters}\tT{{\n{', '.join(words) or '-'}\nT}}"
        for number, name, parameters, words in rows) + "\n.TE"]
    parts.append(".Sh STRUCTURES\nNumbers are in the order of bytes of x86, little-endian.")
    parts += structures(header)
    area = re.search(r"typedef struct VGPUSessionHeader \{.*?\n\} VGPUSessionHeader;", header, re.S)
    reply = re.search(r"typedef struct VGPUSessionReply \{.*?\n\} VGPUSessionReply;", header, re.S)
    parts.append(".Ss The area's header and replies")
    parts += [literal(area.group(0)), literal(reply.group(0)), FOOT]
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        file.write("\n".join(parts))


main()
