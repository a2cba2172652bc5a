"""A real Prometheus with days of our own exposition in it, and our own rules evaluated over all of that time."""

import json
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, Self

from orthanc_for_tests import require
from ports_for_tests import free_port
from promtool_for_tests import rules
from site_for_tests import Sample

BEGIN = 1_760_000_400
"""When the days begin, Unix time; 2025-10-09 09:00 UTC, long enough ago for blocks to be cut from it."""


class Prometheus:
    """One server on a folder of its own."""

    def __init__(self, folder: Path) -> None:
        require("prometheus", "promtool")
        self.folder, self.port = folder, free_port()
        self.data = folder / "data"
        self.data.mkdir()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        config = self.folder / "prometheus.yml"
        config.write_text(json.dumps({"global": {"scrape_interval": "1h"}, "rule_files": []}))
        command = [
            "prometheus",
            f"--config.file={config}",
            f"--storage.tsdb.path={self.data}",
            "--storage.tsdb.retention.time=100y",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--query.lookback-delta=10m",
        ]
        with (self.folder / "prometheus.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=2):
                    return self
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise TimeoutError((self.folder / "prometheus.log").read_text()[-2000:])

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(timeout=30)

    def fill(self, series: dict[Sample, list[float | None]], step: int) -> None:
        """Put series into the stopped server, one value for each step."""
        kinds = _kinds(series)
        text = self.folder / "series.om"
        with text.open("w") as file:
            for name, kind in kinds.items():
                file.write(f"# TYPE {name.removesuffix('_total') if kind == 'counter' else name} {kind}\n")
                for (sample, labels), values in series.items():
                    if sample != name:
                        continue
                    inside = ",".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in labels)
                    file.writelines(
                        f"{sample}{{{inside}}} {value!r} {BEGIN + number * step}\n"
                        for number, value in enumerate(values)
                        if value is not None
                    )
            file.write("# EOF\n")
        _promtool("tsdb", "create-blocks-from", "openmetrics", str(text), str(self.data), "--max-block-duration=240h")

    def back_fill_rules(self, recorded: list[dict[str, str]], until: int) -> None:
        """Evaluate recording rules over the past, of the running server; restart it to see what came of it."""
        made, file = self.folder / "made", self.folder / "rules.yaml"
        file.write_text(json.dumps({"groups": [{"name": "past", "rules": recorded}]}))
        _promtool(
            "tsdb",
            "create-blocks-from",
            "rules",
            f"--url=http://127.0.0.1:{self.port}",
            f"--start={BEGIN}",
            f"--end={until}",
            "--eval-interval=3m",
            f"--output-dir={made}",
            str(file),
        )
        for block in made.iterdir():
            if block.is_dir() and (block / "meta.json").exists():
                shutil.move(block, self.data / block.name)
        shutil.rmtree(made)

    def ask(self, path: str, **query: Any) -> Any:
        """The answer of the API; an HTTP error has Prometheus' own message."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{query}: {error.read().decode()}") from error


def levels() -> list[list[dict[str, str]]]:
    """Recording rules, those first that stand on no other, then those that stand on these, and so on."""
    left = {rule["record"]: rule for rule in rules() if "record" in rule}
    found = []
    while left:
        ready = [
            name
            for name, rule in left.items()
            if not any(re.search(rf"{other}(?![a-z_])", rule["expr"]) for other in left if other != name)
        ]
        assert ready, f"these stand on one another: {sorted(left)}"
        found.append([left.pop(name) for name in ready])
    return found


def _kinds(series: dict[Sample, list[float | None]]) -> dict[str, str]:
    """Every sample's name as a family of its own; OpenMetrics wants counters to end in _total, the rest are gauges."""
    return {name: "counter" if name.endswith("_total") else "gauge" for name, _ in series}


def _promtool(*arguments: str) -> None:
    said = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr + said.stdout
