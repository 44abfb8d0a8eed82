"""Makes the files in fixtures/ that tests/cli reads: written by NumPy and Pillow, so that others' numbers are the measure.

    pip install numpy pillow && python make_fixtures.py
"""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

OUT = Path(__file__).with_name("fixtures")


def save(name, array, version=(1, 0)):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, version=version, allow_pickle=False)
    (OUT / name).write_bytes(buffer.getvalue())


def png(path, width, height, color_type, rows):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, color_type, 0, 0, 0)
    data = b"".join(b"\0" + bytes(row) for row in rows)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b""))


def main():
    OUT.mkdir(exist_ok=True)
    counting = np.arange(24).reshape(2, 3, 4)
    save("f4.npy", (counting / 2 - 3).astype("<f4"))
    save("f4_fortran.npy", np.asfortranarray((counting / 2 - 3).astype("<f4")))
    save("i8_big_endian.npy", (counting - 2**40).astype(">i8"))
    save("c8_big_endian.npy", np.array([1 + 2j, -3.5j], ">c8"))
    save("bool_v2.npy", counting % 3 == 0, version=(2, 0))
    save("text_v3.npy", np.array([["a", "äöü"], ["", "日本語 🙂"]]), version=(3, 0))
    save("bytes.npy", np.array([b"ab", b"", b"xyz"]))
    save("scalar.npy", np.array(7, "<u2"))
    save("empty.npy", np.zeros((2, 0, 3), "<f8"))
    save("record.npy", np.zeros(2, [("a", "<f4"), ("b", "<i4")]))
    np.savez(OUT / "stored.npz", ids=counting.astype("<i8"), x=np.float32([0.5, -1]))
    np.savez_compressed(OUT / "deflated.npz", ids=counting.astype("<i8"), x=np.float32([0.5, -1]))
    png(OUT / "rgba.png", 2, 1, 6, [[255, 0, 10, 255, 20, 200, 30, 128]])
    png(OUT / "grey.png", 3, 2, 0, [[0, 100, 255], [1, 2, 3]])
    ramp = np.add.outer(np.arange(8) * 20, np.arange(12) * 8).astype(np.uint8)
    Image.fromarray(np.stack([ramp, ramp[::-1], 255 - ramp], axis=-1)).save(OUT / "ramp.jpg", quality=92)
    save("ramp_decoded.npy", np.asarray(Image.open(OUT / "ramp.jpg")))
    image = Image.fromarray(np.stack([ramp, ramp[::-1], 255 - ramp], axis=-1))
    for suffix, options in {"jp2": {}, "webp": {"lossless": True}, "tif": {"compression": "tiff_lzw"}, "bmp": {}}.items():
        image.save(OUT / f"ramp.{suffix}", **options)
    image.quantize(16).save(OUT / "ramp16.bmp")
    save("ramp16_decoded.npy", np.asarray(Image.open(OUT / "ramp16.bmp").convert("RGB")))
    image.convert("CMYK").save(OUT / "ramp_cmyk.jpg", quality=92)
    save("ramp_cmyk_decoded.npy", np.asarray(Image.open(OUT / "ramp_cmyk.jpg").convert("RGB")))
    save("ramp.npy", np.asarray(image))
    save("ramp_grey.npy", np.asarray(image.convert("L")))


if __name__ == "__main__":
    main()
