from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from effnet_lite.errors import InputError
from effnet_lite.quantize.tflite.file import (
    BUFFER_ALIGNMENT,
    check_model,
    pack,
    read_metadata_buffer,
    read_model,
    schema,
    set_metadata_buffer,
    unpack,
)


def _zip_bytes() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("weights", b"0" * 100)
    return stream.getvalue()


def _constants(model: bytes) -> list[tuple[int, int]]:
    """(offset in the file, size) of every buffer that holds something."""
    base = np.frombuffer(model, np.uint8).ctypes.data
    root = schema().Model.GetRootAs(model, 0)
    arrays = [root.Buffers(i).DataAsNumpy() for i in range(root.BuffersLength())]
    return [(a.ctypes.data - base, a.size) for a in arrays if isinstance(a, np.ndarray) and a.size]


def test_pack_is_the_inverse_of_unpack_and_deterministic(tiny):
    assert pack(unpack(tiny)) == tiny
    assert pack(unpack(tiny)) == pack(unpack(tiny))


def test_constants_are_aligned_as_the_schema_demands(tiny, tiny_model):
    for model in (tiny, tiny_model(5, 7), tiny_model(3, 11, quantized=False)):
        constants = _constants(model)
        assert len(constants) == 2
        assert [offset % BUFFER_ALIGNMENT for offset, _ in constants] == [0, 0]


@pytest.mark.parametrize("convert", [bytes, list, np.array])
def test_pack_takes_bytes_lists_and_arrays_alike(tiny, convert):
    tree = unpack(tiny)
    for buffer in tree.buffers:
        if buffer.data is not None:
            buffer.data = convert(buffer.data)
    if convert is np.array:  # an array of wider items counts by its bytes
        tree.buffers[2].data = tree.buffers[2].data.view(np.int32)
    assert pack(tree) == tiny


def test_pack_is_quick_for_megabytes_of_constants(tiny):
    tree = unpack(tiny)
    extra = schema().BufferT()
    extra.data = bytes(5_000_000)  # byte by byte this would take seconds
    tree.buffers.append(extra)
    assert len(pack(tree)) > 5_000_000


def test_what_lies_behind_the_flatbuffer_is_ignored(tiny):
    assert pack(unpack(tiny + _zip_bytes())) == tiny


def test_buffers_behind_the_flatbuffer_are_taken_in(tiny):
    """Models of more than 2 GB keep their buffers there (schema.fbs, Buffer.offset)."""
    tree = unpack(tiny)
    weights = bytes(tree.buffers[1].data)
    tree.buffers[1].data, tree.buffers[1].offset, tree.buffers[1].size = None, 2, len(weights)
    start = (len(pack(tree)) + 15) // 16 * 16
    tree.buffers[1].offset = start
    outer = pack(tree)
    outer = outer.ljust(start, b"\0") + weights
    assert pack(unpack(outer)) == tiny
    with pytest.raises(InputError, match="cut short"):
        unpack(outer[:-1])


def test_metadata_entries_are_added_replaced_and_found(tiny, run):
    tree = unpack(tiny)
    set_metadata_buffer(tree, "ONE", b"first")
    set_metadata_buffer(tree, "TWO", b"second")
    model = pack(tree)
    again = unpack(model)
    set_metadata_buffer(again, "ONE", b"changed")
    changed = pack(again)
    assert read_metadata_buffer(model, "ONE") == b"first"
    assert read_metadata_buffer(changed, "ONE") == b"changed"
    assert read_metadata_buffer(changed, "TWO") == b"second"
    assert read_metadata_buffer(changed, "THREE") is None
    assert len(unpack(changed).buffers) == len(tree.buffers)
    pixels = np.full((1, 8, 8, 3), 200, np.uint8)
    assert np.array_equal(run(changed, pixels), run(tiny, pixels))


def test_replacing_an_entry_spares_a_buffer_that_others_use(tiny):
    tree = unpack(tiny)
    set_metadata_buffer(tree, "ONE", b"x")
    tree.metadata[0].buffer = 1  # the weights
    set_metadata_buffer(tree, "ONE", b"y")
    assert np.array_equal(tree.buffers[1].data, unpack(tiny).buffers[1].data)
    assert read_metadata_buffer(pack(tree), "ONE") == b"y"


def test_read_model_returns_the_file_as_it_is(tiny, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(tiny + _zip_bytes())
    assert read_model(path) == tiny + _zip_bytes()


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (_zip_bytes(), "a zip archive"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5 file"),
        (b"\x08\x08\x12\x07pytorch\x1a\x052.1.0" + bytes(100), "an ONNX model"),
        (b"\x08\x01\x12\x20" + bytes(100), "a TensorFlow SavedModel"),
        (b"\x80\x02\x8a\x0al\xfc\x9c" + bytes(100), "a PyTorch checkpoint"),
        (b"\x40\0\0\0\0\0\0\0" + b'{"a":{}}', "a safetensors file"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(100), "a JPEG image"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "a PNG image"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"<!DOCTYPE html><html>404</html>", "a web page"),
        ("größe: 224\n".encode() * 60, "a text file"),
        (bytes(range(128, 256)), "unknown binary data that starts with 80818283"),
        (b"\x00\x01", "2 bytes of unknown data"),
    ],
)
def test_other_formats_are_named(tmp_path, content, found):
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    with pytest.raises(InputError, match=found) as caught:
        read_model(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_missing_and_empty_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_model(tmp_path / "none.tflite")
    (tmp_path / "empty.tflite").touch()
    with pytest.raises(InputError, match="empty"):
        read_model(tmp_path / "empty.tflite")


def test_every_truncation_is_refused(tiny, tmp_path):
    """Cut at each byte of the small model: all of it is needed, so none may pass."""
    path = tmp_path / "model.tflite"
    for size in [*range(8, len(tiny), 7), len(tiny) - 1]:
        path.write_bytes(tiny[:size])
        with pytest.raises(InputError) as caught:
            read_model(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda m: setattr(m, "version", 2), "schema 3, found 2"),
        (lambda m: setattr(m, "subgraphs", []), "no subgraph"),
        (lambda m: setattr(m.subgraphs[0].tensors[1], "buffer", 9), "buffer 9, but has 3"),
        (lambda m: setattr(m.subgraphs[0], "inputs", [4]), "tensor 4, but has 4"),
        (lambda m: setattr(m.subgraphs[0], "outputs", [-1]), "tensor -1, but has 4"),
        (lambda m: setattr(m.subgraphs[0].operators[0], "opcodeIndex", 1), "code 1, but has 1"),
        (lambda m: setattr(m.subgraphs[0].operators[0], "inputs", [0, 7, -1]), "tensor 7"),
        (lambda m: setattr(m.signatureDefs[0], "subgraphIndex", 3), "subgraph 3, but has 1"),
        (lambda m: setattr(m.signatureDefs[0].outputs[0], "tensorIndex", 8), "tensor 8"),
    ],
)
def test_indices_out_of_range_are_named(tiny, damage, message):
    tree = unpack(tiny)
    damage(tree)
    with pytest.raises(InputError, match=message):
        check_model(pack(tree))


def test_an_optional_input_may_be_left_out(tiny):
    tree = unpack(tiny)
    tree.subgraphs[0].operators[0].inputs = [0, 1, -1]
    check_model(pack(tree))


def test_shared_vectors_do_not_take_for_ever():
    """A hand-made bomb: 10,000 subgraphs that are one, whose 10,000 tensors are one."""
    import flatbuffers

    builder = flatbuffers.Builder(1 << 18)

    def table(fields: int, slot: int, offset: int | None) -> int:
        builder.StartObject(fields)
        if offset is not None:
            builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
        return builder.EndObject()

    def repeated(offset: int) -> int:
        builder.StartVector(4, 10_000, 4)
        for _ in range(10_000):
            builder.PrependUOffsetTRelative(offset)
        return builder.EndVector()

    tensors = repeated(table(10, 0, None))
    graphs = repeated(table(6, 0, tensors))
    builder.Finish(table(8, 2, graphs), b"TFL3")
    with pytest.raises(InputError, match="more content than its size"):
        unpack(bytes(builder.Output()))


def test_importing_the_package_stays_light():
    """No runtime and surely no TensorFlow before they are needed."""
    modules = "archive description file flatbuffer golden metadata metadata_schema records sniff"
    lines = "\n".join(f"import effnet_lite.quantize.tflite.{name}" for name in modules.split())
    heavy = "{'flatbuffers', 'ai_edge_litert', 'tensorflow'}"
    code = f"import sys\n{lines}\nprint(sorted({heavy} & sys.modules.keys()))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert result.stdout.strip() == "[]"
