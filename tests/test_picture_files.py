"""One picture, read and written back: pixels, depth, colours, and all else that its file tells."""

import io
import os
import re
import struct
import subprocess
import sys
import tempfile
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, TiffImagePlugin

from isthmus.data.damage import quietly
from isthmus.data.picture_files import read_picture, write_picture
from isthmus.errors import DataError, FileError, MissingDependencyError

H, W = 21, 34
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><b>hello</b></x:xmpmeta>'
SHAPES = {"L": (H, W), "LA": (H, W, 2), "RGB": (H, W, 3), "RGBA": (H, W, 4)}
CUT_OFF = "it may be cut off or altered, so copy or write it again."


def noise(mode, dtype=np.uint8, seed=0):
    rng = np.random.default_rng(seed)
    if dtype == np.float32:
        return rng.random(SHAPES[mode], np.float32)
    return rng.integers(0, np.iinfo(dtype).max, SHAPES[mode], dtype, endpoint=True)


def smooth(mode):
    """Return what JPEG and lossy WEBP keep well."""
    y, x = np.mgrid[:H, :W]
    channels = [128 + 90 * np.sin(x / (5 + i) + y / 9) for i in range(4)]
    return np.squeeze(np.dstack(channels[: len(mode)])).astype(np.uint8)


def whole(text):
    return f"^{re.escape(text)}$"


def copied(path):
    """Read a picture and write it as it is; return where."""
    out = path.parent / "out" / path.name
    write_picture(out, read_picture(path))
    return out


def exif():
    """Return what a camera tells: a picture that lies on its side, by whom, when, where."""
    tags = Image.Exif()
    tags[0x0112], tags[0x010F], tags[0x9C9B] = 6, "A camera", b"t\0i\0t\0l\0e\0\0\0"
    tags.get_ifd(0x8769).update({0x829A: TiffImagePlugin.IFDRational(1, 250), 0x9000: b"0232"})
    tags.get_ifd(0x8769)[0xA005] = {1: "R98"}
    tags.get_ifd(0x8825).update({1: "N", 2: (59.0, 54.0, 30.5)})
    tags[0x8769], tags[0x8825] = tags.get_ifd(0x8769), tags.get_ifd(0x8825)
    return tags


def told(path):
    """Return the EXIF of a file as plain values, directories within it too."""
    with Image.open(path) as picture:
        tags = picture.getexif()
        inner = {ifd: dict(tags.get_ifd(ifd)) for ifd in (0x8769, 0x8825, 0xA005)}
        inner[0x8769].pop(0xA005)  # where the next begins
        return {tag: tags[tag] for tag in (0x0112, 0x010F, 0x9C9B)}, inner


# PNG by hand: Pillow neither writes nor reads 16 bits in colour


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(pixels, *chunks, interlaced=False, depth=None, end=True):
    depth = depth or 8 * pixels.itemsize
    shape = pixels.shape[1] if depth >= 8 else pixels.shape[1] * 8 // depth, pixels.shape[0]
    colours = {1: 0, 2: 4, 3: 2, 4: 6}[pixels[0, 0].size]
    stored = pixels.astype(pixels.dtype.newbyteorder(">"))
    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2)]
        passes += [(0, 1, 2, 2), (1, 0, 2, 1)]
    rows = [row for y, x, dy, dx in passes for row in stored[y::dy, x::dx]]
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    head = struct.pack(">IIBBBBB", *shape, depth, colours, 0, 0, interlaced)
    body = [chunk(b"IHDR", head), *chunks, chunk(b"IDAT", zlib.compress(raw))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body) + (chunk(b"IEND", b"") if end else b"")


def chunks_of(path):
    """Return the kinds and data of a PNG file's chunks; their checksums are right."""
    content, at, found = path.read_bytes(), 8, []
    while at < len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        data = content[at + 8 : at + 8 + length]
        assert content[at : at + 12 + length] == chunk(kind, data)
        found.append((kind, data))
        at += 12 + length
    return found


def paeth(left, up, corner):
    near = [abs(left + up - corner - each) for each in (left, up, corner)]
    return (left, up, corner)[near.index(min(near))]


def pixels_of_png(path):
    """Decode as the specification says (W3C PNG, section 9)."""
    chunks = chunks_of(path)
    width, height, depth, colours = struct.unpack_from(">IIBB", dict(chunks)[b"IHDR"])
    n_bytes = {0: 1, 4: 2, 2: 3, 6: 4}[colours] * depth // 8
    data = zlib.decompress(b"".join(data for kind, data in chunks if kind == b"IDAT"))
    up, rows = [0] * width * n_bytes, []
    for y in range(height):
        kind, *row = data[y * (width * n_bytes + 1) :][: width * n_bytes + 1]
        for i in range(len(row)):
            left, corner = (row[i - n_bytes], up[i - n_bytes]) if i >= n_bytes else (0, 0)
            guess = (0, left, up[i], (left + up[i]) // 2, paeth(left, up[i], corner))[kind]
            row[i] = (row[i] + guess) % 256
        rows, up = [*rows, bytes(row)], row
    values = np.frombuffer(b"".join(rows), f">u{depth // 8}").reshape(height, width, -1)
    return values[..., 0] if values.shape[2] == 1 else values


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("mode", SHAPES)
def test_png_comes_back_bit_for_bit(tmp_path, mode, dtype, interlaced):
    pixels = noise(mode, dtype)
    (path := tmp_path / "a.png").write_bytes(png_of(pixels, interlaced=interlaced))
    picture = read_picture(path)
    colours = pixels if mode == "L" else pixels[..., 0] if mode == "LA" else pixels[..., :3]
    np.testing.assert_array_equal(picture.pixels, colours)
    assert picture.pixels.dtype == dtype
    assert (picture.alpha is None) == ("A" not in mode)
    back = pixels_of_png(copied(path))
    np.testing.assert_array_equal(back, pixels)
    assert back.itemsize == np.dtype(dtype).itemsize


def test_png_keeps_all_that_is_no_pixel(tmp_path):
    kept = [
        (b"gAMA", struct.pack(">I", 45455)),
        (b"cHRM", struct.pack(">8I", *range(30000, 30008))),
        (b"iCCP", b"name\0\0" + zlib.compress(ICC)),
        (b"cICP", bytes([9, 16, 0, 1])),
        (b"pHYs", struct.pack(">IIB", 2835, 1417, 1)),
        (b"eXIf", exif().tobytes()[6:]),
        (b"tEXt", b"Author\0me"),
        (b"tEXt", b"Title\0hers"),
        (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP),
    ]
    gone = [chunk(b"bKGD", bytes(6)), chunk(b"tIME", bytes(7))]
    kept_first = [chunk(*each) for each in kept]
    (path := tmp_path / "a.png").write_bytes(png_of(noise("RGB"), *kept_first, *gone))
    kinds = [each for each in chunks_of(copied(path)) if each[0] not in (b"IDAT", b"IEND")]
    assert kinds[1:] == kept


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_png_with_one_clear_colour_gets_transparency(tmp_path, mode, dtype):
    pixels = noise(mode, dtype)
    clear = np.asarray(pixels[3, 5], ">u2")
    path = tmp_path / "a.png"
    path.write_bytes(png_of(pixels, chunk(b"tRNS", clear.tobytes())))
    same = (pixels == pixels[3, 5]).reshape(H, W, -1).all(-1)
    back = pixels_of_png(copied(path))
    np.testing.assert_array_equal(back[..., -1], np.where(same, 0, np.iinfo(dtype).max))
    np.testing.assert_array_equal(np.squeeze(back[..., :-1]), pixels)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_png_of_few_bits_gets_eight(tmp_path, depth):
    packed = noise("L")
    (path := tmp_path / "a.png").write_bytes(png_of(packed, depth=depth))
    bits = np.unpackbits(packed, axis=1).reshape(H, -1, depth)
    levels = bits @ (1 << np.arange(depth)[::-1])
    wanted = levels * 255 // (2**depth - 1)
    np.testing.assert_array_equal(pixels_of_png(copied(path)), wanted)


@pytest.mark.parametrize("form", ["png", "tif", "bmp"])
@pytest.mark.parametrize("clear", [False, True])
def test_palette_becomes_colour(tmp_path, form, clear):
    palette = Image.fromarray(noise("RGB")).quantize(50)
    options = {"transparency": bytes([0, 128])} if clear and form == "png" else {}
    palette.save(path := tmp_path / f"a.{form}", **options)
    with Image.open(path) as picture:
        wanted = np.asarray(picture.convert("RGBA" if options else "RGB"))
    with Image.open(copied(path)) as back:
        assert back.mode == ("RGBA" if options else "RGB")
        np.testing.assert_array_equal(np.asarray(back), wanted)


@pytest.mark.parametrize("form", ["png", "tif", "bmp"])
def test_black_and_white_becomes_grey(tmp_path, form):
    pixels = noise("L") > 128
    Image.fromarray(pixels).save(path := tmp_path / f"a.{form}")
    with Image.open(copied(path)) as back:
        assert back.mode == "L"
        np.testing.assert_array_equal(np.asarray(back), 255 * pixels)


# TIFF


def write_tiff(path, pixels, order="<", big=False, **options):
    with tifffile.TiffWriter(path, byteorder=order, bigtiff=big) as tiff:
        tiff.write(pixels, metadata=None, **options)


def photometric(mode):
    alpha = {"extrasamples": ["unassalpha"]} if "A" in mode else {}
    return {"photometric": "rgb" if "RGB" in mode else "minisblack", **alpha}


@pytest.mark.parametrize("compression", [None, "lzw", "zlib"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("mode", SHAPES)
def test_tiff_comes_back_bit_for_bit(tmp_path, mode, dtype, compression):
    pixels = noise(mode, dtype)
    path = tmp_path / "a.tif"
    write_tiff(path, pixels, compression=compression, **photometric(mode))
    with tifffile.TiffFile(copied(path)) as back:
        page = back.pages.first
        np.testing.assert_array_equal(page.asarray(), pixels)
        assert page.dtype == dtype
        assert page.photometric.name == ("RGB" if "RGB" in mode else "MINISBLACK")
        assert tuple(page.extrasamples) == ((2,) if "A" in mode else ())
        assert (page.compression == 1) == (compression is None)
        assert len(back.pages) == 1


@pytest.mark.parametrize(
    "stored",
    [
        {"order": ">"},
        {"big": True},
        {"order": ">", "big": True, "compression": "zlib", "predictor": True},
        {"planarconfig": "separate"},
        {"tile": (16, 16), "compression": "lzw"},
        {"rowsperstrip": 2, "order": ">"},
    ],
    ids=str,
)
def test_tiff_is_read_however_its_pixels_are_stored(tmp_path, stored):
    pixels = noise("RGB", np.uint16)
    given = np.moveaxis(pixels, 2, 0) if "planarconfig" in stored else pixels
    write_tiff(path := tmp_path / "a.tif", given, photometric="rgb", **stored)
    np.testing.assert_array_equal(read_picture(path).pixels, pixels)
    with tifffile.TiffFile(copied(path)) as back:
        np.testing.assert_array_equal(back.asarray(), pixels)
        assert (back.byteorder, back.is_bigtiff) == (
            stored.get("order", "<"),
            stored.get("big", False),
        )


def test_tiff_of_many_strips_comes_back_bit_for_bit(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 65536, (900, 700, 3), np.uint16)
    for name, compression in (("a.tif", None), ("b.tif", "zlib")):
        write_tiff(tmp_path / name, pixels, photometric="rgb", compression=compression)
        with tifffile.TiffFile(copied(tmp_path / name)) as back:
            np.testing.assert_array_equal(back.asarray(), pixels)
            assert len(back.pages.first.dataoffsets) > 1


@pytest.mark.parametrize("compression", ["group4", "packbits", "jpeg", "zstd", "lzma"])
def test_tiff_is_unpacked_as_pillow_unpacks_it(tmp_path, compression):
    pixels = smooth("L") > 128 if compression == "group4" else smooth("RGB")
    Image.fromarray(pixels).save(path := tmp_path / "a.tif", compression=compression)
    with Image.open(path) as there, Image.open(copied(path)) as back:
        wanted = there.convert("L" if compression == "group4" else "RGB")
        np.testing.assert_array_equal(np.asarray(back), np.asarray(wanted))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiff_whose_white_is_zero_is_read_as_light(tmp_path, dtype):
    pixels = noise("L", dtype)
    write_tiff(path := tmp_path / "a.tif", pixels, photometric="miniswhite")
    light = np.iinfo(dtype).max - pixels
    np.testing.assert_array_equal(read_picture(path).pixels, light)
    with tifffile.TiffFile(copied(path)) as back:
        assert back.pages.first.photometric.name == "MINISBLACK"
        np.testing.assert_array_equal(back.asarray(), light)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("big", [False, True])
def test_tiff_keeps_every_tag_with_its_type(tmp_path, order, big):
    tags = [
        (65000, 2, 6, "hello", True),
        (65001, 3, 3, (1, 2, 3), True),
        (65002, 12, 2, (0.1, 0.2), True),
        (65003, 10, 1, (-1, 3), True),
        (65004, 7, 4, b"\0\1\2\3", True),
        (34675, 7, len(ICC), ICC, True),
        (700, 1, len(XMP), XMP, True),
        (274, 3, 1, 8, True),
    ]
    options = {"resolution": (300, 200), "description": "a lake", "software": "mine"}
    path = tmp_path / "a.tif"
    write_tiff(path, noise("RGB", np.uint16), order, big, extratags=tags, **options)

    def values(file):
        with tifffile.TiffFile(file) as tiff:
            found = tiff.pages.first.tags
            return {tag.code: (tag.dtype, tag.count, tag.value) for tag in found}

    there, back = values(path), values(copied(path))
    assert {tag[0] for tag in tags} < there.keys()
    stored = {256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 317, 339}
    assert {code: back.get(code) for code in there.keys() - stored} == {
        code: there[code] for code in there.keys() - stored
    }
    assert back.keys() - there.keys() <= stored


def test_tiff_leaves_out_photoshops_layers_and_thumbnails(tmp_path):
    pixels = noise("RGB")
    with tifffile.TiffWriter(path := tmp_path / "a.tif") as tiff:
        layers = (37724, 7, 9, b"old layer", True)
        tiff.write(pixels, metadata=None, photometric="rgb", subifds=1, extratags=[layers])
        tiff.write(pixels[::4, ::4], metadata=None, photometric="rgb", subfiletype=1)
        tiff.write(pixels[::2, ::2], metadata=None, photometric="rgb", subfiletype=1)
    with tifffile.TiffFile(copied(path)) as back:
        assert len(back.pages) == 1
        assert not {330, 37724} & {tag.code for tag in back.pages.first.tags}
        np.testing.assert_array_equal(back.asarray(), pixels)


# JPEG, WEBP, BMP


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("sampling", [0, 1, 2])
@pytest.mark.parametrize("quality", [40, 92])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_keeps_its_quality_and_hardly_changes(tmp_path, mode, quality, sampling, progressive):
    path = tmp_path / "a.jpg"
    options = {"quality": quality, "subsampling": sampling, "progressive": progressive}
    Image.fromarray(smooth(mode)).save(path, **options)
    with Image.open(path) as there, Image.open(copied(path)) as back:
        assert (back.format, back.mode, back.size) == ("JPEG", mode, (W, H))
        assert back.quantization == there.quantization
        assert mode == "L" or back.layer == there.layer
        assert back.info.get("progressive") == there.info.get("progressive")
        before, after = np.asarray(there, np.int16), np.asarray(back, np.int16)
    assert np.abs(after - before).mean() < 1


def test_jpeg_keeps_all_that_is_no_pixel(tmp_path):
    written = io.BytesIO()
    options = {"exif": exif(), "icc_profile": ICC, "xmp": XMP, "comment": b"mine"}
    Image.fromarray(smooth("RGB")).save(written, "JPEG", dpi=(300, 200), **options)
    iptc = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0\0\0\0\x0a\x1c\2\x78\0\5title"
    content = written.getvalue()
    iptc = b"\xff\xed" + struct.pack(">H", len(iptc) + 2) + iptc
    (path := tmp_path / "a.jpg").write_bytes(content[:20] + iptc + content[20:])
    with Image.open(path) as there, Image.open(copied(path)) as back:
        assert back.applist == there.applist
        assert back.info == there.info
        assert b"title" in back.info["photoshop"][0x0404]


def test_jpeg_of_a_camera_that_writes_no_jfif_is_whole(tmp_path):
    written = io.BytesIO()
    Image.fromarray(smooth("RGB")).save(written, "JPEG", exif=exif())
    content = written.getvalue()
    (path := tmp_path / "a.jpg").write_bytes(content[:2] + b"\xff" + content[20:])
    with Image.open(copied(path)) as back:
        back.load()
        assert [name for name, _ in back.applist] == ["APP0", "APP1"]


def test_jpeg_that_is_stored_as_rgb_keeps_its_colours(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(smooth("RGB")).save(path, keep_rgb=True, quality=95)
    with Image.open(path) as there, Image.open(copied(path)) as back:
        assert there.info["adobe_transform"] == 0
        assert "APP14" not in dict(back.applist)  # which would call it RGB
        before, after = np.asarray(there, np.int16), np.asarray(back, np.int16)
    assert np.abs(after - before).mean() < 2


def test_jpeg_with_a_preview_keeps_the_picture_alone(tmp_path):
    pictures = [Image.fromarray(smooth("RGB")), Image.fromarray(smooth("RGB")[::2, ::2])]
    path = tmp_path / "a.jpg"
    pictures[0].save(path, "MPO", save_all=True, append_images=pictures[1:])
    with Image.open(path) as there, Image.open(copied(path)) as back:
        assert (there.format, there.n_frames, back.format) == ("MPO", 2, "JPEG")
        before, after = np.asarray(there, np.int16), np.asarray(back, np.int16)
    assert np.abs(after - before).mean() < 1


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_webp_without_loss_comes_back_bit_for_bit(tmp_path, mode):
    pixels = noise(mode)
    Image.fromarray(pixels).save(path := tmp_path / "a.webp", lossless=True, exact=True)
    with Image.open(copied(path)) as back:
        assert (back.format, back.mode) == ("WEBP", mode)
        np.testing.assert_array_equal(np.asarray(back), pixels)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_webp_with_loss_hardly_changes(tmp_path, mode):
    Image.fromarray(smooth(mode)).save(path := tmp_path / "a.webp", quality=80)
    out = copied(path)
    with Image.open(path) as there, Image.open(out) as back:
        before, after = np.asarray(there, np.int16), np.asarray(back, np.int16)
    assert np.abs(after - before).mean() < 2
    np.testing.assert_array_equal(after[..., 3:], before[..., 3:])
    assert b"VP8L" not in out.read_bytes()


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_bmp_comes_back_byte_for_byte(tmp_path, mode):
    Image.fromarray(noise(mode)).save(path := tmp_path / "a.bmp", dpi=(150, 150))
    assert copied(path).read_bytes() == path.read_bytes()


def test_bmp_keeps_its_transparency(tmp_path):
    pixels = noise("RGBA")
    size = pixels.nbytes
    head = struct.pack("<2sIII", b"BM", 14 + 124 + size, 0, 14 + 124)
    head += struct.pack("<IiiHHII", 124, W, -H, 1, 32, 3, size) + bytes(16)
    head += struct.pack("<IIII4s", 255, 255 << 8, 255 << 16, 255 << 24, b"BGRs") + bytes(64)
    (path := tmp_path / "a.bmp").write_bytes(head + pixels.tobytes())
    with Image.open(path) as there, Image.open(copied(path)) as back:
        assert (there.mode, back.mode) == ("RGBA", "RGBA")
        np.testing.assert_array_equal(np.asarray(there), pixels)
        np.testing.assert_array_equal(np.asarray(back), pixels)


@pytest.mark.parametrize("form", ["jpg", "png", "webp", "tif"])
def test_picture_is_not_turned_and_says_as_before_how_it_lies(tmp_path, form):
    path = tmp_path / f"a.{form}"
    Image.fromarray(smooth("RGB")).save(path, exif=exif(), icc_profile=ICC)
    picture, out = read_picture(path), copied(path)
    assert picture.pixels.shape == (H, W, 3)
    assert told(out) == told(path)
    tags, inner = told(out)
    assert (tags[0x0112], inner[0x8825][1], inner[0x8769][0x829A]) == (6, "N", 1 / 250)
    assert inner[0xA005] == {1: "R98"}
    with Image.open(path) as there, Image.open(out) as back:
        assert back.info["icc_profile"] == there.info["icc_profile"] == ICC
        if form != "tif":
            assert back.info["exif"] == there.info["exif"]


def test_picture_keeps_the_form_that_it_has_and_not_that_of_its_ending(tmp_path):
    Image.fromarray(smooth("RGB")).save(path := tmp_path / "a.png", "JPEG")
    with Image.open(copied(path)) as back:
        assert back.format == "JPEG"


@pytest.mark.parametrize("form", ["png", "tif", "webp"])
def test_other_pixels_are_written_and_the_transparency_stays(tmp_path, form):
    pixels = noise("RGBA")
    Image.fromarray(pixels).save(path := tmp_path / f"a.{form}", lossless=True, exact=True)
    picture = read_picture(path)
    write_picture(out := tmp_path / f"b.{form}", picture._replace(pixels=255 - picture.pixels))
    with Image.open(out) as back:
        np.testing.assert_array_equal(np.asarray(back)[..., 3], pixels[..., 3])
        np.testing.assert_array_equal(np.asarray(back)[..., :3], 255 - pixels[..., :3])


# What is refused


def refused(path, text, error=FileError):
    with pytest.raises(error, match=whole(f"{path} {text}")):
        read_picture(path)


def test_a_picture_that_is_empty_is_refused(tmp_path):
    (path := tmp_path / "a.png").touch()
    refused(path, "is empty (0 bytes): copy or write it again.")


@pytest.mark.parametrize(
    "start", [b"GIF89a", b"not a picture", b"RIFF\0\0\0\0WAVE", b"\x89PNG\r\n\x1a"]
)
def test_a_file_that_is_no_picture_is_refused(tmp_path, start):
    (path := tmp_path / "a.png").write_bytes(start + (b"" if start[0] == 0x89 else bytes(50)))
    begins = (start + bytes(6))[:6]
    advice = "save it as PNG, JPEG, BMP, TIFF or WEBP."
    refused(path, f"is no picture that can be read (it begins with {begins!r}): {advice}")


@pytest.mark.parametrize("left", [0.3, 0.9, -3])
@pytest.mark.parametrize("form", ["png", "jpg", "bmp", "webp", "tif"])
def test_a_picture_that_is_cut_off_is_refused(tmp_path, form, left):
    lossless = {"lossless": True} if form == "webp" else {}
    Image.fromarray(noise("RGB")).save(path := tmp_path / f"a.{form}", **lossless)
    content = path.read_bytes()
    path.write_bytes(content[: left if left < 0 else int(left * len(content))])
    with pytest.raises(FileError) as caught:
        read_picture(path)
    said = re.escape(f"{path} cannot be read (") + "[^.]+" + re.escape(f"): {CUT_OFF}")
    assert re.fullmatch(said, str(caught.value))


@pytest.mark.parametrize(
    ("form", "keep", "text"),
    [
        ("png", -8, "its end is missing"),
        ("tif", 100, "a tag points past its end"),
        ("bmp", 500, "image file is truncated (30 bytes not processed)"),
    ],
)
def test_a_picture_that_is_cut_off_is_refused_in_words(tmp_path, form, keep, text):
    Image.fromarray(noise("RGB")).save(path := tmp_path / f"a.{form}")
    path.write_bytes(path.read_bytes()[:keep])
    refused(path, f"cannot be read ({text}): {CUT_OFF}")


def test_a_tiff_whose_pixels_are_cut_off_is_refused(tmp_path):
    write_tiff(path := tmp_path / "a.tif", noise("RGB", np.uint16), photometric="rgb")
    path.write_bytes(path.read_bytes()[:-1])
    refused(path, f"cannot be read (its pixels are cut off): {CUT_OFF}")


@pytest.mark.parametrize("form", ["png", "webp"])
def test_a_film_is_refused(tmp_path, form):
    frames = [Image.fromarray(noise("RGB", seed=i)) for i in range(3)]
    frames[0].save(path := tmp_path / f"a.{form}", save_all=True, append_images=frames[1:])
    refused(path, "is animated (3 frames): save each as a picture of its own.")


def test_a_tiff_of_several_pages_is_refused(tmp_path):
    with tifffile.TiffWriter(path := tmp_path / "a.tif") as tiff:
        for i in range(3):
            tiff.write(noise("L", seed=i), metadata=None)
    refused(path, "holds 3 pages: save each as a picture of its own.", DataError)


@pytest.mark.parametrize(("form", "mode"), [("jpg", "CMYK"), ("tif", "CMYK"), ("tif", "LAB")])
def test_colours_for_print_are_refused(tmp_path, form, mode):
    Image.new(mode, (W, H)).save(path := tmp_path / f"a.{form}")
    called = "Lab" if mode == "LAB" else mode
    refused(path, f"has colours of mode {called}: save it as grey or RGB.", DataError)


def test_a_ycck_jpeg_is_refused(tmp_path):
    path = tmp_path / "a.jpg"
    Image.new("CMYK", (W, H)).save(path)
    content = bytearray(path.read_bytes())
    content[content.index(b"Adobe") + 11] = 2  # the transform: YCCK
    path.write_bytes(content)
    refused(path, "has colours of mode CMYK: save it as grey or RGB.", DataError)


def test_a_picture_of_many_channels_is_refused(tmp_path):
    write_tiff(path := tmp_path / "a.tif", np.zeros((H, W, 5), np.uint8), photometric="rgb")
    refused(path, "has 5 channels of colour: save it as grey or RGB.", DataError)


@pytest.mark.parametrize(
    ("dtype", "called"),
    [
        (np.uint32, "integers of 32"),
        (np.int16, "signed integers of 16"),
        (np.float64, "floats of 64"),
        (np.float16, "floats of 16"),
    ],
)
def test_a_depth_of_unknown_white_is_refused(tmp_path, dtype, called):
    write_tiff(path := tmp_path / "a.tif", np.zeros((H, W), dtype), photometric="minisblack")
    advice = "save it with 8 or 16 bits, or as floats of 32."
    refused(path, f"has pixels that are {called} bits: {advice}", DataError)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_floats_that_are_not_finite_are_refused(tmp_path, value):
    pixels = noise("L", np.float32)
    pixels[3, 4] = value
    write_tiff(path := tmp_path / "a.tif", pixels)
    text = "has pixels that are NaN or infinite: replace them by light from 0 to 1."
    refused(path, text, DataError)


@pytest.mark.parametrize(("factor", "range_"), [(255, "0 to 255"), (-1, "-1 to -0")])
def test_floats_that_are_no_light_are_refused(tmp_path, factor, range_):
    pixels = noise("L", np.float32)
    pixels[0, :2] = 0, 1
    write_tiff(path := tmp_path / "a.tif", factor * pixels)
    text = (
        f"runs from {range_}, and floats are light from 0 (black) to 1 (white): "
        "divide it by what is white."
    )
    refused(path, text, DataError)


def test_floats_a_little_beyond_white_are_taken(tmp_path):
    pixels = noise("L", np.float32) * np.float32(1.2) - np.float32(0.1)
    write_tiff(path := tmp_path / "a.tif", pixels)
    np.testing.assert_array_equal(read_picture(path).pixels, pixels)


def bomb(form):
    """Return the few bytes that promise a picture of 400 megapixels."""
    if form == "png":
        head = struct.pack(">IIBBBBB", 20000, 20000, 8, 2, 0, 0, 0)
        body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(100)))
        return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")
    if form == "bmp":
        return struct.pack("<2sIIIIiiHH", b"BM", 0, 0, 54, 40, 20000, 20000, 1, 24) + bytes(24)
    written = io.BytesIO()
    tifffile.imwrite(written, np.zeros((4, 4), np.uint16), metadata=None)
    content = bytearray(written.getvalue())
    for tag in (256, 257):
        at = content.index(struct.pack("<H", tag))
        content[at : at + 12] = struct.pack("<HHII", tag, 4, 1, 20000)
    return bytes(content)


@pytest.mark.parametrize("form", ["png", "bmp", "tif"])
def test_a_picture_too_large_for_memory_is_refused_before_it_takes_any(tmp_path, form):
    (path := tmp_path / f"a.{form}").write_bytes(bomb(form))
    code = (
        "import resource, sys; from isthmus.data.picture_files import read_picture\n"
        "import imagecodecs, tifffile, PIL.Image\n"
        "size = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (size + 2**26, size + 2**26))\n"
        "try: read_picture(sys.argv[1])\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    process = [sys.executable, "-c", code, path]
    printed = subprocess.run(process, capture_output=True, text=True, check=True).stdout
    assert printed == (
        f"FileError {path} has more than 179 megapixels, which could fill the memory: "
        "cut it into several pictures.\n"
    )


def test_a_tiff_that_promises_endless_tags_is_refused(tmp_path):
    head = b"II*\0" + struct.pack("<IH", 8, 1) + struct.pack("<HHII", 700, 1, 2**32 - 1, 8)
    (path := tmp_path / "a.tif").write_bytes(head + bytes(4))
    refused(path, f"cannot be read (a tag points past its end): {CUT_OFF}")


def test_a_tiff_whose_directories_run_in_a_circle_is_read_once(tmp_path):
    write_tiff(path := tmp_path / "a.tif", noise("L"))
    content = bytearray(path.read_bytes())
    start = struct.unpack_from("<I", content, 4)[0]
    n_tags = struct.unpack_from("<H", content, start)[0]
    struct.pack_into("<I", content, start + 2 + 12 * n_tags, start)
    path.write_bytes(content)
    np.testing.assert_array_equal(read_picture(path).pixels, noise("L"))


def test_a_folder_is_refused(tmp_path):
    refused(tmp_path, "is a folder: give the path of one picture.")


def test_links_that_lead_to_no_file_are_refused(tmp_path):
    for name, goal in (("a.png", "a.png"), ("b.png", "gone.png")):
        (tmp_path / name).symlink_to(tmp_path / goal)
        refused(tmp_path / name, "is a link that leads to no file: mend it or take it away.")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(path := tmp_path / "a.png")
    refused(path, "is no file: give the path of a picture.")


@pytest.mark.parametrize("package", ["pillow", "imagecodecs", "tifffile"])
def test_a_missing_package_is_named(tmp_path, monkeypatch, package):
    Image.fromarray(noise("L")).save(path := tmp_path / "a.png")
    monkeypatch.setitem(sys.modules, "PIL" if package == "pillow" else package, None)
    text = (
        f"Reading a.png needs {package}, which is not installed: pip install 'isthmus[pictures]'."
    )
    with pytest.raises(MissingDependencyError, match=whole(text)):
        read_picture(path)


def content_of(form):
    written = io.BytesIO()
    beside = {} if form == "bmp" else {"exif": exif()}
    Image.fromarray(noise("RGB")).save(written, form, **beside)
    return written.getvalue()


VALID = {form: content_of(form) for form in ("png", "jpeg", "bmp", "webp", "tiff")}
PLACES = st.one_of(st.integers(0, 400), st.integers(0, 1000))


@pytest.mark.parametrize("form", VALID)
@settings(max_examples=100, deadline=None)
@given(changes=st.lists(st.tuples(PLACES, st.integers(0, 255)), min_size=1, max_size=4))
def test_altered_bytes_give_a_picture_or_one_typed_sentence(form, changes):
    content = bytearray(VALID[form])
    for place, byte in changes:
        content[place] = byte
    with tempfile.TemporaryDirectory() as folder:
        (path := Path(folder) / "a").write_bytes(content)
        sentence = "Read."
        try:
            write_picture(path.with_name("b"), read_picture(path))
        except (FileError, DataError) as error:
            sentence = str(error)
        assert re.fullmatch(r"(?!.*\. [A-Z])[^\n]+\.", sentence)


def test_stderr_is_heard_again_when_threads_have_read_together():
    inside, outside = threading.Barrier(2), threading.Barrier(2)
    before = os.fstat(2)

    def reads(first):
        with quietly():
            inside.wait()
            if first:
                outside.wait()
        if not first:
            outside.wait()

    with warnings.catch_warnings():
        threads = [threading.Thread(target=reads, args=(each,)) for each in (True, False)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    after = os.fstat(2)
    assert (before.st_dev, before.st_ino) == (after.st_dev, after.st_ino)
