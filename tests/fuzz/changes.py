"""What is done to files that were sound."""

from collections.abc import Callable

import numpy as np

Change = Callable[[bytes, np.random.Generator], bytes]
SILLY = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
WORDS = (
    b"\0",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b'"',
    b"\r",
    b"\n\n",
    b",",
    b";",
    b"\t",
    b"nan",
    b"1e999",
)
WORDS += (b"-", b"=1+1", b"'", b"\\", b"\xe9", b"\xf0\x9f\x90\x9c", b"1,234.5", b"1_0", b"(", b"%s")


def flip(content: bytes, generator: np.random.Generator) -> bytes:
    out = bytearray(content)
    for _ in range(int(generator.integers(1, 9))):
        if out:
            out[int(generator.integers(len(out)))] ^= 1 << int(generator.integers(8))
    return bytes(out)


def flip_near_ends(content: bytes, generator: np.random.Generator) -> bytes:
    """Flip bits where headers, footers and directories stand."""
    head = 64 if generator.random() < 0.5 else 0
    cut = min(len(content), head) or max(0, len(content) - 200)
    first, last = content[:cut], content[cut:]
    return (flip(first, generator) + last) if head else (first + flip(last, generator))


def truncate(content: bytes, generator: np.random.Generator) -> bytes:
    return content[: int(generator.integers(len(content) + 1))]


def cut_out(content: bytes, generator: np.random.Generator) -> bytes:
    start, stop = sorted(generator.integers(len(content) + 1, size=2).tolist())
    return content[:start] + content[stop:]


def repeat(content: bytes, generator: np.random.Generator) -> bytes:
    start, stop = sorted(generator.integers(len(content) + 1, size=2).tolist())
    return content[:stop] + content[start:stop] * int(generator.integers(1, 20)) + content[stop:]


def put_number(content: bytes, generator: np.random.Generator) -> bytes:
    """Write a silly number of one to eight bytes somewhere."""
    size = int(generator.choice([1, 2, 4, 8]))
    order = str(generator.choice(["little", "big"]))
    number = int(SILLY[generator.integers(len(SILLY))]) % 2 ** (8 * size)
    at = int(generator.integers(min(len(content), 200) + 1))
    if generator.random() < 0.3:
        at = max(0, len(content) - at)
    written = number.to_bytes(size, order)  # type: ignore[arg-type]
    return content[:at] + written + content[at + size :]


def insert(content: bytes, generator: np.random.Generator) -> bytes:
    at, word = int(generator.integers(len(content) + 1)), WORDS[generator.integers(len(WORDS))]
    return content[:at] + word * int(generator.choice([1, 1, 1, 2, 1000])) + content[at:]


def overwrite(content: bytes, generator: np.random.Generator) -> bytes:
    start, stop = sorted(generator.integers(len(content) + 1, size=2).tolist())
    return content[:start] + generator.bytes(stop - start) + content[stop:]


def more_digits(content: bytes, generator: np.random.Generator) -> bytes:
    """Put zeros behind a digit: shapes and lengths that are written out."""
    places = [i for i, byte in enumerate(content[:400]) if chr(byte).isdigit()]
    if not places:
        return flip(content, generator)
    at = places[int(generator.integers(len(places)))] + 1
    return content[:at] + b"0" * int(generator.choice([1, 5, 12, 40])) + content[at:]


CHANGES: dict[str, Change] = {
    "flipped": flip,
    "flipped near its ends": flip_near_ends,
    "truncated": truncate,
    "cut out": cut_out,
    "repeated": repeat,
    "with a silly number": put_number,
    "with a word": insert,
    "overwritten": overwrite,
    "with more digits": more_digits,
}
