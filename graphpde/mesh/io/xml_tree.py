"""XML from somebody else: parsed without entities and only so deep that no later walk over it can run away."""

from __future__ import annotations

from xml.etree import ElementTree
from xml.parsers import expat

from graphpde.mesh.io.raw import Unreadable

DEPTH = 64  # levels of elements; honest mesh files have ten
_TAGS = 1 << 22  # tags; each element takes some 200 bytes once it is read
_CHUNK = 1 << 14  # bytes in which the beginning is looked through
_LONG = 1 << 12  # bytes of text from which it is worth while to keep it from the parser


def parse(data: bytes) -> ElementTree.Element:
    """The root of an XML text.

    Raises:
        Unreadable: broken XML, a DOCTYPE, more than ``DEPTH`` levels.
    """
    _refuse_doctype(data)
    if (tags := data.count(b"<")) > _TAGS:
        raise Unreadable(f"it has {tags} XML tags, which takes far more memory than its size")
    try:
        root = ElementTree.fromstring(data)
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise Unreadable(f"the XML is broken ({error}); the file seems to be cut off or damaged") from None
    open_ends = [(root, 1)]
    while open_ends:
        node, depth = open_ends.pop()
        if depth > DEPTH:
            raise Unreadable(f"its XML elements nest more than {DEPTH} levels deep")
        open_ends.extend((child, depth + 1) for child in node)
    return root


def without_texts(data: bytes, tag: bytes) -> tuple[bytes, dict[str, bytes]]:
    """The XML with each long text in an element ``tag`` replaced by a short mark, and the text behind each mark.

    A parser would hand over long lists of numbers line by line, which takes longer than reading the numbers. Only plain
    text between the two tags is taken out; it need not be looked at, as whoever asks for it decodes it strictly.
    """
    mark = b"@"
    while mark in data:
        mark += b"@"
    parts: list[bytes] = []
    texts: dict[str, bytes] = {}
    done, opening = 0, b"<" + tag
    start = data.find(opening)
    while start >= 0:
        begin = data.find(b">", start)
        while begin >= 0 and (data.count(b'"', start, begin) % 2 or data.count(b"'", start, begin) % 2):
            begin = data.find(b">", begin + 1)  # one in the value of an attribute
        stop = data.find(b"<", begin)
        if begin < 0 or stop < 0:
            break
        if stop - begin > _LONG and data.startswith(b"</" + tag, stop) and data[begin - 1 : begin] != b"/":
            name = mark + b"%d" % len(texts)
            texts[name.decode()] = data[begin + 1 : stop]
            parts += [data[done : begin + 1], name]
            done = stop
        start = data.find(opening, stop)
    return b"".join([*parts, data[done:]]), texts


def _refuse_doctype(data: bytes) -> None:
    """Look at what stands before the first element, the only place where entities can be defined.

    A parser of its own does so, as an encoding may hide the word from a search and as handlers in Python would slow
    down the parsing of long lists of numbers.
    """
    elements = []

    def refuse(*_: object) -> None:
        raise Unreadable("it holds a <!DOCTYPE declaration, which defines entities and has no use in a mesh file")

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = lambda name, _: elements.append(name)
    try:
        for start in range(0, len(data), _CHUNK):
            parser.Parse(data[start : start + _CHUNK], False)
            if elements:
                return
    except (expat.ExpatError, LookupError, ValueError) as error:
        if isinstance(error, Unreadable):
            raise
        return  # the parsing proper will say what is wrong
