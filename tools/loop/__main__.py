"""`python -m tools.loop up [DICOM]` tells the story of one scan; `down` leaves nothing behind."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tools.loop import story
from tools.loop.places import ROOT, Places
from tools.loop.running import DemoError
from tools.loop.site import Site, check_programs


def step(what: str, do: Callable[[], object]) -> object:
    """One line for a step: what, and how long it took."""
    print(f"   {what} ...", end="", flush=True)
    began = time.monotonic()
    made = do()
    print(f" {time.monotonic() - began:.0f} s", flush=True)
    return made


def up(dicom: str) -> None:
    """Everything, from nothing to a map in the PACS."""
    places = Places()
    site = Site(places)
    check_programs()
    places.state.mkdir(parents=True, exist_ok=True)
    places.output.mkdir(exist_ok=True)
    print("1. a site")
    step("a Kubernetes with a node", site.start_cluster)
    step("the PACS", site.start_servers)
    step("an object store", site.start_store)
    images = step("our images into the node", site.import_images)
    step("the Helm chart", lambda: site.install(images))  # type: ignore[arg-type]
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
    print("4. look around")
    if shown:
        print(f"   picture     {shown}\n   report      {shown.with_name('report.html')}")
    kubectl = f"{site.program('kubectl')} --kubeconfig={site.kubeconfig} -n {places.namespace}"
    print(f"   kubectl     {kubectl} describe qsmjob {job['metadata']['name']}")
    print(f"   Orthanc     {site.orthanc.url}  user operator, password {site.orthanc.password}")
    print(f"   PACS        {site.pacs.url}  user operator, password {site.pacs.password}")
    if prometheus:
        print(f"   Prometheus  {prometheus}")
    print("   make demo-down   ends it and leaves nothing behind")


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
