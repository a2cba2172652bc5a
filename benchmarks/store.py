"""`make bench-store`: what keeping interim data costs and what resuming saves -> docs/store-figures.md.

Runs with and without a store take turns, each in a fresh process on simulated Siemens DICOM of the StdRes protocol, so
that neighbours on the machine disturb both alike. Object stores are started for the purpose and stopped again.
"""

import argparse
import contextlib
import dataclasses
import gzip
import hashlib
import io
import json
import os
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from benchmarks import bench, machine, pages
from benchmarks.isolated import OUT, ROOT, call
from benchmarks.timing import Stopwatch, cpu_seconds, forget_peak, peak_gib
from qsm_recon import app, recipes
from qsm_recon import compression as packing
from qsm_recon.recipes import Recipe
from qsm_recon.store.interim import NOWHERE, InterimData, open_store
from qsm_recon.store.keeper import THREADS
from qsm_recon.store.manifests import VolumePart

T = TypeVar("T")

SERVERS = {"ceph": "tests/servers/ceph", "minio": "tests/servers/minio/minio"}
ACCESS = {"AWS_ACCESS_KEY_ID": "qsmtest", "AWS_SECRET_ACCESS_KEY": "qsmtest-secret"}
SHAPE = (320, 320, 56)
"""StdRes."""
LIMITS = {"storing_percent": 10.0, "memory_mib": 300.0, "reprocess_percent": 120.0, "throughput_percent": 70.0}
CHANGED = {"medi": ("data_weight", 800.0), "tv-admm": ("noise_factor", 0.12)}
"""By inversion: the parameter that the second run changes."""

ABOUT = """
{machine}. Medians of {rounds} pairs of fresh processes in turns; StdRes ({shape}, 10 echoes), the whole way of
`qsm-recon run` without the start of Python. Bold: the limit is not met. Servers run on the same cores as the run they
serve.
"""
STORING = """## What storing everything costs

Limits: 10 % of the wall time, 300 MiB. *identify* makes the keys, of hashes taken while the scan was read; *settle* is
what was still to be written when the result was.

"""
RESUMING = """## Another inversion of the same scan

Limit: 120 % of the inversion. *chain* goes from the scan in memory to the map: keys, fetching, inverting, storing.

"""
THROUGHPUT = """## Throughput to a server on the same machine

Limit: 70 % of the client library's own, on the same bytes in turns. MB/s; the store moves {threads} volumes at once
and hashes them, the plain client one after the other.

"""
COMPRESSION = """## Compression

What gzip (ISA-L, level 1) leaves of each volume, and its CPU milliseconds beside those of the SHA-256 of the raw file.
Stored packed where it pays.

"""


@contextlib.contextmanager
def server(kind: str) -> Iterator[dict[str, str] | None]:
    """A running server's place and connection; None where its programs are not here."""
    script = ROOT / SERVERS[kind]
    with tempfile.TemporaryDirectory(prefix="qb", dir="/tmp") as folder:
        environment = {**os.environ, **{name: str(free_port()) for name in ("PORT", "MON_PORT")}}
        done = subprocess.run(  # noqa: S603
            [script, "up", f"{folder}/s"], capture_output=True, text=True, check=False, env=environment
        )
        if done.returncode:
            print(f"{kind} is not here: {done.stderr.strip()[-200:]}")
            yield None
            return
        connection = Path(folder) / "connection"
        connection.mkdir()
        for name, value in {"endpoint": done.stdout.strip().splitlines()[-1], **ACCESS}.items():
            (connection / name).write_text(value)
        try:
            call("benchmarks.store:make_bucket", {"connection": str(connection)})
            yield {"place": "s3://qsm-bench/store", "connection": str(connection)}
        finally:
            subprocess.run([script, "down", f"{folder}/s"], capture_output=True, check=False)  # noqa: S603


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_bucket(argument: dict[str, Any]) -> dict[str, Any]:
    """The bucket of a bench."""
    client, _ = plain_client(argument["connection"])
    client.make_bucket("qsm-bench")
    return {}


def plain_client(connection: str) -> tuple[Any, str]:
    """The client library as it comes, without our door."""
    from minio import Minio  # noqa: PLC0415 - the measure to compare with, in no other program

    values = {path.name: path.read_text() for path in Path(connection).iterdir()}
    address = values["endpoint"].removeprefix("http://")
    return Minio(
        address, values["AWS_ACCESS_KEY_ID"], values["AWS_SECRET_ACCESS_KEY"], secure=False, region="us-east-1"
    ), "qsm-bench"


def interim_of(argument: dict[str, Any]) -> InterimData:
    """Where this run keeps its stages."""
    if not argument.get("place"):
        return NOWHERE
    connection = argument.get("connection")
    return InterimData(open_store(argument["place"], Path(connection) if connection else None), "fail")


def recipe_of(name: str, *, changed: bool) -> Recipe:
    """A packaged recipe; its inversion changed a little for reprocessing."""
    recipe = recipes.load(name)
    if not changed:
        return recipe
    parameter, value = CHANGED[recipe.config.inversion.method]
    inversion = recipe.config.inversion.model_copy(update={parameter: value})
    return dataclasses.replace(recipe, config=recipe.config.model_copy(update={"inversion": inversion}))


def run_once(argument: dict[str, Any]) -> dict[str, Any]:
    """What `qsm-recon run` does, from the folder to the report."""
    others = machine.Neighbours()
    watch = Stopwatch()
    recipe = recipe_of(argument["recipe"], changed=argument.get("changed", False))
    with tempfile.TemporaryDirectory(dir=OUT) as place:
        forget_peak()
        start, cpu = time.perf_counter(), cpu_seconds()
        (report,) = app.run(
            Path(argument["dicom"]), Path(place) / "out", app.Method(recipe, "cpu"), watch, interim=interim_of(argument)
        )
        wall, cpu = time.perf_counter() - start, cpu_seconds() - cpu
    return {
        "wall_s": wall,
        "cpu_s": cpu,
        "stages": watch.stages,
        "peak_mib": 1024 * max([peak_gib(), *(stage["peak_gib"] for stage in watch.stages.values())]),
        "cached": report["cached"],
        "others_cores": others.cores(cpu_seconds()),
    }


def volumes(count: int) -> list[Any]:
    """Float volumes of StdRes size that nothing can compress or take for equal."""
    rng = np.random.default_rng(time.time_ns())
    return [rng.standard_normal(SHAPE, dtype=np.float32) for _ in range(count)]


def throughput(argument: dict[str, Any]) -> dict[str, Any]:
    """Megabytes per second of the store and of the plain client, in turns, on the same bytes."""
    store = interim_of(argument).store
    if store is None:
        raise ValueError("a place is needed")
    client, bucket = plain_client(argument["connection"])
    found: dict[str, list[float]] = {"plain put": [], "store put": [], "plain get": [], "store get": []}
    write = partial(store.write_volume, affine_ras_mm=np.eye(4), description="x")
    write(np.zeros((4, 4, 4), np.float32))  # some servers prepare themselves at the first

    def get(part: VolumePart) -> None:
        store.read_volume(part)  # and let it go, as the plain client's loop does

    with ThreadPoolExecutor(THREADS) as pool:
        for _ in range(argument["rounds"]):
            arrays = volumes(argument["count"])
            files = [b"\0" * 352 + array.tobytes(order="F") for array in arrays]
            marks = [time.perf_counter()]
            for number, file in enumerate(files):
                client.put_object(bucket, f"plain/{number}", io.BytesIO(file), len(file))
            marks.append(time.perf_counter())
            parts = list(pool.map(write, arrays))
            marks.append(time.perf_counter())
            for number in range(len(files)):
                client.get_object(bucket, f"plain/{number}").read()
            marks.append(time.perf_counter())
            list(pool.map(get, parts))
            marks.append(time.perf_counter())
            mega = sum(len(file) for file in files) / 1e6
            for name, (start, end) in zip(found, pairwise(marks), strict=True):
                found[name].append(mega / (end - start))
            for part in parts:
                store.backing.remove(part.file)
    return {name: statistics.median(speeds) for name, speeds in found.items()}


def compression(argument: dict[str, Any]) -> dict[str, Any]:
    """What compressing each stored volume would save and cost."""
    store = interim_of(argument).store
    rows = []
    seen: set[str] = set()
    for entry in store.backing.entries("interim/stages/") if store else []:
        manifest = json.loads((store.backing.read(entry.name, 10**7) if store else b"") or b"{}")
        for field, part in manifest["volumes"].items():
            if part["file"] in seen or not store:
                continue
            seen.add(part["file"])
            content = store.backing.read(part["file"], 10**9) or b""
            is_packed = part["file"].endswith(".gz")
            if is_packed:
                content = gzip.decompress(content)
            pack_ms, packed = _cpu_ms(partial(packing.packed, [content]))
            unpack_ms, _ = _cpu_ms(partial(packing.unpacked, packed, len(content)))
            hash_ms, _ = _cpu_ms(partial(hashlib.sha256, content))
            rows.append(
                {
                    "volume": f"{manifest['address']['stage']} {field}",
                    "mb": len(content) / 1e6,
                    "percent": 100 * len(packed) / len(content),
                    "stored": "packed" if is_packed else "raw",
                    "ms": [pack_ms, unpack_ms, hash_ms],
                }
            )
    return {"rows": rows}


def _cpu_ms(work: Callable[[], T]) -> tuple[float, T]:
    """Least of three times, and what came of it."""
    times = []
    for _ in range(3):
        start = time.process_time()
        made = work()
        times.append(1e3 * (time.process_time() - start))
    return min(times), made


def overhead(recipe: str, dicom: str, place: dict[str, str], rounds: int) -> dict[str, Any]:
    """With and without in turns; then the reprocessing."""
    common = {"recipe": recipe, "dicom": dicom}
    without, cold = [], []
    for number in range(rounds):
        without.append(call("benchmarks.store:run_once", common))
        fresh = {**place, "place": f"{place['place']}-{recipe}-{number}"}
        cold.append(call("benchmarks.store:run_once", {**common, **fresh}))
    again = [
        call(
            "benchmarks.store:run_once",
            {**common, **place, "place": f"{place['place']}-{recipe}-{number}", "changed": True},
        )
        for number in range(rounds)
    ]
    return {"without": without, "cold": cold, "again": again}


def chain_s(run: dict[str, Any]) -> float:
    """Seconds from the scan in memory to the map, interim data included."""
    names = ("identify", *bench.CHAIN, "settle")
    return sum(float(run["stages"][name]["wall_s"]) for name in names if name in run["stages"])


def median(runs: list[dict[str, Any]], value: Callable[[dict[str, Any]], float]) -> float:
    """Over runs."""
    return statistics.median(value(run) for run in runs)


def verdict(value: float, limit: float, *, at_most: bool) -> str:
    """In bold where it is not met."""
    good = value <= limit if at_most else value >= limit
    return f"{value:.0f}" if good else f"**{value:.0f}**"


def page(results: dict[tuple[str, str], Any], speeds: dict[str, Any], packing: dict[str, Any], rounds: int) -> None:
    """docs/store-figures.md."""
    rows, again_rows = [], []
    for (recipe, place), found in results.items():
        without, cold, again = found["without"], found["cold"], found["again"]
        pairs = [100 * (c["wall_s"] / w["wall_s"] - 1) for w, c in zip(without, cold, strict=True)]
        cpu = [100 * (c["cpu_s"] / w["cpu_s"] - 1) for w, c in zip(without, cold, strict=True)]
        memory = median(cold, lambda r: r["peak_mib"]) - median(without, lambda r: r["peak_mib"])
        rows.append(
            [
                f"`{recipe}` {place}",
                f"{median(without, lambda r: r['wall_s']):.1f}",
                f"{median(cold, lambda r: r['wall_s']):.1f}",
                verdict(statistics.median(pairs), LIMITS["storing_percent"], at_most=True),
                f"{min(pairs):.0f} to {max(pairs):.0f}",
                f"{statistics.median(cpu):.0f}",
                f"{median(cold, lambda r: r['stages']['identify']['wall_s']):.2f}",
                f"{median(cold, lambda r: r['stages']['settle']['wall_s']):.2f}",
                verdict(memory, LIMITS["memory_mib"], at_most=True),
                f"{median(without + cold, lambda r: r['others_cores']):.1f}",
            ]
        )
        inversion = median(again, lambda r: r["stages"]["inversion"]["wall_s"])
        share = statistics.median(100 * chain_s(r) / r["stages"]["inversion"]["wall_s"] for r in again)
        again_rows.append(
            [
                f"`{recipe}` {place}",
                f"{inversion:.2f}",
                f"{median(again, chain_s):.2f}",
                verdict(share, LIMITS["reprocess_percent"], at_most=True),
                f"{median(again, lambda r: r['wall_s']):.1f}",
                f"{median(without, chain_s):.1f}",
                ", ".join(again[0]["cached"]),
            ]
        )
    speed_rows = [
        [
            kind,
            *(f"{found[name]:.0f}" for name in ("plain put", "store put", "plain get", "store get")),
            verdict(100 * found["store put"] / found["plain put"], LIMITS["throughput_percent"], at_most=False),
            verdict(100 * found["store get"] / found["plain get"], LIMITS["throughput_percent"], at_most=False),
        ]
        for kind, found in speeds.items()
    ]
    pack_rows = [
        [r["volume"], f"{r['mb']:.1f}", f"{r['percent']:.1f}", *(f"{ms:.0f}" for ms in r["ms"]), r["stored"]]
        for r in packing["rows"]
    ]
    storing = (
        "recipe, store",
        "without s",
        "with s",
        "more %",
        "pairs %",
        "more CPU %",
        "identify s",
        "settle s",
        "more memory MiB",
        "cores used by others",
    )
    resuming = (
        "recipe, store",
        "inversion s",
        "chain s",
        "chain / inversion %",
        "whole run s",
        "chain without store s",
        "from the store",
    )
    about = ABOUT.format(machine=machine.described(), rounds=rounds, shape=" × ".join(map(str, SHAPE)))
    pages.write_page(
        "store-figures.md",
        [
            "# Figures of the store\n\n*Written by `make bench-store`; do not edit. Numbers are of this run only.*",
            about,
            STORING + pages.table(storing, rows),
            RESUMING + pages.table(resuming, again_rows),
            THROUGHPUT.format(threads=THREADS)
            + pages.table(("server", "plain put", "store put", "plain get", "store get", "put %", "get %"), speed_rows),
            COMPRESSION
            + pages.table(("volume", "MB", "left %", "pack ms", "unpack ms", "SHA-256 ms", "stored"), pack_rows),
        ],
    )


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--recipes", nargs="*", default=["medi0-v1", "fast-v1"])
    parser.add_argument("--places", nargs="*", default=["folder", *SERVERS])
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    folders = bench.scans(("small", "stdres"))
    results: dict[tuple[str, str], Any] = {}
    speeds: dict[str, Any] = {}
    packing: dict[str, Any] = {"rows": []}
    for recipe in asked.recipes:  # compiles
        call("benchmarks.store:run_once", {"recipe": recipe, "dicom": folders["small"]["dicom"]})
    for name in asked.places:
        folder = OUT / "stores"
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.ExitStack() as stack:
            place = {"place": str(folder / "s")} if name == "folder" else stack.enter_context(server(name))
            if place is None:
                continue
            for recipe in asked.recipes:
                results[recipe, name] = overhead(recipe, folders["stdres"]["dicom"], place, asked.rounds)
                print(f"{recipe} {name} done, load {os.getloadavg()[0]:.1f}", flush=True)
            if name == "folder":
                packing = call("benchmarks.store:compression", {"place": str(folder / f"s-{asked.recipes[0]}-0")})
            else:
                speeds[name] = call("benchmarks.store:throughput", {**place, "rounds": 5, "count": 6})
        shutil.rmtree(folder, ignore_errors=True)
        page(results, speeds, packing, asked.rounds)  # what is measured is not lost with what comes after
        print("docs/store-figures.md written", flush=True)


if __name__ == "__main__":
    main()
