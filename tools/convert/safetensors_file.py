"""Writing a safetensors file tensor by tensor, without holding all of them in memory."""

import json
import math
import struct

ELEMENT_BYTES = {"F32": 4, "F16": 2, "BF16": 2}
ALIGNMENT = 64  # of the first tensor's data in the file: what vector loads like best


def write_safetensors(file, dtype, shapes, bytes_of):
    """Writes tensors of one type to an open binary file: `shapes` by name in file order, `bytes_of(name)` the data of one, asked for in that order."""
    header = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        begin, end = end, end + math.prod(shape) * ELEMENT_BYTES[dtype]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    file.write(struct.pack("<Q", len(text)) + text)
    for name in shapes:
        file.write(bytes_of(name))
