"""Sound files of every form that is read."""

import gzip
import io
import struct
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from isthmus import Autoencoder, AutoencoderClassifier, BernoulliRBM

Files = dict[str, bytes]  # by name
VALUES = np.random.default_rng(0).random((6, 4))


@cache
def sound_files() -> dict[str, Files]:
    """Return sound files of every form that is read, by what they are called."""
    files = {name: {name: content} for name, content in {**arrays(), **tables()}.items()}
    files |= {f"pictures/{name}": {name: content} for name, content in pictures().items()}
    some = ("grey8.png", "grey.jpg", "grey8.tif")
    files["pictures/three"] = {name: pictures()[name] for name in some}
    return files | {f"model/{name}": model for name, model in models().items()}


def arrays() -> Files:
    whole = (VALUES * 255).astype(np.uint8)
    files = {
        "x.npy": saved(np.save, VALUES),
        "big.npy": saved(np.save, VALUES.astype(">f4")),
        "x.npz": saved(np.savez_compressed, X=VALUES, y=whole),
        "stored.npz": saved(np.savez, VALUES),
        "x-idx2-ubyte": idx(whole),
        "floats.idx": idx(VALUES.astype(">f8")),
    }
    return files | {"x-idx2-ubyte.gz": gzip.compress(files["x-idx2-ubyte"])}


def saved(save: Callable[..., None], *given: np.ndarray, **named: np.ndarray) -> bytes:
    stream = io.BytesIO()
    save(stream, *given, **named)
    return stream.getvalue()


def idx(values: np.ndarray) -> bytes:
    code = {"u1": 0x08, "f8": 0x0E}[values.dtype.str[1:]]
    head = struct.pack(">HBB", 0, code, values.ndim)
    return head + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def tables() -> Files:
    frame = pl.DataFrame(VALUES, schema=["a", "b", "c d", "e"])
    mixed = frame.with_columns(
        pl.Series("e", ["red", "blue", None, "red", "x", "y"]),
        pl.Series("truth", [True, None] * 3),
        pl.Series("whole", range(6)),
    )
    text = frame.write_csv()
    files = {
        "x.csv": text.encode(),
        "words.csv": mixed.write_csv().encode(),
        "semicolons.csv": frame.write_csv(separator=";", decimal_comma=True).encode(),
        "quoted.csv": frame.write_csv(quote_style="always").encode(),
        "wide.csv": text.encode("utf-16"),
        "latin.csv": text.replace("a", "größe").encode("latin-1"),
        "marked.csv": text.encode("utf-8-sig"),
        "x.tsv": frame.write_csv(separator="\t").encode(),
    }
    for compression in ("uncompressed", "snappy", "zstd", "gzip"):
        stream = io.BytesIO()
        mixed.write_parquet(stream, compression=compression, row_group_size=4)
        files[f"{compression}.parquet"] = stream.getvalue()
    return files


def pictures() -> Files:
    grey = np.arange(96, dtype=np.uint8).reshape(8, 12) * 2
    colour, deep = (
        np.dstack([grey, grey.T.reshape(8, 12), 255 - grey]),
        grey.astype(np.uint16) * 257,
    )
    clear = np.dstack([colour, grey])
    palette = Image.fromarray(colour).convert("P")
    films = [Image.fromarray(grey), Image.fromarray(255 - grey)]
    files = {
        "grey8.png": drawn(grey, "png"),
        "grey16.png": drawn(deep, "png"),
        "clear.png": drawn(clear, "png"),
        "palette.png": drawn(palette, "png", transparency=0),
        "laced.png": drawn(colour, "png", dpi=(72, 72)),
        "grey.jpg": drawn(grey, "jpeg"),
        "colour.jpg": drawn(colour, "jpeg", progressive=True, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0"),
        "cmyk.jpg": drawn(Image.fromarray(colour).convert("CMYK"), "jpeg"),
        "colour.bmp": drawn(colour, "bmp"),
        "palette.bmp": drawn(palette, "bmp"),
        "grey8.tif": drawn(grey, "tiff"),
        "grey16.tif": drawn(deep, "tiff"),
        "floats.tif": drawn(VALUES.astype(np.float32), "tiff"),
        "pages.tif": drawn(films[0], "tiff", save_all=True, append_images=films[1:]),
        "colour.webp": drawn(colour, "webp"),
        "lossless.webp": drawn(clear, "webp", lossless=True),
        "film.webp": drawn(films[0], "webp", save_all=True, append_images=films[1:]),
        "film.gif": drawn(films[0], "gif", save_all=True, append_images=films[1:]),
    }
    for squeezed in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        files[f"{squeezed}.tif"] = drawn(colour, "tiff", compression=squeezed)
    return files


def drawn(picture: np.ndarray | Image.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(stream, form, **options)
    return stream.getvalue()


@cache
def models() -> dict[str, Files]:
    short = {"hidden": (3,), "max_epochs": 1, "random_state": 0}
    labels = np.arange(6) % 2
    fitted = {
        "autoencoder": Autoencoder(2, **short).fit(VALUES),
        "machine": BernoulliRBM(2, n_iter=1, random_state=0).fit(VALUES),
        "classifier": AutoencoderClassifier(
            Autoencoder(2, **short), max_epochs=1, random_state=0
        ).fit(VALUES, labels),
    }
    files = {}
    for name, model in fitted.items():
        with tempfile.TemporaryDirectory() as folder:
            model.save(f"{folder}/model")
            written = sorted(Path(folder, "model").iterdir())
            files[name] = {path.name: path.read_bytes() for path in written}
    return files
