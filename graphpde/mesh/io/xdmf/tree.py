"""The light part of an XDMF file: its XML with references and inclusions followed, inside the one file only.

Steps of a time series borrow their mesh by ``xi:include``, items by ``Reference``; both name elements of the same file
by a small part of XPath or by child numbers, ``element(/1/1/2)``. Searching is counted, so that a short hostile file
cannot ask for endless work.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

from graphpde.mesh.io.raw import Unreadable
from graphpde.mesh.io.xml_tree import parse, without_texts

Element = ElementTree.Element

_STEP = re.compile(r"(//?)([\w.*-]+)((?:\[[^\]]*\])*)")
_SELF = re.compile(r"self::([\w.-]+)")
_EQUAL = re.compile(r"@([\w.-]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')\s*$")
_HOPS = 16  # references from one to the next
_WORK = 4_000_000  # elements that all searches together may look at


class Tree:
    """An XDMF file's elements.

    Args:
        data: the whole file.

    Raises:
        Unreadable: broken XML, or no XDMF.
    """

    def __init__(self, data: bytes):
        data, self._texts = without_texts(data, b"DataItem")
        self.root = parse(data)
        for node in self.root.iter():
            node.tag = node.tag.rpartition("}")[2]
        if self.root.tag != "Xdmf":
            raise Unreadable(f"it holds <{self.root.tag}>, expected <Xdmf>")
        self._document = Element("document")
        self._document.append(self.root)
        self._found: dict[str, list[Element]] = {}
        self._work = 0

    def children(self, node: Element, tag: str) -> list[Element]:
        """The children of that tag, inclusions and references replaced by what they name.

        Raises:
            Unreadable: one names another file, or nothing.
        """
        self._count(len(node))
        out = []
        for child in node:
            if child.tag == tag:
                out.append(self.resolve(child))
            elif child.tag == "include":
                out += [self.resolve(found) for found in self._included(child) if found.tag == tag]
        return out

    def child(self, node: Element, tag: str) -> Element | None:
        """The first of ``children``."""
        return next(iter(self.children(node, tag)), None)

    def numbers_of(self, item: Element) -> bytes:
        """The text of a data item."""
        text = item.text or ""
        return self._texts[text] if text in self._texts else text.encode("utf-8", "replace")

    def resolve(self, node: Element) -> Element:
        """The element that a ``Reference`` leads to, or the element itself.

        Raises:
            Unreadable: it leads nowhere, in a circle, or to an element of another tag.
        """
        here = node
        for _ in range(_HOPS):
            path = here.get("Reference")
            if path is None:
                return here
            path = " ".join((here.text or "").split()) if path.upper() == "XML" else path
            found = self.find(path)
            if not found or found[0].tag != node.tag:
                raise Unreadable(f"a {node.tag} refers to '{path[:80]}', where there is none")
            here = found[0]
        raise Unreadable(f"a {node.tag} is a chain of more than {_HOPS} references")

    def find(self, path: str) -> list[Element]:
        """Elements by XPath, in the order of the file.

        Raises:
            Unreadable: a path beyond the part of XPath that is known here, or too long a search.
        """
        if path not in self._found:
            self._found[path] = self._search(path)
        return self._found[path]

    def _included(self, node: Element) -> list[Element]:
        if node.get("href"):
            raise Unreadable(f"it includes another file ('{node.get('href', '')[:60]}'), which is not allowed")
        path = node.get("xpointer", "")
        match = re.fullmatch(r"\s*(xpointer|element)\s*\((.*)\)\s*", path, re.DOTALL)
        numbered = match is not None and match[1] == "element"
        path = match[2] if match else path
        found = self._numbered(path) if numbered else self.find(path)
        if not found:
            raise Unreadable(f"it includes '{path[:80]}', where there is nothing")
        return found

    def _numbered(self, path: str) -> list[Element]:
        """The element at these child numbers, counted from 1."""
        if not re.fullmatch(r"(/[0-9]{1,9})+", path):
            raise Unreadable(f"the reference 'element({path[:60]})' is not understood")
        node = self._document
        for number in path[1:].split("/"):
            if not 1 <= int(number) <= len(node):
                return []
            node = node[int(number) - 1]
        return [node]

    def _search(self, path: str) -> list[Element]:
        position, nodes = 0, [self._document]
        text = path.strip()
        while position < len(text):
            step = _STEP.match(text, position)
            if step is None:
                raise Unreadable(f"the reference '{path[:80]}' is not understood")
            position = step.end()
            found: dict[int, Element] = {}
            for node in nodes:
                for parent in node.iter() if step[1] == "//" else (node,):
                    for child in self._matching(parent, step[2], step[3], path):
                        found[id(child)] = child
            nodes = list(found.values())
        return nodes if position else []

    def _matching(self, parent: Element, name: str, predicates: str, path: str) -> list[Element]:
        self._count(1 + len(parent))
        children = [child for child in parent if name in ("*", child.tag)]
        for predicate in re.findall(r"\[([^\]]*)\]", predicates):
            condition = predicate.strip()
            equal = _EQUAL.match(condition)
            if equal:
                value = equal[2] if equal[2] is not None else equal[3]
                children = [child for child in children if child.get(equal[1]) == value]
            elif re.fullmatch(r"[0-9]{1,9}", condition):
                children = children[int(condition) - 1 : int(condition)] if int(condition) else []
            elif condition == "last()":
                children = children[-1:]
            elif all(_SELF.fullmatch(part.strip()) for part in condition.split(" or ")):
                names = _SELF.findall(condition)
                children = [child for child in children if child.tag in names]
            else:
                raise Unreadable(f"the reference '{path[:80]}' is not understood")
        return children

    def _count(self, looked_at: int) -> None:
        self._work += looked_at
        if self._work > _WORK:
            raise Unreadable("its references ask for an endless search")
