#!/usr/bin/env python3
"""Opens our index files with the Python packages they are made for and compares the neighbors.

usage: index_python_check.py [--ann FILE] [--faiss FILE]... --dim D [--vectors FILE.npy|FILE.f32] [--queries N]
                             [--ours nearlite_index_fixture]

--ann      an Annoy file (angular), opened by the package annoy
--faiss    a FAISS file (flat or HNSW), opened by faiss.read_index
--ours     also writes files with the package faiss, which this program must search with the same neighbors
--vectors  the vectors in slot order: .npy, or raw little-endian float32; without it those of the index itself
Exit 0: both packages give the neighbors of an exact search by numpy. Exit 1: the first difference is printed.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

import numpy

TOLERANCE = 2e-6  # of a cosine: float32 sums in another order


def fail(message):
    print(f"index_python_check: {message}", file=sys.stderr)
    raise SystemExit(1)


def load_vectors(path, dim):
    if path.suffix == ".npy":
        vectors = numpy.load(path).astype(numpy.float32)
    else:
        vectors = numpy.fromfile(path, dtype="<f4")
        if vectors.size % dim:
            fail(f"{path} holds {vectors.size} values, no multiple of {dim}")
        vectors = vectors.reshape(-1, dim)
    if vectors.ndim != 2 or vectors.shape[1] != dim:
        fail(f"{path} has the shape {vectors.shape}, wanted [n, {dim}]")
    return vectors


def unit(rows):
    lengths = numpy.linalg.norm(rows.astype(numpy.float64), axis=1, keepdims=True)
    return rows / numpy.where(lengths == 0, 1, lengths)


def make_queries(vectors, count):
    """Stored vectors, and some moved a little."""
    random = numpy.random.default_rng(1)
    live = numpy.flatnonzero(numpy.linalg.norm(vectors, axis=1) > 0)
    if live.size == 0:
        return numpy.empty((0, vectors.shape[1]), numpy.float32)
    chosen = vectors[random.choice(live, min(count, live.size), replace=False)]
    moved = unit(chosen) + 0.3 / vectors.shape[1] ** 0.5 * random.standard_normal(chosen.shape)
    return numpy.concatenate([chosen, moved]).astype(numpy.float32)


def compare(name, vectors, queries, search, k=10, model=None):
    """search(query, k) -> slots. They must be as near as the true ones, place by place.

    With model(query, k) -> slots, the search of the package itself over a graph: as near as those, in 97 of 100 places. The same graph is
    walked a little otherwise by each release of FAISS, and what one of them misses is not in the file.
    """
    units = unit(vectors)
    k = min(k, len(vectors))
    places = missed = 0
    for number, query in enumerate(queries):
        cosines = units @ (query / numpy.linalg.norm(query.astype(numpy.float64)))
        truth = numpy.sort(cosines if model is None else cosines[model(query, k)])[::-1][:k]
        slots = list(search(query, k))
        if len(slots) != k or len(set(slots)) != k:
            fail(f"{name}: query {number} gave {len(slots)} slots, {len(set(slots))} of them different, wanted {k}")
        off = numpy.abs(cosines[slots] - truth)
        if model is not None:
            places += k
            missed += int((truth - cosines[slots] > TOLERANCE).sum())
        elif off.max() > TOLERANCE:
            place = int(off.argmax())
            fail(f"{name}: query {number}, place {place}: cosine {cosines[slots[place]]:.7f} of slot {slots[place]}, "
                 f"exact search has {truth[place]:.7f}")
    if missed > 0.03 * places:
        fail(f"{name}: {missed} of {places} places are farther than what the package finds")
    print(f"{name}: {len(vectors)} vectors x {vectors.shape[1]}, {len(queries)} queries, first {k} neighbors equal" +
          (f" but for {missed} of {places}" if missed else ""))


def check_annoy(path, dim, vectors, num_queries):
    import annoy

    index = annoy.AnnoyIndex(dim, "angular")
    if not index.load(str(path)):
        fail(f"annoy does not load {path}")
    stored = numpy.array([index.get_item_vector(i) for i in range(index.get_n_items())], numpy.float32).reshape(-1, dim)
    if vectors is None:
        vectors = stored
    if stored.shape != vectors.shape or not (stored == vectors).all():
        fail(f"{path}: annoy reads other vectors than were written ({stored.shape}, {vectors.shape})")
    everything = max(1, index.get_n_items() * index.get_n_trees() * 2)
    compare(f"annoy {path.name}, {index.get_n_trees()} trees", vectors, make_queries(vectors, num_queries),
            lambda query, k: index.get_nns_by_vector(query, k, search_k=everything))


def check_faiss(path, dim, vectors, num_queries):
    import faiss

    index = faiss.read_index(str(path))
    if index.d != dim:
        fail(f"{path}: faiss reads {index.d} dimensions, wanted {dim}")
    stored = index.reconstruct_n(0, index.ntotal) if index.ntotal else numpy.empty((0, dim), numpy.float32)
    if vectors is None:
        vectors = stored
    if stored.shape != vectors.shape or (len(stored) and numpy.abs(stored - unit(vectors)).max() > 1e-6):
        fail(f"{path}: faiss reads other vectors than were written")
    if isinstance(index, faiss.IndexHNSWFlat):
        index.hnsw.efSearch = max(1, index.ntotal)  # looks at all that can be reached
    compare(f"faiss {path.name}", vectors, make_queries(vectors, num_queries),
            lambda query, k: index.search(query[None, :], k)[1][0])


def check_ours(program, vectors, num_queries, k=10):
    """Files that the package faiss wrote, searched by our reader."""
    import faiss

    vectors = unit(vectors).astype(numpy.float32)
    queries = make_queries(vectors, num_queries)
    ids = 7_000_000_000 + 3 * numpy.arange(len(vectors))[::-1]

    def empty_ones():
        return (faiss.IndexFlatIP(vectors.shape[1]),
                faiss.IndexHNSWFlat(vectors.shape[1], 24, faiss.METRIC_INNER_PRODUCT))

    indexes = {}  # name -> what is written, and the part of it that holds the vectors
    for inner in empty_ones():
        inner.add(vectors)
        indexes[type(inner).__name__] = (inner, inner)
    for name, kind in (("IndexIDMap", faiss.IndexIDMap), ("IndexIDMap2", faiss.IndexIDMap2)):
        for inner in empty_ones():
            mapped = kind(inner)
            mapped.add_with_ids(vectors, ids)
            indexes[f"{name} of {type(inner).__name__}"] = (mapped, inner)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        queries.tofile(folder / "queries.f32")
        for name, (index, inner) in indexes.items():
            faiss.write_index(index, str(folder / "a.faiss"))
            model = None
            if isinstance(inner, faiss.IndexHNSWFlat):
                # Not every vector can be reached in the package's graph, which its threads build each time otherwise.
                inner.hnsw.efSearch = inner.ntotal
                model = lambda query, k, inner=inner: inner.search(unit(query[None, :]).astype(numpy.float32), k)[1][0]
            found = subprocess.run([program, "--search", folder / "a.faiss", folder / "queries.f32", str(k)],
                                   check=True, capture_output=True, text=True).stdout.splitlines()
            slot_of = {int(number): slot for slot, number in enumerate(ids)} if "IDMap" in name else None
            answers = {query.tobytes(): [int(number) for number in line.split()]
                       for query, line in zip(queries, found, strict=True)}
            compare(f"{name} of the package faiss", vectors, queries,
                    lambda query, k, answers=answers, slot_of=slot_of: [
                        slot_of[number] if slot_of else number for number in answers[query.tobytes()]], model=model)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ann", type=pathlib.Path)
    parser.add_argument("--faiss", type=pathlib.Path, action="append", default=[])
    parser.add_argument("--ours", type=pathlib.Path)
    parser.add_argument("--vectors", type=pathlib.Path)
    parser.add_argument("--dim", type=int, required=True)
    parser.add_argument("--queries", type=int, default=50)
    options = parser.parse_args()
    if not options.ann and not options.faiss:
        parser.error("give --ann, --faiss or both")
    vectors = load_vectors(options.vectors, options.dim) if options.vectors else None
    if options.ann:
        check_annoy(options.ann, options.dim, vectors, options.queries)
    for path in options.faiss:
        check_faiss(path, options.dim, vectors, options.queries)
    if options.ours:
        check_ours(options.ours, vectors, options.queries)


if __name__ == "__main__":
    main()
