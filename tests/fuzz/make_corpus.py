#!/usr/bin/env python3
"""Makes the first inputs of the fuzz targets, right ones and hostile ones, in tests/fuzz/corpus/.
Inputs that were findings lie beside them, named found-*, and are left alone.
  python3 tests/fuzz/make_corpus.py"""
import json
import pathlib
import struct
import zlib

CORPUS = pathlib.Path(__file__).parent / "corpus"


def put(target, name, content):
    path = CORPUS / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def tensors(entries, data=b"", metadata=None):
    """A safetensors file: name -> (type, shape, begin, end)."""
    header = {} if metadata is None else {"__metadata__": metadata}
    for name, (dtype, shape, begin, end) in entries.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
    return framed(json.dumps(header, separators=(",", ":")), data)


def framed(header, data=b""):
    header = header if isinstance(header, bytes) else header.encode()
    return struct.pack("<Q", len(header)) + header + data


def one(dtype, shape, begin, end):
    return '{"w":{"dtype":"%s","shape":%s,"data_offsets":[%s,%s]}}' % (dtype, shape, begin, end)


def make_safetensors():
    types = {"f32": ("F32", [2, 2], 0, 16), "i64": ("I64", [1], 16, 24),
    "f64": ("F64", [], 24, 32),
             "i32": ("I32", [1, 1, 1, 1], 32, 36), "f16": ("F16", [2], 36, 40),
             "bf16": ("BF16", [1], 40, 42), "u8": ("U8", [3], 42, 45),
             "none": ("F32", [0, 3], 0, 0)}
    data = struct.pack("<4f", 1, -2, float("nan"), float("inf")) + struct.pack("<qdi", -5, 1e300, 7)
    put("safetensors", "types", tensors(types, data + bytes(range(9)), {"format": "pt"}))
    put("safetensors", "empty-header", framed("{}"))
    put("safetensors", "no-bytes", b"")
    put("safetensors", "header-of-an-exabyte", struct.pack("<Q", 1 << 60) + b"{}")
    put("safetensors", "header-longer-by-one", struct.pack("<Q", 3) + b"{}")
    for name, header in {
            "terabytes": one("F32", "[1099511627776]", 0, 4398046511104),
            "product-is-0-modulo-2-64": one("F32", "[4294967296,4294967296]", 0, 0),
            "product-is-4-modulo-2-64": one("F32", "[4611686018427387905,4]", 0, 16),
            "zero-times-much": one("F32", "[0,18446744073709551615]", 0, 0),
            "extent-beyond-64-bits": one("F32", "[18446744073709551616]", 0, 0),
            "extent-negative": one("F32", "[-1]", 0, 4),
            "extent-1e999": one("F32", "[1e999]", 0, 4),
            "extent-fraction": one("F32", "[2.5]", 0, 10),
            "offsets-backwards": one("F32", "[4]", 16, 0),
            "offsets-wrap": one("F32", "[1]", 18446744073709551612, 18446744073709551616),
            "gap-before": one("F32", "[3]", 2, 14),
            "five-axes": one("U8", "[1,1,1,1,16]", 0, 16),
            "type-unknown": one("F8_E4M3", "[16]", 0, 16),
            "type-a-number": '{"w":{"dtype":7,"shape":[4],"data_offsets":[0,16]}}',
            "no-shape": '{"w":{"dtype":"F32","data_offsets":[0,16]}}',
            "twice": '{"w":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},'
                     '"w":{"dtype":"U8","shape":[8],"data_offsets":[8,16]}}',
            "not-utf-8": b'{"\xff\xfe":{"dtype":"U8","shape":[16],"data_offsets":[0,16]}}',
            "nul-in-name": r'{"a\u0000b":{"dtype":"U8","shape":[16],"data_offsets":[0,16]}}',
            "metadata-no-text": '{"__metadata__":{"a":3},"w":{"dtype":"U8","shape":[16],'
                                '"data_offsets":[0,16]}}',
            "wrong-checksum": '{"__metadata__":{"versor_fnv1a64":"0"},"w":{"dtype":"U8",'
                              '"shape":[16],"data_offsets":[0,16]}}',
            "no-object": "[[[[1]]]]",
            "deep": '{"w":' + "[" * 1000 + "]" * 1000 + "}"}.items():
        put("safetensors", name, framed(header, bytes(16)))
    put("safetensors", "not-aligned", tensors({"u": ("U8", [1], 0, 1), "f": ("F32", [2], 1, 9),
                                               "d": ("F64", [1], 9, 17)}, bytes(range(17))))
    for name, first, second in [("overlap", (0, 8), (4, 12)), ("gap", (0, 8), (12, 20)),
                                ("same", (0, 8), (0, 8))]:
        put("safetensors", name, tensors({"a": ("F32", [2], *first), "b": ("F32", [2], *second)},
                                         bytes(max(first[1], second[1]))))


def model(hidden, latent, codes, images=None):
    """The weights of a whole model, all 0.5."""
    shapes = {"encoder.0.weight": [hidden, 1, 4, 4], "encoder.0.bias": [hidden],
              "encoder.2.weight": [latent, hidden, 4, 4], "encoder.2.bias": [latent],
              "decoder.2.weight": [latent, hidden, 4, 4], "decoder.2.bias": [hidden],
              "decoder.4.weight": [hidden, 1, 4, 4], "decoder.4.bias": [1],
              "codebook.weight": [codes, latent], "ema_cluster_size": [codes],
              "ema_dw": [codes, latent]}
    for block in "encoder.4", "encoder.5", "decoder.0", "decoder.1":
        for conv in "conv1", "conv2":
            shapes[f"{block}.{conv}.weight"] = [latent, latent, 3, 3]
            shapes[f"{block}.{conv}.bias"] = [latent]
    if images:
        shapes["images"] = images
    entries, at = {}, 0
    for name, shape in shapes.items():
        size = 4
        for extent in shape:
            size *= extent
        entries[name] = ("F32", shape, at, at + size)
        at += size
    return entries, struct.pack("<f", 0.5) * (at // 4)


def metadata_of_model(**changes):
    """Those of model(1, 2, 2) as write_model_file() would write them."""
    options = {"estimator": "ste", "codes": 2, "latent": 2, "batch_size": 2, "precision": "fp32",
               "threads": 1, **changes}
    return {"format": "versor-model", "format_version": "1", "config": json.dumps(options),
            "image_height": "8", "image_width": "8", "image_channels": "1", "trained_epochs": "1"}


def make_weights():
    entries, data = model(1, 1, 2, [1, 1, 4, 4])
    put("weights", "whole", tensors(entries, data))
    put("weights", "whole-d-2", tensors(*model(1, 2, 2, [1, 1, 4, 4])))
    without = dict(entries)
    del without["images"]
    put("weights", "no-images", tensors(without, data[:-64]))
    renamed = {n.replace("decoder.4", "decoder.9"): entry for n, entry in entries.items()}
    put("weights", "unknown-names", tensors(renamed, data))
    # a model of 400 x 400 channels would have 10 MB, and more in its residual blocks
    much = {"encoder.0.weight": ("U8", [400, 1, 1, 1], 0, 400),
            "codebook.weight": ("U8", [1, 400], 400, 800)}
    put("weights", "promises-much", tensors(much, bytes(800)))
    put("weights", "empty-axes", tensors({"encoder.0.weight": ("U8", [400, 1, 0, 0], 0, 0),
                                          "codebook.weight": ("U8", [1, 400], 0, 400)}, bytes(400)))
    put("weights", "rank-0", tensors({"encoder.0.weight": ("F32", [], 0, 4),
                                      "codebook.weight": ("F32", [], 4, 8)}, bytes(8)))
    entries, data = model(1, 2, 2)
    for name, metadata in {
            "metadata": metadata_of_model(),
            "metadata-two-levels": metadata_of_model(model="vqvae2"),
            "metadata-grid": metadata_of_model(quantizer="fsq", levels="2,2"),
            "metadata-much": metadata_of_model(latent=65536, codes=1 << 30, groups=65536),
            "metadata-no-config": {**metadata_of_model(), "config": "{"},
            "metadata-of-others": {"format": "pt"}}.items():
        put("weights", name, tensors(entries, data, metadata))


def make_checkpoint():
    shapes = {n: e[1] for n, e in model(1, 1, 2)[0].items()}
    entries, at = {}, 0

    def add(name, dtype, shape):
        nonlocal at
        size = 4
        for extent in shape:
            size *= extent
        entries[name] = (dtype, shape, at, at + size)
        at += size

    for name, shape in shapes.items():
        add("model." + name, "F32", shape)
        if name not in ("codebook.weight", "ema_cluster_size", "ema_dw"):  # Adam has the others
            if len(shape) == 4:  # moments have our layout: [O,kh,kw,I]
                shape = [shape[0], shape[2], shape[3], shape[1]]
            for moment in "mv":
                add(f"adam.{moment}.{name}", "F32", shape)
            add(f"adam.count.{name}", "I32", [1])
    add("adam.step", "I32", [1])
    add("codebook.updates", "I32", [1])
    zeros = {"sums": ["0x0p+0"] * 10, "batches": 0, "counts": [0, 0]}
    position = {"epoch": 1, "train": {**zeros, "batches": 3}, "test": zeros, "rows": ["1,0.5"]}
    metadata = {"options": '{"epochs":2,"seed":1}', "position": json.dumps(position)}
    put("checkpoint", "whole", tensors(entries, bytes(at), metadata))  # the one larger than 4 KB
    put("checkpoint", "no-options", tensors({}, b"", {"position": "{}"}))
    put("checkpoint", "options-deep", tensors({}, b"", {"options": "[" * 1000 + "]" * 1000}))
    put("checkpoint", "options-no-object", tensors({}, b"", {"options": "3"}))
    put("checkpoint", "other-run", tensors({}, b"", {"options": '{"epochs":2,"seed":2}'}))
    put("checkpoint", "no-tensors", tensors({}, b"", metadata))

    def snapshot(codebook, counts, dtype="F32"):
        end = 4 * codebook[0] * codebook[-1]
        counts_end = end + 4 * counts
        return tensors({"codebook.weight": (dtype, codebook, 0, end),
                        "counts": ("I32", [counts], end, counts_end)}, bytes(counts_end))

    put("checkpoint", "snapshot", snapshot([2, 3], 2))
    put("checkpoint", "snapshot-fewer-counts", snapshot([2, 3], 1))
    put("checkpoint", "snapshot-of-counts", snapshot([2, 3], 2, "I32"))
    put("checkpoint", "snapshot-counts-f32", tensors({"codebook.weight": ("F32", [1, 1], 0, 4),
                                                      "counts": ("F32", [1], 4, 8)}, bytes(8)))


def make_image_sets():
    record = bytes([7]) + bytes(i * 7 % 251 for i in range(3072))
    put("cifar10", "one-record", bytes([128]) + record)
    put("cifar10", "label-10", bytes([128, 10]) + record[1:])
    put("cifar10", "too-short", bytes([128]) + record[:-1])
    put("cifar10", "too-long", bytes([128]) + record + b"\0")
    put("cifar10", "padded-to-two", bytes([1, 9]))
    put("cifar10", "empty", bytes([128]))
    put("cifar10", "hundred", bytes([129, 19, 99]) + record[1:])
    put("cifar10", "hundred-label-100", bytes([1, 19, 100]))

    def idx(*dimensions, kind=8):
        return struct.pack(">HBB", 0, kind, len(dimensions)) + struct.pack(
            ">%dI" % len(dimensions), *dimensions)

    images, labels = idx(3, 4, 5) + bytes(range(60)), idx(3) + bytes([5, 0, 4])
    for name, (these, those) in {
            "whole": (labels, images), "no-labels": (b"", images), "one": (idx(1) + b"1", idx(1, 2, 2)
                                                                           + b"1234"),
            "cut": (labels, images[:-1]), "longer": (labels, images + b"x"),
            "label-missing": (labels[:-1], images), "four-labels": (idx(4) + bytes(4), images),
            "of-floats": (labels, idx(3, 4, 5, kind=13) + bytes(240)),
            "dimension-0": (labels, idx(3, 0, 5)), "packed": (labels, b"\x1f\x8b\x08" + images),
            "product-is-0-modulo-2-64": (labels, idx(2**31, 2**15, 2**15) + bytes(9)),
            "largest": (labels, idx(2**32 - 1, 2**32 - 1, 2**32 - 1))}.items():
        put("idx", name, bytes([len(these)]) + these + those)
    put("stl10", "one", bytes([0]) + bytes(range(200)))
    put("stl10", "labels", bytes([4, 1, 10, 3, 4]) + bytes(range(200)))
    put("stl10", "label-0", bytes([2, 1, 0]))
    put("stl10", "label-11", bytes([2, 11, 1]))
    put("stl10", "cut", bytes([3, 1, 2, 3]) + bytes(100))


def png_chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(
        ">I", zlib.crc32(name + content))


def png(width, height, depth, colour, rows, interlaced=0, before=(), data=None):
    """A PNG whose rows, [height][bytes], are not filtered."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    packed = zlib.compress(b"".join(b"\0" + bytes(row) for row in rows)) if data is None else data
    return (b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + b"".join(before)
            + png_chunk(b"IDAT", packed) + png_chunk(b"IEND", b""))


def make_png():
    palette = png_chunk(b"PLTE", bytes(range(12)))
    files = {"rgb": png(3, 2, 8, 2, [range(9), range(9)]), "grey": png(3, 2, 8, 0, [range(3)] * 2),
             "grey-1-bit": png(9, 2, 1, 0, [[0xA5, 0x80]] * 2),
             "rgb-16-bits": png(1, 2, 16, 2, [range(6)] * 2),
             "palette": png(4, 2, 2, 3, [[0x1B]] * 2, before=[palette]),
             "palette-alpha": png(4, 1, 2, 3, [[0x1B]], before=[palette,
                                                                png_chunk(b"tRNS", b"\0\x80")]),
             "palette-missing": png(4, 1, 2, 3, [[0x1B]]),
             "beyond-the-palette": png(1, 1, 8, 3, [[200]], before=[palette]),
             "grey-transparent": png(2, 1, 8, 0, [[1, 2]], before=[png_chunk(b"tRNS", b"\0\1")]),
             "grey-alpha": png(2, 1, 8, 4, [range(4)]), "rgba": png(2, 1, 8, 6, [range(8)]),
             "interlaced": png(1, 1, 8, 2, [range(3)], interlaced=1),
             "gamma": png(1, 1, 8, 0, [[7]], before=[png_chunk(b"gAMA", struct.pack(">I", 45455))]),
             "text": png(1, 1, 8, 0, [[7]], before=[png_chunk(b"zTXt", b"a\0\0" + zlib.compress(
                 bytes(100_000)))]),
             "profile": png(1, 1, 8, 0, [[7]], before=[png_chunk(b"iCCP", b"a\0\0" + zlib.compress(
                 bytes(1000)))]),
             "too-few-rows": png(3, 3, 8, 0, [range(3)] * 2),
             "too-many-rows": png(3, 1, 8, 0, [range(3)] * 2),
             "promises-60000": png(60000, 60000, 8, 2, [range(9)]),
             "promises-5000": png(5000, 5000, 1, 0, [range(9)]),
             "white-400": png(400, 400, 1, 0, [b"\xff" * 50] * 400),
             "no-pixels": png(0, 0, 8, 0, []), "depth-3": png(1, 1, 3, 0, [[1]]),
             "filter-9": png(1, 1, 8, 0, [], data=zlib.compress(b"\x09\1")),
             "no-zlib": png(1, 1, 8, 0, [], data=b"no zlib")}
    for name, content in files.items():
        put("png", name, content)
    put("png", "cut", files["rgb"][:-20])
    put("png", "checksum", files["rgb"].replace(b"IDAT", b"IDAS"))
    put("png", "signature", files["rgb"][:8])


def jpeg(frame, scans, before=b""):
    """Markers of a JPEG with tables of one code each: a bit 0 is the category `first` of the DC
    difference, or the end of a block."""
    table = bytes(1) + bytes([1] * 64)
    dc, ac = bytes([0x00, 1] + [0] * 15 + [0]), bytes([0x10, 1] + [0] * 15 + [0])
    marker = lambda code, content: bytes([0xFF, code]) + struct.pack(">H", len(content) + 2) + content
    return (b"\xff\xd8" + before + marker(0xDB, table) + marker(frame[0], frame[1])
            + marker(0xC4, dc) + marker(0xC4, ac)
            + b"".join(marker(0xDA, head) + data for head, data in scans) + b"\xff\xd9")


def make_jpeg():
    def frame(width, height, components, code=0xC0):
        return code, struct.pack(">BHHB", 8, height, width, components) + b"".join(
            bytes([i + 1, 0x11, 0]) for i in range(components))

    def scan(components, first=0, last=63, bits=0):
        return bytes([components]) + b"".join(bytes([i + 1, 0]) for i in range(components)) + bytes(
            [first, last, bits])

    def exif(content):
        return b"\xff\xe1" + struct.pack(">H", len(content) + 8) + b"Exif\0\0" + content

    turned = exif(b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0")
    adobe = b"\xff\xee\0\x0eAdobe\0d\0\0\0\0%c"
    files = {"grey": jpeg(frame(8, 8, 1), [(scan(1), b"\x3f")]),
             "grey-16": jpeg(frame(16, 16, 1), [(scan(1), b"\0")]),
             "colour": jpeg(frame(8, 8, 3), [(scan(3), b"\x03")]),
             "cmyk": jpeg(frame(8, 8, 4), [(scan(4), b"\0")], adobe % 0),
             "ycck": jpeg(frame(8, 8, 4), [(scan(4), b"\0")], adobe % 2),
             "two-components": jpeg(frame(8, 8, 2), [(scan(2), b"\0")]),
             "turned": jpeg(frame(16, 8, 1), [(scan(1), b"\x0f")], turned),
             "orientation-far": jpeg(frame(8, 8, 1), [(scan(1), b"\x3f")],
                                     exif(b"II*\0\xff\xff\xff\xff")),
             "progressive": jpeg(frame(8, 8, 1, 0xC2), [(scan(1, 0, 0), b"\x7f"),
                                                        (scan(1, 1, 63), b"\x7f")]),
             "many-scans": jpeg(frame(8, 8, 1, 0xC2), [(scan(1, 0, 0), b"\x7f")]
                                + [(scan(1, 1, 63), b"\x7f")] * 200),
             "arithmetic": jpeg(frame(8, 8, 1, 0xC9), [(scan(1), b"\0\0")]),
             "lossless": jpeg(frame(8, 8, 1, 0xC3), [(scan(1), b"\0")]),
             "promises-60000": jpeg(frame(60000, 60000, 3), [(scan(3), b"\0")]),
             "promises-2000": jpeg(frame(2000, 2000, 1), [(scan(1), b"\0")]),
             "no-pixels": jpeg(frame(0, 0, 1), [(scan(1), b"\0")]),
             "no-scan": jpeg(frame(8, 8, 1), []),
             "too-few-blocks": jpeg(frame(64, 64, 1), [(scan(1), b"\0")])}
    for name, content in files.items():
        put("jpeg", name, content)
    put("jpeg", "cut", files["colour"][:-5])
    put("jpeg", "start", b"\xff\xd8\xff")


CONFIG = {"estimator": "ste", "codebook_start": "kmeans", "codes": 2, "latent": 2, "beta": 0.25,
          "epochs": 2, "seed": 1, "precision": "fp32", "device": "cpu"}


def make_run_folder():
    options = json.dumps(CONFIG)
    record = '{"options":' + options + ',"commit":"0123abc","hardware":"a CPU"%s}'
    timing = "epoch,train_seconds,eval_seconds\n1,2.5,0.5\n2,2.25,0.5\n"
    metrics = "epoch,train_loss\n1,0.5\n2,0.25\n"

    def files(config, timing=timing, metrics=metrics):
        texts = config, timing, metrics
        return b"\0".join(x if isinstance(x, bytes) else x.encode() for x in texts)

    put("run_folder", "finished", files(record % ""))
    put("run_folder", "not-finished", files(record % "", timing[:-11], metrics[:-7]))
    put("run_folder", "crlf", files(record % "", timing, metrics.replace("\n", "\r\n")))
    put("run_folder", "continues", files(record % ',"continues":{"run":"r","epochs":1}'))
    for name, more in {"epochs-1e300": ',"continues":{"run":"r","epochs":1e300}',
                       "epochs-negative": ',"continues":{"run":"r","epochs":-1}',
                       "epochs-beyond-64-bits": ',"continues":{"run":"r","epochs":1e19}',
                       "continues-a-number": ',"continues":3',
                       "deep": ',"more":' + "[" * 600 + "]" * 600}.items():
        put("run_folder", name, files(record % more))
    put("run_folder", "commit-a-number", files('{"options":' + options + ',"commit":7}'))
    put("run_folder", "no-commit", files('{"options":' + options + "}"))
    put("run_folder", "other-options", files('{"options":{"epochs":"2"}}'))
    put("run_folder", "no-object", files("[1]"))
    put("run_folder", "empty", b"")
    put("run_folder", "not-utf-8", files(b'{"options":"\xff"}'))
    put("run_folder", "cut", files((record % "")[:60]))
    put("run_folder", "no-columns", files(record % "", "epoch\n1\n"))
    put("run_folder", "no-rows", files(record % "", timing.split("\n")[0] + "\n"))


def make_section():
    whole = {"name": "table3", "title": "A <title>", "scale": "", "notes": ["a note"],
             "findings": ["one"], "pictures": [{"file": "a.png", "caption": "c"}],
             "tables": [{"file": "t", "title": "T", "notes": [], "columns": ["a", "b"],
                         "rows": [["1", "x,\"y\"\n"], ["2"]]}],
             "runs": [{"folder": "r", "commit": "c", "hardware": "", "precision": "fp32",
                       "device": "cpu", "continues": "", "continues_epochs": 0,
                       "seconds": [1.5, 2e300]}],
             "verdicts": {"agrees": 3, "differs": 1}}
    put("section", "whole", json.dumps(whole))
    for name, verdicts in {"many-cells": {"agrees": 2147483647, "differs": 1},
                           "cells-1e300": {"agrees": 1e300}, "cells-negative": {"agrees": -1},
                           "cells-a-list": [2147483647, 2147483647]}.items():
        put("section", name, json.dumps({**whole, "verdicts": verdicts}))
    run = {**whole["runs"][0], "continues": "r", "continues_epochs": -1}
    put("section", "continues-negative", json.dumps({**whole, "runs": [run]}))
    run["continues_epochs"] = 9
    put("section", "continues-itself", json.dumps({**whole, "runs": [run]}))
    put("section", "seconds-1e999", json.dumps(whole).replace("2e+300", "1e999"))
    put("section", "deep", "[" * 2000 + "]" * 2000)
    put("section", "no-object", "3")
    put("section", "columns-missing", json.dumps({**whole, "tables": [{"file": "t"}]}))


def make_progress():
    zeros = ["0x0p+0"] * 10
    part = {"sums": ["0x1.8p+0", "inf", "-nan", *zeros[3:]], "batches": 3, "counts": [4, 0]}
    none = {"sums": zeros, "batches": 0, "counts": [0, 0]}
    whole = {"epoch": 1, "train": part, "test": none, "rows": ["1,0.5"]}
    put("progress", "whole", json.dumps(whole))
    put("progress", "start", json.dumps({"epoch": 0, "train": none, "test": none, "rows": []}))
    for name, change in {"batches-negative": {"batches": -1}, "batches-1e300": {"batches": 1e300},
                         "batches-2-64": {"batches": 2**64 - 1},
                         "counts-negative": {"counts": [-1, 1]},
                         "counts-largest": {"counts": [2**63 - 1, 2**63 - 1]},
                         "counts-fewer": {"counts": [1]},
                         "counts-an-object": {"counts": {"a": 1, "b": 2}},
                         "sums-text": {"sums": ["x"] + zeros[1:]},
                         "sums-empty": {"sums": [""] * 10},
                         "sums-nul": {"sums": ["0x1p+0\0"] + zeros[1:]},
                         "sums-numbers": {"sums": [0.0] * 10},
                         "sums-fewer": {"sums": zeros[1:]}}.items():
        put("progress", name, json.dumps({**whole, "train": {**part, **change}}))
    put("progress", "epoch-negative", json.dumps({**whole, "epoch": -1}))
    put("progress", "epoch-true", json.dumps({**whole, "epoch": True}))
    put("progress", "rows-fewer", json.dumps({**whole, "epoch": 2}))
    put("progress", "deep", '{"epoch":' + "[" * 1500)
    put("progress", "empty", "")


def make_texts():
    for name, text in {"whole": "epoch,train_loss\n1,0.5\n2,-2.5e-3\n", "no-line-end": "a,b\n1,2",
                       "crlf": "a,b\r\n1,2\r\n", "nan": "a,b\nnan,inf\n-nan,-inf\n",
                       "1e999": "a\n1e999\n", "hexadecimal": "a\n0x10\n", "empty": "",
                       "heading": "a,b\n", "commas": ",,,,\n,,,,\n", "nul": "a,b\n1\0,2\n",
                       "same-names": "a,a\n1,2\n", "blank-line": "a\n1\n\n2\n",
                       "one-long-line": "a\n" + "1," * 1900,
                       "not-utf-8": b"\xff\xfe,a\n1,2\n"}.items():
        put("metrics", name, text)
    for name, text in {"whole": "x, y\r\n0,0\n\n 1.5,-2 \n3e-4,1e20\n", "no-heading": "1,2\n3,4",
                       "nan": "nan,inf\n", "1e39": "1e39,0\n", "1e999": "1e999\n",
                       "1e-999": "1e-999\n",
                       "ragged": "1,2\n3\n", "comma-at-the-end": "1,2,\n3,4,\n",
                       "commas": ",,,\n1,2\n",
                       "empty": "", "blank": " \n\t\n", "nul": "1\0,2\n", "heading": "a,b\n",
                       "half-heading": "a,2\n", "one-long-line": "1," * 1900}.items():
        put("points", name, text)
    head, conv = "card NVIDIA H100\ncudnn 91900\n", "conv forward bf16 1 8 8 3 4 3 3 1 1 "
    for name, text in {"whole": f"{head}# note\n\n{conv}bias+relu 9 17=4 24=130  # 1 us # 2\n",
                       "no-knobs": f"{head}{conv}none 0", "twice": head + 2 * f"{conv}none 0\n",
                       "no-card": f"cudnn 91900\n{conv}none 0\n", "huge": f"{head}{conv}none {'9' * 40}\n",
                       "equal-sign": f"{head}{conv}none 1 =\n", "nul": "card \0\ncudnn 1\0\n",
                       "empty": "", "not-utf-8": b"card \xff\ncudnn 1\n# \xfe"}.items():
        put("plans", name, text)
    for name, text in {"first": "beta_0.25_k1024", "second": "training_testing_k1024_beta0.25",
                       "no-number": "beta_k", "only-dots": "beta_...5_k1", "dots": "beta0.2.5_k8",
                       "negative": "beta-1_k-1", "codes-too-many": "beta1_k" + "9" * 40,
                       "beta-too-large": "beta" + "9" * 400 + "_k1",
                       "beta-tiny": "beta0." + "0" * 400 + "1_k1",
                       "words-first": "book_betamax_beta2_k3", "exponent": "beta1e999_k1",
                       "nan": "betanan_kinf", "empty": ""}.items():
        put("published", name, text)
    for name, text in {"cpu": "cpu", "cuda": "cuda", "cuda-1": "cuda:1", "cuda-999": "cuda:999",
                       "too-many": "cuda:99999999999", "negative": "cuda:-1", "blank": "cuda: 1",
                       "empty": "", "nul": "cpu\0", "upper": "CPU", "no-index": "cuda:"}.items():
        put("device", name, text)
    for name, words in {"none": "", "sizes": "--codes 16 --latent 8 --batch-size 4 --epochs 2",
                        "numbers": "--beta 0.5 --decay 0.9 --lr 1e-3 --dead-codes 0 --ema-in-eval 1",
                        "lists": "--seeds 1,2,18446744073709551615 --preset published,versor",
                        "choices": "--estimator ste --owner both --codebook-start uniform "
                                   "--accumulators zero --precision bf16 --device cuda:1 --data synthetic",
                        "quick": "--quick --quiet --list --results there --threads 2",
                        "nan": "--beta nan", "1e999": "--beta 1e999", "infinite": "--lr inf",
                        "too-large": "--codes 99999999999999999999", "negative": "--codes -1",
                        "hexadecimal": "--codes 0x10", "octal": "--epochs 010",
                        "equals": "--codes=7",
                        "no-value": "--codes", "unknown": "--no-such 1",
                        "twice": "--codes 2 --codes 3",
                        "seed-negative": "--seeds -1", "positional": "word -- -x",
                        "empty-list": "--seeds ,",
                        "flag-value": "--quick=7 --quiet=false"}.items():
        put("command_line", name, words.replace(" ", "\n"))
    put("command_line", "not-utf-8", b"--results\n\xff\xfe\n--data-dir\n\"'\\")


def npy(header, data=b"", version=1):
    text = header.encode()
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text + data


def make_npy():
    def described(descr, shape, order="False"):
        return "{'descr': '%s', 'fortran_order': %s, 'shape': %s, }\n" % (descr, order, shape)

    data = struct.pack("<6i", 0, 1, -1, 2**31 - 1, -2**31, 7)
    put("npy", "i4", npy(described("<i4", "(2, 3)"), data))
    put("npy", "version-2", npy(described("<i4", "(6,)"), data, 2))
    put("npy", "version-9", npy(described("<i4", "(6,)"), data, 9))
    put("npy", "keys-in-another-order", npy('{"shape":(3,2),"fortran_order":False,"descr":"<i4"}', data))
    for name, header in {
            "i1": described("|i1", "(2, 12)"), "i2": described("<i2", "(12,)"),
            "i8": described("<i8", "(3,)"), "u1": described("|u1", "(24,)"),
            "u4": described("<u4", "(6,)"), "f4": described("<f4", "(6,)"),
            "big-endian": described(">i4", "(6,)"), "objects": described("|O", "(3,)"),
            "structured": "{'descr': [('a', '<i4')], 'fortran_order': False, 'shape': (6,), }",
            "fortran": described("<i4", "(2, 3)", "True"),
            "five-axes": described("<i4", "(1, 1, 1, 2, 3)"),
            "too-few": described("<i4", "(7,)"), "too-many": described("<i4", "(5,)"),
            "scalar": described("<i4", "()"), "empty-axis": described("<i4", "(0, 3)"),
            "terabytes": described("<i4", "(1099511627776,)"),
            "product-is-0-modulo-2-64": described("<i4", "(4294967296, 4294967296)"),
            "zero-times-much": described("<i4", "(9223372036854775807, 9223372036854775807, 0)"),
            "extent-negative": described("<i4", "(-6,)"),
            "extent-beyond-64-bits": described("<i4", "(18446744073709551622,)"),
            "extent-a-word": described("<i4", "(six,)"),
            "twice": "{'descr': '<i4', 'descr': '<i4', 'fortran_order': False, 'shape': (6,), }",
            "no-shape": "{'descr': '<i4', 'fortran_order': False, }",
            "open-quote": "{'descr': '<i4", "more-after": described("<i4", "(6,)") + "x",
            "no-dictionary": "[1]", "nothing": ""}.items():
        put("npy", name, npy(header, data))
    put("npy", "cut-in-the-data", npy(described("<i4", "(2, 3)"), data[:-1]))
    put("npy", "header-longer-than-the-file", b"\x93NUMPY\x02\0" + struct.pack("<I", 2**32 - 1))
    put("npy", "cut-in-the-length", b"\x93NUMPY\x01\0\x05")
    put("npy", "no-bytes", b"")
    put("npy", "other-magic", b"\x93NUMPX" + npy("{}")[6:])


def make_packed_symbols():
    def packed(right, images=1, code=bytes(9), version=1, levels=2, code_bytes=None, cut=None,
               magic=b"VERSORVQ"):
        code_bytes = len(code) if code_bytes is None else code_bytes
        header = magic + struct.pack("<2I6Q", version, levels, 0x0123456789abcdef, 5, images,
                                     code_bytes, 6, 7) + struct.pack("<8I", 3, 1, 1, 1, 2, 1, 1, 1)
        return bytes([right]) + (header + bytes(8) + code)[:cut]

    for right in range(8):  # what tests/fuzz/packed_symbols.cpp makes right
        put("packed_symbols", f"right-{right}", packed(right))
    for name, change in {
            "no-images": {"images": 0}, "images-2-64": {"images": 2**64 - 1},
            "images-product-wraps": {"images": 2**63 + 1}, "images-2-16": {"images": 2**16},
            "ones": {"code": b"\xff" * 16, "images": 4}, 
            "mixed": {"code": bytes(range(16)), "images": 3},
            "longer-than-needed": {"code": bytes(range(1, 60))},
            "no-code": {"code": b""}}.items():
        put("packed_symbols", name, packed(7, **change))
    for name, change in {
            "version-9": {"version": 9}, "levels-0": {"levels": 0},
            "levels-2-32": {"levels": 2**32 - 1}, "code-2-64": {"code_bytes": 2**64 - 1},
            "other-magic": {"magic": b"VERSORVX"}}.items():
        put("packed_symbols", name, packed(1, **change))
    for cut in (0, 7, 8, 63, 64, 96, 103, 104, 112):
        put("packed_symbols", f"cut-{cut}", packed(0, cut=cut))
    put("packed_symbols", "no-bytes", b"")
    put("packed_symbols", "npy", b"\0" + npy("{'descr': '<i4', 'fortran_order': False, 'shape': (), }"))


for make in (make_safetensors, make_weights, make_checkpoint, make_image_sets, make_png,
             make_jpeg, make_run_folder,
             make_section, make_progress, make_texts, make_npy, make_packed_symbols):
    make()
