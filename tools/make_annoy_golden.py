#!/usr/bin/env python3
"""Prints the Annoy file that src/index/annoy_index_test.cpp holds, as C++ string literals, and the neighbors that the
library finds in it. Needs the package annoy (made with 1.17.3).

The vectors: item i of 24 is (cos t, sin t, i % 3) with t = i * 0.7, as float32.
"""

import math
import pathlib
import tempfile

import annoy

ITEMS = 24
index = annoy.AnnoyIndex(3, "angular")
index.set_seed(7)
for i in range(ITEMS):
    index.add_item(i, [math.cos(0.7 * i), math.sin(0.7 * i), i % 3])
index.build(2, n_jobs=1)
with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "golden.ann"
    index.save(str(path))
    data = path.read_bytes()
for at in range(0, len(data), 48):
    print(f'    "{data[at:at + 48].hex()}"')
print("neighbors of (1, 0.5, 0.25):", index.get_nns_by_vector([1, 0.5, 0.25], 6, search_k=1000))
