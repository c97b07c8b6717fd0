"""prophetctl: train, look at, promote, roll back and serve forecast models.

Thin on purpose: each command reads its options, calls one function of a room, and prints what came back.
The rooms are imported inside the commands, so that --help answers at once.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from cli_faults import err, fail
from cli_keys import keys
from cli_score import score

if TYPE_CHECKING:
    from registry.registry import Registry
    from training.config import JobConfig
    from training.report import JobReport

app = typer.Typer(
    help="Train one Prophet model per segment, promote it, roll it back, and serve it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(keys, name="keys")
app.command()(score)
out = Console()

Config = Annotated[Path | None, typer.Option("--config", "-c", help="YAML file with the job's configuration.")]
Csv = Annotated[Path | None, typer.Option("--path", help="History as a CSV or Parquet file.")]
Url = Annotated[str | None, typer.Option(help="History's database as an SQLAlchemy URL; goes with --query.")]
Query = Annotated[str | None, typer.Option(help="Query that yields the history's rows.")]
SegmentColumn = Annotated[str | None, typer.Option(help="Name of the column with the segment's key.")]
DsColumn = Annotated[str | None, typer.Option(help="Name of the column with the date or time.")]
YColumn = Annotated[str | None, typer.Option(help="Name of the column with the value.")]
Duplicates = Annotated[str | None, typer.Option(help="What to do with rows that share a date: error, sum, mean, last.")]
Freq = Annotated[str | None, typer.Option(help="Frequency as a pandas offset alias; inferred by default.")]
Country = Annotated[str | None, typer.Option("--holidays", help="Country code whose holidays are modelled, e.g. DE.")]
Recipe = Annotated[str | None, typer.Option(help="damped-average or stock.")]
Growth = Annotated[str | None, typer.Option(help="linear, logistic or flat.")]
Cutoffs = Annotated[int | None, typer.Option(help="How many cutoffs the backtest rolls over; 0 for none.")]
Horizon = Annotated[int | None, typer.Option(help="Rows that each backtest forecasts; one season by default.")]
Only = Annotated[list[str] | None, typer.Option("--segment", "-s", help="Only segments that match; may be repeated.")]
Listed = Annotated[
    Path | None,
    typer.Option("--segments-from", help="Only segments that this file lists, as `score --retrain-list` writes it."),
]
Workers = Annotated[int | None, typer.Option(help="Worker processes; one a CPU, of the cluster if there is one.")]
Engine = Annotated[str | None, typer.Option(help="What trains: local (processes here), ray or spark (a cluster).")]
EngineAddress = Annotated[
    str | None, typer.Option(help="The cluster's: ray://head:10001, spark://master:7077; else the one at hand.")
]
Promote = Annotated[
    bool | None, typer.Option("--promote/--no-promote", help="Let the gate move the champion, or only register.")
]
ReportPath = Annotated[Path | None, typer.Option("--report", help="Write the whole report here as JSON.")]
Uri = Annotated[
    str | None,
    typer.Option(
        "--tracking-uri",
        envvar="MLFLOW_TRACKING_URI",
        help="MLflow server or database; by default the embedded store under mlruns/.",
    ),
]
Segment = Annotated[str, typer.Argument(help="The segment's key.")]
Reason = Annotated[str, typer.Option(help="Why; kept in the segment's history.")]


@app.command()
def train(
    config: Config = None,
    path: Csv = None,
    url: Url = None,
    query: Query = None,
    segment_column: SegmentColumn = None,
    ds_column: DsColumn = None,
    y_column: YColumn = None,
    duplicates: Duplicates = None,
    freq: Freq = None,
    holidays: Country = None,
    growth: Growth = None,
    recipe: Recipe = None,
    cutoffs: Cutoffs = None,
    horizon: Horizon = None,
    segment: Only = None,
    segments_from: Listed = None,
    workers: Workers = None,
    engine: Engine = None,
    engine_address: EngineAddress = None,
    promote: Promote = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Register nothing; show what the gate would promote and hold, and why.")
    ] = False,
    resume: Annotated[
        str | None,
        typer.Option(metavar="JOB", help="Finish this job, which was cut short; give its own configuration again."),
    ] = None,
    report: ReportPath = None,
    tracking_uri: Uri = None,
) -> None:
    """Train, backtest, register and promote one model per segment; exits with 1 when a segment failed."""
    from training.job import run_job
    from training.progress import progress_on_terminal
    from training.resume import resume_job

    with _faults_told():
        job = _job_config(locals(), {"promote": promote, "dry_run": dry_run or None})
        registry = _registry(tracking_uri)
        with progress_on_terminal() as progress, _job_told() as begun:
            done = (
                resume_job(resume, job, registry, progress, begun)
                if resume
                else run_job(job, registry, progress, begun)
            )
    _finish(done, report)


@app.command()
def retrain(
    stale: Annotated[
        str | None, typer.Option(help="Train what has seen nothing for so long, or has no champion: 12h, 7d, 2w.")
    ] = None,
    config: Config = None,
    path: Csv = None,
    url: Url = None,
    query: Query = None,
    segment_column: SegmentColumn = None,
    ds_column: DsColumn = None,
    y_column: YColumn = None,
    duplicates: Duplicates = None,
    freq: Freq = None,
    holidays: Country = None,
    growth: Growth = None,
    recipe: Recipe = None,
    cutoffs: Cutoffs = None,
    horizon: Horizon = None,
    segment: Only = None,
    segments_from: Listed = None,
    workers: Workers = None,
    engine: Engine = None,
    engine_address: EngineAddress = None,
    promote: Promote = None,
    report: ReportPath = None,
    tracking_uri: Uri = None,
) -> None:
    """As train, but only for segments whose champion is too old, or that have none, or that a list names."""
    from training.errors import ConfigError
    from training.job import run_job
    from training.progress import progress_on_terminal
    from training.retrain import parse_age

    with _faults_told():
        stale_before = None if stale is None else datetime.now(UTC) - parse_age(stale)
        job = _job_config(locals(), {"promote": promote})
        if stale_before is None and job.segments_from is None:
            raise ConfigError("say what to train again: --stale 7d, --segments-from FILE, or both")
        registry = _registry(tracking_uri)
        with progress_on_terminal() as progress, _job_told() as begun:
            done = run_job(job, registry, progress, begun, stale_before)
    _finish(done, report)


@app.command()
def backtest(
    config: Config = None,
    path: Csv = None,
    url: Url = None,
    query: Query = None,
    segment_column: SegmentColumn = None,
    ds_column: DsColumn = None,
    y_column: YColumn = None,
    duplicates: Duplicates = None,
    freq: Freq = None,
    holidays: Country = None,
    growth: Growth = None,
    recipe: Recipe = None,
    cutoffs: Cutoffs = None,
    horizon: Horizon = None,
    segment: Only = None,
    segments_from: Listed = None,
    workers: Workers = None,
    engine: Engine = None,
    engine_address: EngineAddress = None,
    report: ReportPath = None,
) -> None:
    """Measure how well the configuration would have forecast the history; registers nothing."""
    from training.job import backtest_only
    from training.progress import progress_on_terminal

    with _faults_told():
        job = _job_config(locals(), {})
        with progress_on_terminal() as progress:
            done = backtest_only(job, progress)
    _finish(done, report)


@app.command("list")
def list_champions(
    limit: Annotated[int, typer.Option(min=1, help="Most segments to show.")] = 50,
    tracking_uri: Uri = None,
) -> None:
    """List the champions: what is served, in the order of the segments' names."""
    table = _table("segment", "version", "trained through", "freq", "MASE", "logged")
    token: str | None = None
    shown = 0
    with _faults_told():
        registry = _registry(tracking_uri)
        while shown < limit:
            versions, token = registry.champions(min(limit - shown, 1000), token)
            for version in versions:
                tags = version.tags
                mase = version.metrics.get("mase")
                table.add_row(
                    version.segment,
                    str(version.version),
                    tags.get("forecast.trained_through", "-"),
                    tags.get("forecast.freq", "-"),
                    "-" if mase is None else f"{mase:.3f}",
                    f"{version.created:%Y-%m-%d %H:%M}",
                )
            shown += len(versions)
            if token is None:
                break
    if not table.row_count:
        out.print("nothing is served yet; `prophetctl train --path history.csv` makes champions")
        return
    out.print(table)
    if token is not None:
        out.print(f"and more; see them with --limit {limit * 2}")


@app.command()
def show(segment: Segment, tracking_uri: Uri = None) -> None:
    """Show a segment's versions, what its aliases name, and how its champion moved."""
    with _faults_told():
        registry = _registry(tracking_uri)
        versions, aliases, moves = registry.versions(segment), registry.aliases(segment), registry.history(segment)
    named = {number: [alias for alias, of in aliases.items() if of == number] for number in aliases.values()}
    table = _table("version", "alias", "logged", "MASE", "coverage", "gate", "run")
    for version in versions:
        figures = [version.metrics.get(name) for name in ("mase", "coverage")]
        table.add_row(
            str(version.version),
            ", ".join(named.get(version.version, [])),
            f"{version.created:%Y-%m-%d %H:%M}",
            *("-" if figure is None else f"{figure:.3f}" for figure in figures),
            version.tags.get("gate.decision", "-"),
            (version.run_id or "-")[:8],
        )
    out.print(table)
    for move in moves:
        when = f"{move.at:%Y-%m-%d %H:%M:%S}" if move.at else "at a time unknown"
        before = "" if move.previous is None else f", before it {move.previous}"
        reason = f" ({move.reason})" if move.reason else ""
        _say(f"{when}  {move.action}: version {move.version}{before}{reason}")


@app.command()
def promote(
    segment: Segment,
    version: Annotated[int, typer.Argument(min=1, help="Number of the version to serve.")],
    reason: Reason = "",
    tracking_uri: Uri = None,
) -> None:
    """Make a version the champion, after loading it once; it is live within five seconds."""
    with _faults_told():
        registry = _registry(tracking_uri)
        registry.load(registry.version(segment, version))
        move = registry.promote(segment, version, reason)
    before = "the first champion" if move.previous is None else f"before it was {move.previous}"
    _say(f"{segment}: version {move.version} is the champion; {before}")


@app.command()
def rollback(segment: Segment, reason: Reason = "", tracking_uri: Uri = None) -> None:
    """Put the champion before the present one back; it is live within five seconds."""
    with _faults_told():
        move = _registry(tracking_uri).rollback(segment, reason)
    _say(f"{segment}: version {move.version} is the champion again; {move.previous} was rolled back")


@app.command()
def prune(
    keep: Annotated[int, typer.Option(min=1, help="How many of the newest versions of a segment stay in any case.")],
    segment: Only = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be deleted, and delete nothing.")] = False,
    tracking_uri: Uri = None,
) -> None:
    """Delete old versions with their runs and files, but none that an alias names or a rollback needs."""
    from registry.prune import prune as prune_versions

    with _faults_told():
        done = prune_versions(_registry(tracking_uri), keep, segment, dry_run)
    would = "would be " if dry_run else ""
    _say(f"{done.versions} versions of {done.segments} segments {would}deleted, {done.size / 1e6:.1f} MB of files")
    if done.orphans.local:
        _say(f"{done.orphans.folders} folders without a version {would}removed, {done.orphans.size / 1e6:.1f} MB")
    else:
        _say("folders without a version are not looked for in a remote artifact store")


@app.command()
def serve(
    host: Annotated[str, typer.Option(envvar="HOST", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(envvar="PORT", min=1, max=65535, help="Port to listen on.")] = 3000,
    tracking_uri: Uri = None,
) -> None:
    """Serve the champions over HTTP with BentoML; ends with Ctrl-C."""
    with _faults_told():
        _check_host(host)
        registry = _registry(tracking_uri)
        # Opened once before the workers do it all together: an embedded store is created here.
        registry.ping()
    project = Path(__file__).resolve().parent.parent
    environment = {**os.environ, "MLFLOW_TRACKING_URI": registry.uri, "BENTOML_DO_NOT_TRACK": "true"}
    command = [sys.executable, "-m", "bentoml", "serve", "service:ForecastService"]
    command += ["--working-dir", str(project), "--host", host, "--port", str(port)]
    os.execve(sys.executable, command, environment)  # signals reach BentoML itself


@app.command()
def doctor(tracking_uri: Uri = None) -> None:
    """Say what is missing on this machine, and how to mend it; exits with 1 when something is."""
    from doctor import examine

    findings = examine(tracking_uri)
    for finding in findings:
        mark = "[green]ok[/]  " if finding.ok else "[red]no[/]  "
        out.print(mark, end="")
        _say(f"{finding.what}: {finding.found}")
        if not finding.ok:
            _say(f"    mend: {finding.remedy}")
    raise typer.Exit(0 if all(finding.ok for finding in findings) else 1)


def _job_config(options: dict[str, Any], more: dict[str, object]) -> JobConfig:
    """Lay the command line's options over the configuration file."""
    from training.config import load_config

    overrides = {
        "source.path": options["path"],
        "source.url": options["url"],
        "source.query": options["query"],
        "source.columns.segment": options["segment_column"],
        "source.columns.ds": options["ds_column"],
        "source.columns.y": options["y_column"],
        "checks.duplicates": options["duplicates"],
        "checks.freq": options["freq"],
        "model.country_holidays": options["holidays"],
        "model.growth": options["growth"],
        "recipe": options["recipe"],
        "backtest.cutoffs": options["cutoffs"],
        "backtest.horizon": options["horizon"],
        "segments": tuple(options["segment"]) if options["segment"] else None,
        "segments_from": options["segments_from"],
        "workers": options["workers"],
        "engine.name": options["engine"],
        "engine.address": options["engine_address"],
        **more,
    }
    return load_config(options["config"], overrides)


def _registry(tracking_uri: str | None) -> Registry:
    from registry.registry import Registry

    return Registry(tracking_uri)


def _check_host(host: str) -> None:
    """Say at once what BentoML would find out after its start: where this service may listen."""
    from pydantic import ValidationError

    from serving.gate import ListensTooFar, check_host
    from serving.settings import Settings

    try:
        check_host(host, Settings())
    except (ListensTooFar, ValidationError) as error:
        fail(str(error))


def _finish(done: JobReport, path: Path | None) -> None:
    done.print(out)
    if done.run_id is not None:
        _say(f"job {done.run_id}")
    try:
        if path is not None:
            done.write(path)
    except OSError as error:  # after hours of training, perhaps: what was printed stands
        fail(f"cannot write {path}: {error.strerror}")
    raise typer.Exit(done.exit_code)


@contextlib.contextmanager
def _job_told() -> Iterator[Callable[[str], None]]:
    """Say which job began, and how to finish it when it is cut short, Ctrl-C included."""
    jobs: list[str] = []

    def begun(job: str) -> None:
        jobs.append(job)
        err.print(f"job {job}", highlight=False, soft_wrap=True)

    try:
        yield begun
    except BaseException:
        for job in jobs:
            hint = f"job {job} is not finished; `prophetctl train --resume {job}` with the same options finishes it"
            err.print(hint, style="yellow", markup=False, highlight=False, soft_wrap=True)
        raise


@contextlib.contextmanager
def _faults_told() -> Iterator[None]:
    """Show the errors that are raised on purpose as one message and exit with 2; a bug keeps its traceback."""
    from registry.errors import RegistryError
    from training.errors import TrainingError

    try:
        yield
    except (RegistryError, TrainingError) as error:
        fail(str(error))


def _say(text: str) -> None:
    """Print as it is: a segment's key may look like markup, and a line is broken by the terminal alone."""
    out.print(text, markup=False, highlight=False, soft_wrap=True)


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


if __name__ == "__main__":
    app()
