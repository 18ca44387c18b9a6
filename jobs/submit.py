"""Run a command as a job of a Ray cluster: `siglane submit [options] -- COMMAND …`

Follows the job, and ends with its exit code. The job goes on if this command is stopped. Running the same command again
continues where the last job stopped.
"""

from __future__ import annotations

import io
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, model_validator

import pipeline
import scenes
import siglip_core
from jobs import cli, command
from jobs.command import Result
from pipeline.errors import UsageError
from pipeline.storage import redact

if TYPE_CHECKING:
    from pipeline.on_ray.job_server import Job, JobServer

PACKAGES = tuple(Path(package.__file__ or "").parent for package in (siglip_core, scenes, pipeline, cli))
ONE_AT_MOST = ("logs", "status", "stop")


class SubmitJob(BaseModel):
    """Every option of `siglane submit`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str | None = Field(
        None,
        description="the cluster's dashboard, as http://HOST:8265, or the cluster itself, as HOST:6379; default: "
        "RAY_API_SERVER_ADDRESS or RAY_ADDRESS, else a cluster on this machine",
    )
    env: tuple[str, ...] = Field(
        (),
        description="name of a variable of this environment that the job gets too, such as AWS_SECRET_ACCESS_KEY",
        json_schema_extra={"repeatable": True},
    )
    detach: bool = Field(False, description="end when the job is submitted, and do not follow it")
    logs: str | None = Field(None, description="ID of a job: show what it has printed, and follow it to its end")
    status: str | None = Field(None, description="ID of a job: show its status")
    stop: str | None = Field(None, description="ID of a job: stop it; what is finished is committed")

    @model_validator(mode="after")
    def _one_at_most(self) -> SubmitJob:
        given = [name for name in ONE_AT_MOST if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"--{given[0]} and --{given[1]} exclude each other")
        if given and (self.env or self.detach):
            raise ValueError(f"--{given[0]} is about a job that was submitted before: leave out --env and --detach")
        return self


def submit(options: SubmitJob, words: Sequence[str]) -> Result:
    """`words`: the command to run, e.g. `embed --input …`."""
    asked = next(((name, job) for name in ONE_AT_MOST if (job := getattr(options, name)) is not None), None)
    if asked is None:
        code = _checked(words)
        if code != command.DONE:
            return Result({}, "", code)
    elif words:
        raise UsageError(f"--{asked[0]} takes no command: leave out `-- {words[0]} …`")
    variables = {name: _value(name) for name in options.env}

    from pipeline.on_ray.job_server import JobServer

    server = JobServer(options.address)
    hint = _Hint(options.address)
    if asked is None:
        job = _submitted(server, words, variables)
        sys.stderr.write(f"submitted as {job} to {server.url}; {hint.to('follow', job)}; {hint.to('stop', job)}\n")
        return _told(server.look(job)) if options.detach else _follow(server, job, hint)
    name, job = asked
    if name == "logs":
        return _follow(server, job, hint)
    if name == "stop":
        was_running = server.stop(job)
        done = _told(server.look(job))
        return done if was_running else Result(done.summary, f"{done.text}; it was over before")
    return _told(server.look(job))


class _Hint:
    """Command lines that say how to go on."""

    def __init__(self, address: str | None) -> None:
        self._address = "" if address is None else f" --address {shlex.quote(address)}"

    def to(self, do: str, job: str) -> str:
        option = {"follow": "--logs", "stop": "--stop"}[do]
        return f"{do} it with `siglane submit{self._address} {option} {job}`"


def _checked(words: Sequence[str]) -> int:
    """Checks the command here, before it waits for a cluster. If its options are wrong, it says so itself.

    Raises:
        UsageError: it is no command, or it shows credentials.
    """
    if not words:
        raise UsageError("write the command to run after --, e.g. `siglane submit -- embed --input …`")
    name, *rest = words
    if name == "submit" or name not in cli.commands():
        raise UsageError(f"{name!r} is no command to submit; `siglane --help` lists the commands")
    if {"-h", "--help"} & set(rest):
        raise UsageError(f"help needs no job: `siglane {name} --help`")
    for word in rest:
        open_part = word.partition("?")[0]  # a signed address has no other place, and expires
        if redact(open_part) != open_part:
            raise UsageError(
                f"{redact(word)}: credentials in a job's command line are seen by all who use the cluster; pass "
                "variables by --env, or write this option to the file of --config"
            )
    with redirect_stdout(io.StringIO()):
        return cli.main([name, *rest, "--print-config"])


def _value(name: str) -> str:
    if "=" in name:
        raise UsageError(
            "--env takes the name of a variable alone, because others see the command line; export "
            f"{name.partition('=')[0]} here first"
        )
    if name not in os.environ:
        raise UsageError(f"--env {name}: this environment has no such variable; export it first")
    return os.environ[name]


def _submitted(server: JobServer, words: Sequence[str], variables: dict[str, str]) -> str:
    from pipeline.on_ray import job_package

    configs = {place: Path(words[place]) for place in range(1, len(words)) if words[place - 1] == "--config"}
    with TemporaryDirectory(prefix="siglane-submit-") as folder:
        package = Path(folder) / "siglane.zip"
        job_package.write(package, PACKAGES, {file.name: file.read_bytes() for file in configs.values()})
        return server.submit(_entrypoint(words, configs), package, variables)


def _entrypoint(words: Sequence[str], configs: Mapping[int, Path]) -> str:
    """The command line for the shell of the cluster, which starts in the folder of the package.

    Relative paths mean the same as here, where the cluster sees this folder. If this is a virtual environment that the
    cluster sees, its Python is used, else the one that the cluster finds. `-P` keeps modules of the folder out.

    `configs`: which of the words are files that are in the package.
    """
    module, *others = [
        f'"$code"/{shlex.quote(configs[place].name)}' if place in configs else shlex.quote(word)
        for place, word in enumerate(words)
    ]
    code = "code=$PWD; " if configs else ""
    python = "python" if sys.prefix == sys.base_prefix else f"env PATH={shlex.quote(sys.prefix)}/bin:$PATH python"
    command_line = " ".join([python, "-P", "-m", f"jobs.{module}", *others])
    return f"{code}cd {shlex.quote(str(Path.cwd()))} 2>/dev/null; exec {command_line}"


def _follow(server: JobServer, job: str, hint: _Hint) -> Result:
    try:
        for text in server.follow(job):
            sys.stderr.write(text)
            sys.stderr.flush()
    except KeyboardInterrupt:
        advice = f"the job goes on; {hint.to('follow', job)}; {hint.to('stop', job)}"
        return Result({"job": job}, "", command.INTERRUPTED, advice)
    return _told(server.look(job))


def _told(job: Job) -> Result:
    """What is known about a job; if it is over, the exit code is that of its command."""
    summary = {"job": job.id, "status": job.status, "exit_code": job.exit_code, "entrypoint": job.entrypoint}
    return Result(summary, f"job {job.id}: {job.status.lower()}", *_ending(job))


def _ending(job: Job) -> tuple[int, str | None]:
    again = "submit the same command again to continue"
    if not job.is_over or job.status == "SUCCEEDED":
        return command.DONE, None
    if job.status == "STOPPED":
        return command.INTERRUPTED, f"the job was stopped; finished work is kept, {again}"
    if job.exit_code is None:
        return command.FAILED, f"the job failed: {job.why}; {again}"
    if job.exit_code < 0 or job.exit_code > 128:
        number = -job.exit_code if job.exit_code < 0 else job.exit_code - 128
        return command.FAILED, f"the job's process was ended by signal {number}; finished work is kept, {again}"
    return job.exit_code, f"the job ended with exit code {job.exit_code}; its last line says why"


def main(arguments: Sequence[str] | None = None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    forgotten = "--" not in given and given[:1] and given[0] in cli.commands()
    place = 0 if forgotten else given.index("--") if "--" in given else len(given)

    def work(options: SubmitJob) -> Result:
        if forgotten:
            raise UsageError(f"write -- before the command: `siglane submit -- {given[0]} …`")
        return submit(options, given[place + 1 :])

    return command.run(SubmitJob, work, __doc__ or "", given[:place])


if __name__ == "__main__":
    sys.exit(main())
