"""Start of the operator's program: settings, log, and everything that runs, put together."""

import asyncio
import json
import logging
import os
import signal
import sys
import time
from importlib.metadata import version

from qsm_operator.cluster import Cluster
from qsm_operator.credentials import CredentialsError, find_credentials, own_namespace
from qsm_operator.handlers import Watching
from qsm_operator.leading import identity, lead
from qsm_operator.leases import Lease
from qsm_operator.metrics import Metrics
from qsm_operator.operating import Operating
from qsm_operator.serving import serve
from qsm_operator.settings import Settings, SettingsError, read_settings
from qsm_operator.transport import HttpTransport

EX_USAGE = 64
EX_TEMPFAIL = 75
EX_CONFIG = 78
_WATCHING_SECONDS = 3.0

logger = logging.getLogger("qsm_operator")


class JsonLines(logging.Formatter):
    """One JSON object per line. Only what we put there ourselves: no specifications, no UIDs, nothing of a patient."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: getattr(record, name) for name in ("namespace", "qsmjob", "attempt") if hasattr(record, name)}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


async def operate(settings: Settings) -> int:
    """Run until SIGTERM, SIGINT, or the loss of the Lease; the exit code."""
    credentials = find_credentials(os.environ)
    metrics = Metrics()
    metrics.build.labels(version("qsm-operator")).set(1)
    transport = HttpTransport(credentials, settings.request_timeout_seconds)
    cluster = Cluster(transport, metrics.request)
    work = Operating(settings, cluster, metrics)
    server = await serve(work, settings.http_host, settings.http_port) if settings.http_port else None

    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)

    async def begin() -> None:
        try:
            await work.start()
        except Exception:
            ended.set()  # told by `run`
            raise

    async def run(lost: asyncio.Event) -> None:
        watching = Watching(work.told, credentials, settings.namespaces)
        starting = asyncio.create_task(begin())
        waits = [asyncio.create_task(event.wait()) for event in (ended, lost)]
        watching.start()
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
        finally:
            for task in (*waits, starting):
                task.cancel()
            if lost.is_set():
                await work.drop()
            else:
                logger.info("ends: finishing what is being looked at")
                await work.stop()
            await watching.stop(_WATCHING_SECONDS)

    try:
        if not settings.leader_election:
            await run(asyncio.Event())
            return 0
        work.stands_by = True
        namespace = settings.lease_namespace or own_namespace()
        lease = Lease(cluster, namespace, settings.lease_name, identity(), time.monotonic)
        return EX_TEMPFAIL if await lead(lease, run, ended) else 0
    finally:
        if server:
            await server.cleanup()
        await transport.close()


def main() -> None:
    """Run the verb on the command line."""
    match sys.argv[1:]:
        case ["version"] | ["--version"]:
            sys.stdout.write(f"qsm-operator {version('qsm-operator')}\n")
        case ["run"]:
            _run()
        case _:
            sys.stderr.write("usage: qsm-operator run | version    (settings: QSM_OPERATOR_... in the environment)\n")
            sys.exit(EX_USAGE)


def _run() -> None:
    try:
        settings = read_settings(os.environ)
        handler = logging.StreamHandler()
        handler.setFormatter(JsonLines())
        logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
        # kopf's own log speaks of every object and may quote it.
        logging.getLogger("kopf").setLevel(max(logging.WARNING, logging.getLevelName(settings.log_level)))
        code = asyncio.run(operate(settings))
    except (SettingsError, CredentialsError) as error:
        sys.stderr.write(f"qsm-operator: {error}\n")
        sys.exit(EX_CONFIG)
    sys.exit(code)


if __name__ == "__main__":
    main()
