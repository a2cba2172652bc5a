"""Which alerts Prometheus' own rule tester fires for given series."""

import json
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml
from orthanc_for_tests import require
from site_for_tests import Sample

ROOT = Path(__file__).resolve().parents[2]
RULES = sorted((ROOT / "charts/qsm-operator/files/alerts").glob("*.yaml"))


def rules() -> list[dict]:
    """All rules of all files."""
    return [rule for file in RULES for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]


def alerts() -> dict[str, dict]:
    """Alerts by name."""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def written(series: Mapping[Sample, Iterable[float | None]]) -> list[dict]:
    """Series as promtool reads them."""
    return [
        {
            "series": name + "{" + ",".join(f"{key}={json.dumps(value)}" for key, value in labels) + "}",
            "values": _short(values),
        }
        for (name, labels), values in series.items()
    ]


def _short(values: Iterable[float | None]) -> str:
    """Values, equal ones in a row as one word: `5x9` is ten fives."""
    words: list[list] = []
    for value in values:
        text = "_" if value is None else repr(float(value))
        if words and words[-1][0] == text:
            words[-1][1] += 1
        else:
            words.append([text, 0])
    return " ".join(
        text if not more else f"{text}x{more + (text == '_')}" if text == "_" else f"{text}+0x{more}"
        for text, more in words
    )


def fired(
    folder: Path, series: Mapping[Sample, Iterable[float | None]], hours: float, interval: str = "1m"
) -> set[str]:
    """Names of the alerts that fire at any moment. The tester compares with nothing expected; what it found is read."""
    require("promtool")
    seconds = int(hours * 3600)
    test = {
        "rule_files": [str(file) for file in RULES],
        "evaluation_interval": interval,
        "tests": [
            {
                "interval": interval,
                "input_series": written(series),
                "promql_expr_test": [
                    {
                        "expr": f'count by (alertname) (last_over_time(ALERTS{{alertstate="firing"}}[{seconds}s]))',
                        "eval_time": f"{seconds}s",
                        "exp_samples": [{"labels": '{alertname="nothing"}', "value": 1}],
                    }
                ],
            }
        ],
    }
    path = folder / "test.yaml"
    path.write_text(yaml.safe_dump(test, width=10**9))
    said = subprocess.run(["promtool", "test", "rules", str(path)], capture_output=True, text=True, check=False)
    assert said.returncode == 1, said.stderr + said.stdout
    assert "got:" in said.stdout + said.stderr, said.stderr + said.stdout
    got = (said.stdout + said.stderr).split("got:", 1)[1]
    return {word.split('"')[1] for word in got.split("alertname=")[1:]}
