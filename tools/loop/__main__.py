"""`python -m tools.loop up [DICOM]` tells the story of one scan; `down` leaves nothing behind.

`whose` prints own or given: the cluster that `up` would use.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools.loop import story
from tools.loop.clusters import GivenCluster, the_cluster
from tools.loop.places import ROOT, Places
from tools.loop.running import DemoError
from tools.loop.site import Site, check_programs

STEPS: dict[str, float] = {}
"""Seconds of each step, in their order."""


def step(what: str, do: Callable[[], Any]) -> Any:
    """One line for a step: what, and how long it took."""
    print(f"   {what} ...", end="", flush=True)
    began = time.monotonic()
    made = do()
    STEPS[what] = time.monotonic() - began
    print(f" {STEPS[what]:.0f} s", flush=True)
    return made


def up(dicom: str) -> None:
    """Everything, from nothing to a map in the PACS."""
    places = Places()
    site = Site(places)
    is_given = isinstance(site.cluster, GivenCluster)
    check_programs()
    places.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    places.output.mkdir(exist_ok=True)
    if os.environ.get("KUBECONFIG") and not is_given:
        print("a demo with a cluster of its own is up and goes on; `make demo-down` first, then KUBECONFIG counts")
    print("1. a site")
    step("the cluster that KUBECONFIG names" if is_given else "a Kubernetes with a node", site.cluster.start)
    step("the PACS", site.start_servers)
    step("an object store", site.start_store)
    references = step("our images to the nodes", site.bring_images)
    step("the Helm chart", lambda: site.install(references))
    step("Orthanc, which the scanner sends to", site.let_orthanc_hint)
    prometheus = site.start_prometheus()
    print("2. a scan")
    images_sent = story.images_in(Path(dicom) if dicom else _simulated(places))
    watching = story.Story(site)
    step(f"the scanner sends {len(images_sent)} images", lambda: story.send(site, images_sent))
    watching.sent()
    print("3. nobody does anything (seconds since the last image)")
    job = watching.follow()
    shown = story.picture(site, job, places.output / "loop")
    _note_times(places.output / "loop", watching)
    print("4. look around")
    if shown:
        print(f"   picture     {shown}\n   report      {shown.with_name('report.html')}")
    print(f"   kubectl     {' '.join(site.kubectl_words)} describe qsmjob {job['metadata']['name']}")
    print(f"   Orthanc     {site.orthanc.url}  user operator, password {site.orthanc.password}")
    print(f"   PACS        {site.pacs.url}  user operator, password {site.pacs.password}")
    if prometheus:
        print(f"   Prometheus  {prometheus}")
    print("   make demo-down   ends it and leaves nothing behind")


def _note_times(folder: Path, watching: story.Story) -> None:
    """For `make bench-demo`: what took how long. QSM_DEMO_BEGAN is when `make demo` began."""
    began = os.environ.get("QSM_DEMO_BEGAN")
    report = folder / "report.json"
    times = {
        "steps": STEPS,
        "story": watching.times,
        "stages": json.loads(report.read_text())["stages"] if report.exists() else [],
        "seconds": time.time() - float(began) if began else None,
    }
    folder.mkdir(exist_ok=True)
    (folder / "times.json").write_text(json.dumps(times, indent=1))


def _simulated(places: Places) -> Path:
    folder = places.state / "scan" / str(int(time.time()))
    program = str(Path(sys.executable).with_name("qsm-recon"))
    options = ["--vendor", "siemens", "--protocol", "small", "--seed", str(int(time.time()) % 1000)]
    command = [program, "simulate", *options, "-o", str(folder)]
    step(
        "a simulated scanner measures a digital head",
        lambda: subprocess.run(command, check=True, capture_output=True, cwd=ROOT),
    )
    return folder / "dicom"


def main() -> int:
    """The exit code."""
    try:
        if sys.argv[1:2] == ["down"]:
            Site(Places()).down()
        elif sys.argv[1:2] == ["whose"]:
            print("given" if isinstance(the_cluster(Places()), GivenCluster) else "own")
        elif sys.argv[1:2] == ["up"]:
            up(sys.argv[2] if len(sys.argv) > 2 else "")
        else:
            print(__doc__, file=sys.stderr)
            return 64
    except DemoError as error:
        print(f"\ndemo: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
