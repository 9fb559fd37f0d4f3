"""XML from somebody else: parsed without entities and only so deep that no later walk over it can run away."""

from __future__ import annotations

from xml.etree import ElementTree
from xml.parsers import expat

from graphpde.mesh.io.raw import Unreadable

DEPTH = 64  # levels of elements; honest mesh files have ten
_CHUNK = 1 << 14  # bytes in which the beginning is looked through


def parse(data: bytes) -> ElementTree.Element:
    """The root of an XML text.

    Raises:
        Unreadable: broken XML, a DOCTYPE, more than ``DEPTH`` levels.
    """
    _refuse_doctype(data)
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
