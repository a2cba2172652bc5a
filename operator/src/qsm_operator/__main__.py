"""Start of the operator's program: settings, log, and everything that runs, put together."""

import asyncio
import logging
import os
import signal
import sys
import time
from importlib.metadata import version

from qsm_operator import command_line
from qsm_operator.cluster.credentials import CredentialsError, find_credentials, own_namespace
from qsm_operator.cluster.door import Cluster
from qsm_operator.cluster.expiry import expiries
from qsm_operator.cluster.leases import Lease
from qsm_operator.cluster.transport import HttpTransport
from qsm_operator.controller.handlers import Watching
from qsm_operator.controller.leading import identity, lead
from qsm_operator.controller.program import Operating
from qsm_operator.intake.hints import Hints, serve_hints
from qsm_operator.intake.program import Intaking
from qsm_operator.intake.settings import IntakeSettings, read_intake_settings
from qsm_operator.logs import set_up_logs
from qsm_operator.metrics import IntakeMetrics, Metrics
from qsm_operator.metrics.serving import serve
from qsm_operator.orthanc.connections import ConnectionSettingsError
from qsm_operator.settings import Settings, SettingsError, read_settings
from qsm_operator.status import command as status
from qsm_operator.tracing.tracer import tracing_from

EX_USAGE = 64
EX_TEMPFAIL = 75
EX_CONFIG = 78
_WATCHING_SECONDS = 3.0

logger = logging.getLogger("qsm_operator")


async def operate(settings: Settings) -> int:
    """Run until SIGTERM, SIGINT, or the loss of the Lease; the exit code."""
    credentials = find_credentials(os.environ)
    tracing = tracing_from(os.environ, "qsm-operator", version("qsm-operator"))
    metrics = Metrics()
    metrics.build.labels(version("qsm-operator")).set(1)
    transport = HttpTransport(credentials, settings.request_timeout_seconds)
    cluster = Cluster(transport, metrics.request)
    work = Operating(settings, cluster, metrics, tracing)
    work.measures.append(lambda: metrics.credentials_end(expiries(credentials)))
    server = await serve(work, settings.http_host, settings.http_port) if settings.http_port else None

    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)

    async def begin(watching: Watching) -> None:
        try:
            await work.start()
            # Not before: kopf lists everything too, and of ten thousand QSMJobs two lists at once are much memory. What
            # happens in between is in its list.
            watching.start()
        except Exception:
            ended.set()  # told by `run`
            raise

    async def run(lost: asyncio.Event) -> None:
        watching = Watching(work.told, credentials, settings.namespaces)
        starting = asyncio.create_task(begin(watching))
        waits = [asyncio.create_task(event.wait()) for event in (ended, lost)]
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
        await tracing.close()


def main() -> None:
    """Run the verb on the command line."""
    match sys.argv[1:]:
        case ["version"] | ["--version"]:
            sys.stdout.write(f"qsm-operator {version('qsm-operator')}\n")
        case ["run"]:
            _run()
        case ["intake"]:
            _intake()
        case ["status", *rest]:
            sys.exit(status.run(rest))
        case ["route" | "backfill", *_]:
            sys.exit(command_line.run(sys.argv[1:]))
        case _:
            sys.stderr.write(
                "usage: qsm-operator run | intake | version | status | route test | backfill\n"
                "settings: QSM_OPERATOR_... and QSM_INTAKE_... in the environment\n"
            )
            sys.exit(EX_USAGE)


def _run() -> None:
    try:
        settings = read_settings(os.environ)
        set_up_logs(settings.log_level, settings.log_format)
        code = asyncio.run(operate(settings))
    except (SettingsError, CredentialsError) as error:
        sys.stderr.write(f"qsm-operator: {error}\n")
        sys.exit(EX_CONFIG)
    sys.exit(code)


async def take_in(settings: IntakeSettings) -> None:
    """Run intake until SIGTERM or SIGINT."""
    credentials = find_credentials(os.environ)
    tracing = tracing_from(os.environ, "qsm-intake", version("qsm-operator"))
    metrics = IntakeMetrics()
    metrics.build.labels(version("qsm-operator")).set(1)
    transport = HttpTransport(credentials, settings.request_timeout_seconds)
    work = Intaking(settings, Cluster(transport, metrics.request), metrics, tracing)
    work.measures.append(lambda: metrics.credentials_end(expiries(credentials) | work.expiries()))
    hints = Hints(settings, lambda: work.connections, work.hint, metrics)
    hints.check()
    await work.find_connections()
    servers = [await serve(work, settings.http_host, settings.http_port)] if settings.http_port else []
    if settings.hint_port:
        servers.append(await serve_hints(hints, settings))
    ended = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, ended.set)
    starting = asyncio.create_task(work.start())
    try:
        await ended.wait()
    finally:
        logger.info("ends: finishing what is being looked at")
        starting.cancel()
        for server in servers:
            await server.cleanup()
        await work.stop()
        await transport.close()
        await tracing.close()


def _intake() -> None:
    try:
        settings = read_intake_settings(os.environ)
        set_up_logs(settings.log_level, settings.log_format)
        # httpx writes a line for each request.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        asyncio.run(take_in(settings))
    except (SettingsError, CredentialsError, ConnectionSettingsError) as error:
        sys.stderr.write(f"qsm-operator: {error}\n")
        sys.exit(EX_CONFIG)


if __name__ == "__main__":
    main()
