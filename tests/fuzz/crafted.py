"""Files that somebody made to do harm, or that odd programs write."""

import gzip
import io
import struct
import zipfile
import zlib
from functools import cache

import numpy as np

from fuzz.sound import VALUES, Files, idx, models, saved


def header(shape: str, dtype: str = "'<f8'") -> bytes:
    """Return a .npy header that claims a shape."""
    text = f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text


def archive(names: dict[str, bytes], **options: object) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, **options) as out:  # type: ignore[arg-type]
        for name, content in names.items():
            out.writestr(name, content)
    return stream.getvalue()


def png(width: int, height: int, depth: int = 8, colour: int = 0, data: bytes = b"") -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@cache
def crafted_files() -> dict[str, Files]:
    """Return files that somebody made to do harm, or that odd programs write."""
    array = saved(np.save, VALUES)
    nested = b"(" * 5000 + b")" * 5000
    zeros, lines = gzip.compress(bytes(2**26)), gzip.compress(b"1,2\n" * 2**24)
    one_file = {
        # Arrays
        "huge.npy": header("(1000000000000, 1000)"),
        "endless.npy": header("(10000000000000000000000000000, 10)"),
        "empty but wide.npy": header("(0, 100000000000000000000)"),
        "negative.npy": header("(-6, -4)") + array[-192:],
        "no shape.npy": header("None"),
        "true shape.npy": header("(True, 24)") + array[-192:],
        "deep.npy": header(nested.decode()),
        "pickle.npy": header("(1,)", "'|O'") + b"cos\nsystem\n(S'true'\ntR.",
        "subarray.npy": header("(2,)", "('<f8', (1000000, 1000000))"),
        "void.npy": header("(1,)", "'|V2000000000'"),
        "date.npy": header("(1,)", "'<M8[D]'") + bytes(8),
        "long.npy": header("(1,)", "'<f16'") + bytes(16),
        "traversal.npz": archive({"../../etc/passwd.npy": array}),
        "absolute.npz": archive({"/etc/passwd.npy": array, "X.npy": array}),
        "twice.npz": archive({"X.npy": array, "X": array}),
        "bomb.npz": archive({"X.npy": header("(1048576, 16)") + bytes(2**27)}),
        "lying.npz": archive({"X.npy": header("(1000000000, 1000)") + bytes(64)}),
        "nothing.npz": archive({}),
        "wide-idx2-ubyte": struct.pack(">HBBII", 0, 8, 2, 2**32 - 1, 2**32 - 1),
        "deep-idx255-ubyte": struct.pack(">HBB", 0, 8, 255) + b"\xff" * 4 * 255,
        "none-idx0-ubyte": struct.pack(">HBB", 0, 8, 0) + b"\0",
        "bomb-idx2-ubyte.gz": gzip.compress(struct.pack(">HBBII", 0, 8, 2, 1, 1)) + zeros * 400,
        "honest-idx2-ubyte.gz": gzip.compress(struct.pack(">HBBII", 0, 8, 2, 2**18, 2**12))
        + zeros * 9,
        "two-idx2-ubyte.gz": gzip.compress(b"") + gzip.compress(idx(np.ones((2, 2), np.uint8))),
        # Tables
        "bomb.csv": lines * 16,
        "deflated.csv": zlib.compress(b"1,2\n" * 100),
        "zeros.csv": bytes(10_000),
        "wide.csv": b",".join(b"%d" % i for i in range(20_000)) + b"\n",
        "commas.csv": b"," * 200_000,
        "one field.csv": b"a\n" + b"1" * 300_000,
        "quote.csv": b'a,b\n1,2\n"3,4\n5,6\n',
        "quotes.csv": b'a,b\n"1""2",3\n',
        "old.csv": b"a,b\r1,2\r3,4\r",
        "mixed ends.csv": b"a,b\r1,2\n3,4\n",
        "ragged.csv": b"a,b\n1\n2,3,4\n",
        "short.csv": b"a,b\n1\n2\n",
        "formula.csv": b"a,b\n=1+1,@x\n",
        "thousands.csv": b'a,b\n"1,234.5","2,000"\n',
        "thousands;.csv": b"a;b\n1.234,5;2\n1.000;3\n",
        "commas;.csv": b"a;b\n1,5;2\n",
        "twice.csv": b"a,a\n1,2\n",
        "nameless.csv": b"a,,\n1,2,3\n",
        "duplicated.csv": b"a,a_duplicated_0,a\n1,2,3\n",
        "odd utf-16.csv": b"\xff\xfea\0,\0b",
        "half utf-16.csv": "a,b\n1,2\n".encode("utf-16")[:-1],
        "utf-32.csv": "a,b\n1,2\n".encode("utf-32"),
        "surrogate.csv": b"\xff\xfe\x00\xd8,\x00",
        "nul.csv": b"a,b\n1,\x002\n",
        "large.csv": b"a,b\n1e400,-1e400\n1e-400,1\n",
        "long.csv": b"a\n" + b"123456789" * 40 + b"\n",
        "blank.csv": b"\n\n \n",
        "mark.csv": b"\xef\xbb\xbf",
        "header.csv": b"a,b\n",
        "whole.csv": b"a\n99999999999999999999999999\n1\n",
        "true.csv": b"a,b\ntrue,1\nfalse,2\n",
        "times.csv": b"a\n2020-01-01\n12:30\n",
        "begins with quote.csv": b'"',
        "magic.parquet": b"PAR1PAR1",
        "footer.parquet": b"PAR1" + b"\xff" * 40 + struct.pack("<I", 2**31) + b"PAR1",
    }
    pictures = {
        "bomb.png": png(60_000, 60_000, data=zlib.compress(bytes(2**20), 9)),
        "large.png": png(12_000, 10_000, data=zlib.compress(bytes(12_001 * 10_000), 9)),
        "thin.png": png(2**31 - 1, 1, data=zlib.compress(bytes(2**20), 9)),
        "nothing.png": png(0, 0),
        "colour.png": png(4, 4, colour=7),
        "short.png": png(400, 400, data=zlib.compress(b"\0" * 10)),
        "bomb.bmp": b"BM"
        + struct.pack("<IIIIiiHH", 60, 0, 54, 40, 10**6, 10**6, 1, 24)
        + bytes(60),
        "loop.tif": b"II*\0\x08\0\0\0" + struct.pack("<H", 0) + struct.pack("<I", 8),
        "bomb.tif": _tiff({256: 10**6, 257: 10**6, 258: 8, 259: 1, 262: 1, 273: 8, 279: 10}),
        "tags.tif": b"II*\0\x08\0\0\0\xff\xff" + bytes(1000),
        "begins.gif": b"GIF89a" + b"\xff" * 20,
        "text.png": b"not a picture",
        "postscript.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
    }
    files = {name: {name: content} for name, content in one_file.items()}
    files |= {f"pictures/{name}": {name: content} for name, content in pictures.items()}
    return files | _crafted_models()


def _tiff(tags: dict[int, int]) -> bytes:
    lines = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + lines + bytes(4)


def _crafted_models() -> dict[str, Files]:
    sound = models()["autoencoder"]
    facts = {
        "none": b"null",
        "list": b"[1]",
        "deep": b"[" * 100_000,
        "number": b'{"format": 1e999}',
        "not text": b"\xff\xfe",
        "true": b'{"format": true, "checksum": null}',
    }
    weights = {
        "long header": struct.pack("<Q", 2**63) + b"{}",
        "huge": struct.pack("<Q", 100) + b'{"a":{"dtype":"F64","shape":[1000000000000],',
        "nothing": b"",
    }
    files = {f"model/facts {name}": {**sound, "config.json": x} for name, x in facts.items()}
    return files | {
        f"model/weights {name}": {**sound, "model.safetensors": content}
        for name, content in weights.items()
    }
