"""Numbers in VTK's XML files: text, base64 or raw bytes, plain or in compressed blocks, inline or appended.

A compressed array is a header (number of blocks, block size, size of the last block, compressed sizes) and the blocks;
a plain one is its length in bytes and the bytes. Inside base64 the header of a compressed array is its own stream.

Source: VTK file formats, "XML file formats"; VTK wiki, "VTK XML Formats".
"""

from __future__ import annotations

import base64
import binascii
import lzma
import zlib

import numpy as np

from graphpde.mesh.io.raw import Unreadable, numbers

TYPES = {
    f"{name}{8 * size}": f"{letter}{size}"
    for name, letter, sizes in (("Int", "i", (1, 2, 4, 8)), ("UInt", "u", (1, 2, 4, 8)), ("Float", "f", (4, 8)))
    for size in sizes
}
BLOCK = 1 << 20  # bytes per compressed block on writing; readers take any
_SMALL, _TIMES = 1 << 26, 64  # bytes that all arrays of a file may expand to, or for each byte of the file
# the most that each can make of a byte
_RATIO = {"vtkZLibDataCompressor": 1032, "vtkLZ4DataCompressor": 255, "vtkLZMADataCompressor": 10000}


class Codec:
    """How one file stores its arrays.

    Args:
        order: "<" or ">". header: NumPy type of the header words. compressor: VTK's name or None.
        size: bytes of the file, which bound what its compressed arrays may expand to.
    """

    def __init__(self, order: str, header: str, compressor: str | None, size: int = 0):
        if compressor and compressor not in _RATIO:
            raise Unreadable(f"compression by {compressor} is not one of {', '.join(_RATIO)}; save it with zlib")
        self.left = max(_SMALL, _TIMES * size)
        self.order, self.word, self.compressor = order, np.dtype(order + header), compressor or ""

    def text(self, text: bytes, kind: str, what: str) -> np.ndarray:
        return numbers(text, np.dtype(TYPES[kind]), what)

    def base64(self, text: bytes, kind: str, what: str) -> np.ndarray:
        """Inline or appended base64: one or two streams, each with its own padding."""
        text = text.translate(None, b" \t\r\n")
        parts, start = [], 0
        try:
            while (padding := text.find(b"=", start)) >= 0:
                stop = padding + 2 if text[padding + 1 : padding + 2] == b"=" else padding + 1
                parts.append(binascii.a2b_base64(text[start:stop], strict_mode=True))
                start = stop
            parts.append(binascii.a2b_base64(text[start : start + (len(text) - start) // 4 * 4]))
        except binascii.Error:
            raise Unreadable(f"{what} is not valid base64") from None
        return self.raw(b"".join(parts), kind, what)

    def raw(self, data: bytes, kind: str, what: str) -> np.ndarray:
        """Raw bytes beginning with the header; what follows the array is ignored."""
        data = self._expand(data, what) if self.compressor else self._plain(data, what)
        item = np.dtype(self.order + TYPES[kind])
        if len(data) % item.itemsize:
            raise Unreadable(f"{what} has {len(data)} bytes, which is no multiple of {item.itemsize}")
        out = np.frombuffer(data, item)
        return out.astype(item.newbyteorder("="))

    def _plain(self, data: bytes, what: str) -> bytes:
        size = self.word.itemsize
        if not data:
            return b""
        length = int(np.frombuffer(data, self.word, 1)[0]) if len(data) >= size else -1
        if not 0 <= length <= len(data) - size:
            raise Unreadable(f"{what} declares more bytes than the file holds; it seems to be cut off")
        return data[size : size + length]

    def _expand(self, data: bytes, what: str) -> bytes:
        size = self.word.itemsize
        cut = Unreadable(f"{what} declares more bytes than the file holds; it seems to be cut off")
        if len(data) < size:
            return b""
        count = int(np.frombuffer(data, self.word, 1)[0])
        if not 0 <= count <= len(data) // size or (count and len(data) < (3 + count) * size):
            raise cut
        if count == 0:
            return b""
        head = np.frombuffer(data, self.word, 3 + count).astype(object)
        full, last, lengths = int(head[1]), int(head[2]), [int(n) for n in head[3:]]
        position, out = (3 + count) * size, []
        if position + sum(lengths) > len(data):
            raise cut
        sizes = [full] * (count - 1) + [last or full]
        for expected, length in zip(sizes, lengths):
            if expected > _RATIO[self.compressor] * length + 1024:
                raise Unreadable(f"{what} declares {expected} bytes for a block of {length}, which cannot be")
        self.left -= sum(sizes)
        if self.left < 0:
            raise Unreadable(f"{what} and those before it expand to far more than a file of this size should hold")
        for expected, length in zip(sizes, lengths):
            out.append(self._block(data[position : position + length], expected, what))
            position += length
        return b"".join(out)

    def _block(self, data: bytes, expected: int, what: str) -> bytes:
        try:
            if self.compressor == "vtkZLibDataCompressor":
                block = zlib.decompressobj().decompress(data, expected + 1)
            elif self.compressor == "vtkLZMADataCompressor":
                block = lzma.LZMADecompressor().decompress(data, expected + 1)
            else:
                block = _lz4(data, expected)
        except (zlib.error, lzma.LZMAError, EOFError):
            raise Unreadable(f"a compressed block of {what} is damaged") from None
        if len(block) != expected:
            raise Unreadable(f"a compressed block of {what} has {len(block)} bytes or more, expected {expected}")
        return block


def _lz4(data: bytes, expected: int) -> bytes:
    import lz4.block

    try:
        return lz4.block.decompress(data, uncompressed_size=expected)
    except lz4.block.LZ4BlockError:
        raise EOFError from None


def encode(values: np.ndarray) -> bytes:
    """An array as zlib-compressed base64 with 64-bit headers, the inline form of the writer."""
    data = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<")).tobytes()
    blocks = [zlib.compress(data[start : start + BLOCK], 1) for start in range(0, len(data), BLOCK)]
    last = len(data) % BLOCK
    header = np.array([len(blocks), BLOCK, last, *map(len, blocks)], dtype="<u8").tobytes()
    return base64.b64encode(header) + base64.b64encode(b"".join(blocks))
