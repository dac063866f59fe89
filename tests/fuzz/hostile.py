"""Hand-made hostile files: what each is, and what must be said of it.

A case is a name, the file's bytes and a part of the message. Names decide what reads a file: models
with `info`, configs with `train --config`, the others as data. Images go into a folder of their own.
"""

import gzip
import json
import math
import struct
import zlib
from pathlib import Path

CORPUS = Path(__file__).resolve().parent / "corpus"
M, MI = 10**6, 2**20


def framed(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(begin, end, shape=None, dtype="U8"):
    return {"dtype": dtype, "shape": [end - begin] if shape is None else shape,
            "data_offsets": [begin, end]}


def model():
    """Header and data of a whole model, for 2x2 grey images."""
    header, _, data = (CORPUS / "checkpoint" / "glow").read_bytes().partition(b"\0")
    return json.loads(header), data


def whole_model():
    return framed(*model())


def with_tensor(end_of_name, values):
    header, data = model()
    name = next(n for n in header if n.endswith(end_of_name))
    begin, end = header[name]["data_offsets"]
    return framed(header, data[:begin] + values[:end - begin] + data[begin + len(values[:end - begin]):])


def with_config(text=None, **changes):
    header, data = model()
    metadata = header["__metadata__"]
    metadata["config"] = text or json.dumps({**json.loads(metadata["config"]), **changes})
    return framed(header, data)


def with_header(change):
    header, data = model()
    change(header)
    return framed(header, data)


def wide_model(hidden, last):
    """As `model`, of this width, all zero but for the signs and the last value."""
    header, _ = model()
    metadata = header.pop("__metadata__")
    config = json.dumps({**json.loads(metadata["config"]), "hidden": hidden})
    at, signs = 0, 0
    for name, entry in header.items():
        wide = {"conv1.weight": (0,), "conv1.bias": (0,), "conv1.log_scale": (0,), "conv2.weight": (0, 1),
                "conv2.bias": (0,), "conv2.log_scale": (0,), "conv3.weight": (3,)}
        for axis in wide.get(".".join(name.split(".")[-2:]), ()):
            entry["shape"][axis] = hidden
        signs = at if name.endswith("sign") else signs
        entry["data_offsets"] = [at, at + 4 * math.prod(entry["shape"])]
        at = entry["data_offsets"][1]
    data = bytearray(at)
    data[signs:signs + 16] = struct.pack("<4f", 1, 1, 1, 1)
    names = header["levels.0.steps.0.invconv.permutation"]["data_offsets"]
    data[slice(*names)] = struct.pack("<4i", 0, 1, 2, 3)
    data[-4:] = last
    return framed({"__metadata__": {**metadata, "config": config}, **header}, bytes(data))


def structures():
    """Safetensors files that are none."""
    a = json.dumps(tensor(0, 4)).encode()
    wide = 2**32
    return [
        ("duplicate_tensor", framed(b'{"a":' + a + b',"a":' + a + b"}", bytes(4)), '"a" twice'),
        ("duplicate_key", framed(b'{"a":{"dtype":"U8","shape":[4],"shape":[9]}}'), '"shape" twice'),
        ("overlap", framed({"a": tensor(0, 4), "b": tensor(2, 6)}, bytes(6)), "leaves an overlap"),
        ("hole", framed({"a": tensor(0, 4), "b": tensor(6, 8)}, bytes(8)), "leaves a hole"),
        ("same_bytes", framed({"a": tensor(0, 4), "b": tensor(0, 4)}, bytes(4)), "got 0, which"),
        ("backwards", framed({"a": {"dtype": "U8", "shape": [4], "data_offsets": [4, 0]}}, bytes(4)),
         "must not go backwards; got [4, 0]"),
        ("offset_2_64", framed({"a": tensor(0, 2**64, [4])}), "up to 18446744073709551615; got 1.844"),
        ("offset_2_64_less_1", framed({"a": tensor(0, 2**64 - 1, [4])}, bytes(4)),
         "needs 4 bytes, its data_offsets span 18446744073709551615"),
        ("negative_offset", framed({"a": tensor(-4, 0)}), "must be a whole number"),
        ("fraction", framed(b'{"a":{"dtype":"U8","shape":[4.0],"data_offsets":[0,4]}}'), "got 4.0"),
        ("length_2_64_less_1", b"\xff" * 8 + b"{}", "got length 18446744073709551615"),
        ("length_100_MB", struct.pack("<Q", 100 * M) + b"{}", "got length 100000000"),
        ("length_over_file", struct.pack("<Q", 5 * M) + b"{}", "says 5000000 bytes, the file has 2"),
        ("shape_overflow", framed({"a": tensor(0, 4, [wide, wide])}, bytes(4)),
         "[4294967296, 4294967296] must not overflow"),
        ("shape_overflow_by_0", framed({"a": tensor(0, 0, [wide, wide, 0])}),
         "[4294967296, 4294967296, 0] must not overflow"),
        ("dimension_2_63", framed({"a": tensor(0, 4, [2**63])}), "got 9223372036854775808"),
        ("exabytes", framed({"a": tensor(0, 2**60)}, bytes(4)), "says 1152921504606846976 bytes"),
        ("rank_17", framed({"a": tensor(0, 1, [1] * 17)}, bytes(1)), "at most 16 dimensions; got 17"),
        ("type_of_4_bits", framed({"a": tensor(0, 1, [2], "F4")}, bytes(1)), 'got "F4"'),
        ("no_name", framed({"": tensor(0, 1)}, bytes(1)), "got an empty one"),
        ("nul_in_name", framed({"a\0b": tensor(0, 1)}, bytes(1)), "no NUL in its name"),
        ("terminal_in_name", framed({"\x1b]0;owned\x07": 3}), '"?]0;owned?" must be an object'),
        ("metadata_number", framed({"__metadata__": {"format": 3}}), '"format" must be a string'),
        ("metadata_array", framed({"__metadata__": ["rheo"]}), "__metadata__ must be an object"),
    ]


def texts():
    """Headers that are no JSON, or more of it than anybody needs."""
    many = b",".join(b'"%05x":0' % i for i in range(700_000))
    return [
        ("deep", framed(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), "nested at most 32 deep"),
        ("nan", framed(b'{"a":NaN}'), "invalid literal"),
        ("huge_number", framed(b'{"a":1e999}'), "number overflow"),
        ("not_utf8", framed(b'{"\xff\xfe":1}'), "ill-formed UTF-8"),
        ("overlong_utf8", framed(b'{"a":"\xc0\x80"}'), "line 1, column 7"),
        ("lone_surrogate", framed(b'{"\\udc00":1}'), "surrogate"),
        ("comment", framed(b'{/* see */"a":1}'), "syntax error while parsing object key"),
        ("comma", framed(b'{"a":1,}'), "line 1, column 8"),
        ("two_objects", framed(b"{}{}"), "expected end of input"),
        ("cut_in_string", framed(b'{"abc'), "missing closing quote"),
        ("key_bomb", framed(b"{" + many + b"}"), "must fit into 48 MiB"),
        ("array_bomb", framed(b'{"a":[' + b"[]," * 2_000_000 + b"0]}"), "must fit into 48 MiB"),
        ("header_bomb", framed(b'{"a":"' + b"x" * 9_000_000 + b'"}'), "got length 9000008"),
        ("spaces", framed(b"{" + b" " * 8_000_000), "column 8000002"),
    ]


def models():
    """Safetensors files that are no model."""
    nan, inf = struct.pack("<f", float("nan")), struct.pack("<f", float("inf"))
    whole = whole_model()
    return [
        ("empty", b"", "at least 8 bytes; got 0"),
        ("cut_in_data", whole[:-1], "it is truncated"),
        ("cut_in_header", whole[:200], "the file has 192 after the length"),
        ("bytes_behind", whole + b"\0", "it has bytes too many"),
        ("no_metadata", framed({"a": tensor(0, 4)}, bytes(4)), "is not a rheo checkpoint"),
        ("other_format", with_header(lambda h: h["__metadata__"].update(format="pt")), "got pt"),
        ("newer", with_header(lambda h: h["__metadata__"].update(version="99")), "99"),
        ("wrong_hash", with_header(lambda h: h["__metadata__"].update(xxh3_128="x")), "hash"),
        ("giant", with_config(hidden=8192, steps=1024), "bytes of tensors; the file has"),
        ("huge_levels", with_config(levels=10**6), "levels must be 1..8; got 1000000"),
        ("many_steps", with_config(steps=1024, levels=3, height=8, width=8),
         "must be at most 2048 together; got 1024 on each of 3"),
        ("float_width", with_config(width=2.5), "width must be a whole number; got 2.5"),
        ("config_twice", with_config('{"model":"glow","model":"glow"}'), '"model" twice'),
        ("config_deep", with_config("[" * 1000), "model config: JSON must be nested"),
        ("config_text", with_config("import os"), "model config: must be valid JSON"),
        ("unknown_key", with_config(eval="1"), 'unknown key "eval"'),
        ("other_shape", with_config(hidden=2), "by the config; got"),
        ("nan_weight", with_tensor("conv1.weight", nan), "must be finite; value 0 is"),
        ("inf_weight", with_tensor("conv2.weight", inf), "is inf"),
        ("zero_sign", with_tensor("sign", bytes(4)), "must be +1 or -1; value 0 is 0"),
        ("wild_permutation", with_tensor("permutation", struct.pack("<i", 2**31 - 1)),
         "got 2147483647"),
        ("negative_permutation", with_tensor("permutation", struct.pack("<i", -1)), "got -1"),
        ("twice_permuted", with_tensor("permutation", bytes(16)), "got 0 twice"),
        ("missing_tensor", with_header(lambda h: h.update(
            x=h.pop(next(n for n in h if n.endswith("conv2.bias"))))), "conv2.bias is missing"),
        ("initialized", with_header(lambda h: h["__metadata__"].update(initialized="yes")),
         "can only be false; got yes"),
    ]


def configs():
    return [
        ("open.json", b"{", "it is broken at byte"),
        ("list.json", b"[]", "must hold an object; got array"),
        ("deep.json", b'{"train":' * 100_000, "nested at most 32 deep"),
        ("twice.json", b'{"train":{"batch":1,"batch":2}}', '"batch" twice'),
        ("unknown.json", b'{"system":"reboot"}', 'unknown key "system"'),
        ("control.json", b'{"\xc2\x9b2J":1}', 'unknown key "\\xc2\\x9b2J"'),
        ("nan.json", b'{"train":{"learning_rate":NaN}}', "it is broken at byte 27"),
        ("huge.json", b'{"train":{"batch":1e400}}', "a number that overflows"),
        ("not_utf8.json", b'{"\xff":1}', "it is broken at byte 3"),
        ("long.json", b" " * (MI + 1), "at most 1048576 bytes long; got 1048577"),
        ("number.json", b'{"train":{"batch":18446744073709551615}}', "batch must be a whole number below 2^31 in size; got 18446744073709551615"),
        ("minus.json", b'{"train":{"batch":-1}}', "batch must be 1..65536; got -1"),
        ("object.json", b'{"model":{"steps":{}}}', "steps must be one value; got object"),
    ]


def npy(header, data=b"", version=1):
    text = header.encode()
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text + data


def described(shape, descr="|u1", order=False):
    return f"{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n"


def arrays():
    python = "{'descr': __import__('os').system('touch owned'), 'shape': (1,)}"
    return [
        ("twelve_bytes.npy", b"\x93NUMPY\x01\x00\x02\x00{}", "one is missing"),
        ("eleven_bytes.npy", b"\x93NUMPY\x01\x00\x01\x00{", "at least 12 bytes; got 11"),
        ("header_4_GiB.npy", b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "got length 4294967295"),
        ("header_over_file.npy", b"\x93NUMPY\x01\x00\xff\xffxx", "says 65535 bytes, the file has 2"),
        ("version_4.npy", npy(described("(1,)"), b"x", 4), "must be 1 to 3; got 4"),
        ("object.npy", npy(described("(1,)", "|O"), bytes(8)), 'got "|O"'),
        ("text.npy", npy(described("(1,)", "<U4"), bytes(16)), 'got "<U4"'),
        ("big_endian.npy", npy(described("(1, 1)", ">f4"), bytes(4)), 'got ">f4"'),
        ("half.npy", npy(described("(2, 1)", "<f2"), bytes(4)), "got float16"),
        ("complex.npy", npy(described("(1, 1)", "<c8"), bytes(8)), 'got "<c8"'),
        ("fortran.npy", npy(described("(1, 2, 2, 1)", order=True), bytes(4)), "numpy.ascontiguous"),
        ("records.npy", npy("{'descr': [('a', '<f4')], 'shape': (1,)}"), "not of records"),
        ("python.npy", npy(python), "number type, not of records"),
        ("code_behind.npy", npy(described("(1,)") + "exec('1')", b"x"), 'its end before "exec'),
        ("twice.npy", npy("{'shape': (1,), 'shape': (2,)}"), "got shape twice"),
        ("minus.npy", npy(described("(-1, 2, 2)")), 'before "-1, 2'),
        ("dimension_2_63.npy", npy(described(f"({2**63},)")), 'before "9223372036854775808'),
        ("overflow.npy", npy(described(f"({2**32}, {2**32}, 4)")), "must not overflow 64 bits"),
        ("exabytes.npy", npy(described(f"({2**60}, 2, 2)")), "needs 4611686018427387904 bytes"),
        ("rank_33.npy", npy(described("(" + "1," * 33 + ")"), b"x"), "at most 32 dimensions"),
        ("no_images.npy", npy(described("(0, 2, 2, 1)")), "none 0; got [0, 2, 2, 1]"),
        ("no_size.npy", npy(described("(3, 0, 2, 1)")), "none 0; got [3, 0, 2, 1]"),
        ("five_channels.npy", npy(described("(1, 2, 2, 5)"), bytes(20)), "got [1, 2, 2, 5]"),
        ("cut.npy", npy(described("(2, 2, 2, 1)"), bytes(7)), "needs 8 bytes of data, the file has 7"),
        ("behind.npy", npy(described("(1, 2, 2, 1)"), bytes(5)), "needs 4 bytes of data, the file"),
        ("nan.npy", npy(described("(1, 2)", "<f4"), struct.pack("<2f", 1, float("nan"))),
         "got nan in row 0, column 1"),
        ("wide.npy", npy(described("(1, 2)", "<f8"), struct.pack("<2d", 1, 1e300)),
         "got inf in row 0, column 1"),
    ]


def idx(shape, data=b"", kind=8):
    return struct.pack(">HBB", 0, kind, len(shape)) + struct.pack(f">{len(shape)}I", *shape) + data


def bomb(head):
    """3 GB of zeros behind `head`, in 3 MB: one packed MB again and again. To unpack it takes seconds."""
    pack = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    parts = [pack.compress(data) + pack.flush(zlib.Z_FULL_FLUSH) for data in (head, bytes(M))]
    return gzip.compress(b"")[:10] + parts[0] + 3000 * parts[1] + pack.flush() + bytes(8)


def records():
    """IDX and CIFAR-10 files."""
    nearly = gzip.compress(idx((20 * M, 2, 2)) + bytes(80 * M - 1), 1)
    whole = gzip.compress(idx((4, 2, 2), bytes(16)), mtime=0)
    return [
        ("floats-idx3", idx((4, 2, 2), bytes(64), 0x0d), "must be 8 (unsigned byte); got 13"),
        ("rank_0-idx", b"\0\0\x08\0", "must be 1 to 4; got 0"),
        ("rank_255-idx", b"\0\0\x08\xff" + b"\xff" * 40, "must be 1 to 4; got 255"),
        ("cut_header-idx3", idx((4, 2, 2))[:9], "it ends in dimension 1"),
        ("no_images-idx3", idx((0, 2, 2)), "none 0; got [0, 2, 2]"),
        ("huge-idx3", idx((2**32 - 1,) * 3), "[4294967295, 4294967295, 4294967295] bytes, more"),
        ("cut-idx3", idx((4, 2, 2), bytes(15)), "16 bytes; got only 15"),
        ("behind-idx3", idx((4, 2, 2), bytes(17)), "16 bytes; there are more"),
        ("bomb-idx3.gz", bomb(idx((4, 2, 2))), "[4, 2, 2], 16 bytes; there are more"),
        ("size-idx3.gz", bomb(idx((750 * M, 1, 4))), "images must be 2x2; got 1x4"),
        ("channels-idx4.gz", bomb(idx((600 * M, 1, 1, 5))), "got [600000000, 1, 1, 5]"),
        ("beyond-idx3.gz", bomb(idx((1000 * M, 2, 2))), "[1000000000, 2, 2] bytes, more than the file"),
        ("nearly-idx3.gz", nearly, "80000000 bytes; got only 79999999"),
        ("cut-idx3.gz", whole[:-9], "they end after"),
        ("checksum-idx3.gz", whole[:-8] + bytes(4) + whole[-4:], "incorrect data check"),
        ("length-idx3.gz", whole[:-4] + bytes(4), "incorrect length check"),
        ("no_deflate-idx3.gz", b"\x1f\x8b\x08" + b"\0" * 7 + b"\xff" * 9, "invalid block type"),
        ("other_method-idx3.gz", b"\x1f\x8b\x07" + b"\0" * 20, "unknown compression method"),
        ("odd.bin", bytes(3074), "whole records of 3073 bytes; got 3074"),
        ("none.bin", b"", "whole records of 3073 bytes; got 0"),
        ("label.bin", bytes(3073) + b"\xc8" + bytes(3072), "got 200 in record 1"),
        ("words.txt", b"#!/bin/sh\n", "it begins as none"),
    ]


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, rows=b"", depth=8, colour=0, lace=0, before=b""):
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, lace)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def segment(marker, data):
    return bytes([0xff, marker]) + struct.pack(">H", len(data) + 2) + data


def jpeg_start(height, width, frame=0xc0, precision=8, components=1):
    parts = b"".join(bytes([i + 1, 0x11, 0]) for i in range(components))
    one_code = bytes([1] + [0] * 15)
    return (b"\xff\xd8" + segment(0xdb, b"\0" + b"\1" * 64)
            + segment(frame, struct.pack(">BHHB", precision, height, width, components) + parts)
            + segment(0xc4, b"\x00" + one_code + b"\0") + segment(0xc4, b"\x10" + one_code + b"\xe0"))


def scan(first, last, data):
    return segment(0xda, bytes([1, 1, 0, first, last, 0])) + data


def scan_bomb(side, scans):
    """Progressive: each scan but the first tells of 2^14 empty blocks in 15 bits."""
    blocks = side * side // 64
    again = scan(1, 63, bytes((-(-blocks // 2**14) * 15 + 7) // 8))
    return jpeg_start(side, side, 0xc2) + scan(0, 0, bytes(blocks // 8)) + again * scans + b"\xff\xd9"


def images():
    packed = zlib.compress(bytes(60 * M), 9)
    text = chunk(b"zTXt", b"a\0\0" + packed)
    profile = chunk(b"iCCP", b"a\0\0" + packed)
    huge = png(4096, 4096, bytes(4097 * 4095), 8)
    rows = b"".join(b"\0" + bytes(range(8)) for _ in range(8))
    good = png(8, 8, rows)
    jpeg = (CORPUS / "jpeg" / "rgb").read_bytes()
    return [
        ("empty.png", b"", "it is empty"),
        ("gif.png", b"GIF89a" + bytes(20), "it begins as neither"),
        ("signature.png", good[:8], "the file ends too early"),
        ("50k.png", png(50_000, 50_000, depth=1), "got 50000x50000: scale it down, or allow more by "
         "max_pixels (--max-pixels)"),
        ("2_31.png", png(2**31 - 1, 2**31 - 1), "pixels; got 2147483647x2147483647"),
        ("long.png", png(2**31 - 1, 1), "pixels; got 1x2147483647"),
        ("no_width.png", png(0, 8), "Image width is zero"),
        ("hollow.png", png(4000, 4000), "cannot hold 4000x4000 pixels"),
        ("data_bomb.png", png(1, 1, bytes(60 * M)), "whole PNG; "),
        ("text_bomb.png", png(8, 8, rows[:-1], before=text), "Not enough image data"),
        ("profile_bomb.png", png(8, 9, rows, before=profile), "Not enough image data"),
        ("cut.png", huge[:-40], "the file ends too early"),
        ("row_short.png", huge, "Not enough image data"),
        ("laced_short.png", png(4096, 4096, bytes(4096 * 4090), 8, lace=1), "Not enough image data"),
        ("checksum.png", good[:-14] + b"x" + good[-13:], "IDAT: CRC error"),
        ("palette.png", png(1, 1, b"\0\0", 8, 3), "Missing PLTE before IDAT"),
        ("depth_7.png", png(1, 1, b"\0\0", 7), "Invalid bit depth"),
        ("alpha.png", png(1, 1, bytes(5), 8, 6), "no alpha channel; flatten it"),
        ("filter.png", png(1, 1, b"\x09\0"), "bad adaptive filter value"),
        ("no_end.png", good[:-12], "the file ends too early"),
        ("chunk_2_31.png", good[:33] + b"\x7f\xff\xff\xffIDATxx", "whole PNG; "),
        ("65k.jpg", jpeg_start(65500, 65500) + scan(0, 63, b""), "got 65500x65500: scale it"),
        ("70k.jpg", jpeg_start(65535, 65535) + scan(0, 63, b""), "Maximum supported image dimension"),
        ("no_height.jpg", jpeg_start(0, 8) + scan(0, 63, b""), "whole JPEG; "),
        ("hollow.jpg", jpeg_start(4000, 4000) + scan(0, 63, b"\0" * 99), "cannot hold 4000x4000"),
        ("twelve_bits.jpg", jpeg_start(8, 8, 0xc1, 12) + scan(0, 63, b""), "precision 12"),
        ("lossless.jpg", jpeg_start(8, 8, 0xc3) + scan(1, 0, b""), "Unsupported JPEG process"),
        ("no_scan.jpg", b"\xff\xd8\xff\xd9", "whole JPEG; JPEG datastream contains no image"),
        ("scans.jpg", scan_bomb(4096, 400), "it has more than 24 scans"),
        ("small_scans.jpg", scan_bomb(64, 2000), "it has more than 500 scans"),
        ("no_table.jpg", b"\xff\xd8" + segment(0xc0, struct.pack(">BHHB", 8, 8, 8, 1) + b"\1\x11\0")
         + scan(0, 63, b""), "table 0x00 was not defined"),
        ("five.jpg", jpeg_start(8, 8, components=5) + scan(0, 63, b""), "whole JPEG; "),
        ("cut.jpg", jpeg[:-30], "Premature end of JPEG file"),
    ]


def large():
    """Of 100 MB and more, most of them damaged at the end: a name, what makes the bytes, a part of the
    message."""
    nan, double_nan = struct.pack("<f", float("nan")), struct.pack("<d", float("nan"))
    return [
        ("weight.safetensors", lambda: wide_model(5200, nan), "prior.log_sd must be finite; value 3 is"),
        ("floats.npy", lambda: npy(described(f"({30 * M}, 1)", "<f4"), bytes(120 * M - 4) + nan),
         "got nan in row 29999999, column 0"),
        ("doubles.npy", lambda: npy(described(f"({25 * M}, 1)", "<f8"), bytes(200 * M - 8) + double_nan),
         "got nan in row 24999999, column 0"),
        ("label.bin", lambda: bytes(3073 * 39_999) + b"\xc8" + bytes(3072), "got 200 in record 39999"),
        ("shorts.npy", lambda: npy(described(f"({60 * M}, 1)", "<i2"), bytes(120 * M)),
         "or points, float32 or float64 [N, D]; got int16 [60000000, 1]"),
        ("labels.npy", lambda: npy(described(f"({120 * M},)"), bytes(120 * M)),
         "must have a label for each of 4 images; got 120000000"),
    ]
