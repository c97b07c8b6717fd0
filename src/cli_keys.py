"""prophetctl keys: who may ask the service, and for which segments."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli_faults import err, fail

keys = typer.Typer(help="Make, list and revoke API keys of the service.", no_args_is_help=True)
out = Console()

KeysFile = Annotated[
    Path,
    typer.Option("--keys-file", envvar="FORECAST_KEYS_FILE", help="File that the service reads its keys from."),
]


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="Whose key it is, for people to read.")],
    keys_file: KeysFile,
    segments: Annotated[
        list[str] | None,
        typer.Option(help="Segments that it reads, as a glob such as 'user_42_*'; may be repeated; none by default."),
    ] = None,
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="Forecasts a second, in each worker; no limit by default.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option(help="After how long it ends: 12h, 90d, 52w; never by default.")
    ] = None,
    inline: Annotated[
        bool, typer.Option("--inline/--no-inline", help="Whether it may have histories of its own fitted.")
    ] = True,
    metrics: Annotated[bool, typer.Option("--metrics", help="Let it read /metrics, too.")] = False,
) -> None:
    """Make a key and print it, once: the file holds only its hash. It opens within a second, without a restart."""
    from serving.keys import KeyFileError, create_key

    try:
        end = None if expires is None else datetime.now(UTC).replace(microsecond=0) + _age(expires)
        key, credential = create_key(
            keys_file, name, tuple(segments or ()), rate=rate, inline=inline, metrics=metrics, expires=end
        )
    except KeyFileError as error:
        fail(str(error))
    typer.echo(credential)
    until = "" if key.expires is None else f" until {key.expires:%Y-%m-%d %H:%M} UTC"
    err.print(
        f"key {key.id} of {key.name} reads {', '.join(key.segments) or 'no segment'}{until}; it is not shown again",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


@keys.command("list")
def list_keys(keys_file: KeysFile) -> None:
    """List the keys, those that open nothing any more included."""
    from serving.keys import KeyFileError, read_keys

    try:
        found = read_keys(keys_file)
    except KeyFileError as error:
        fail(str(error))
    if not found:
        out.print("there are no keys yet; `prophetctl keys create NAME --segments 'user_42_*'` makes one")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("id", "name", "state", "segments", "rate", "may", "created", "expires"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "id")  # to be copied whole
    now = datetime.now(UTC)
    for key in found:
        table.add_row(
            key.id,
            escape(key.name),
            key.state(now),
            escape(" ".join(key.segments)),
            "-" if key.rate is None else f"{key.rate:g}/s",
            ", ".join(["read", *(["inline"] if key.inline else []), *(["metrics"] if key.metrics else [])]),
            f"{key.created:%Y-%m-%d}",
            "-" if key.expires is None else f"{key.expires:%Y-%m-%d %H:%M}",
        )
    out.print(table)


@keys.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, the middle part of the key itself.")],
    keys_file: KeysFile,
) -> None:
    """Let a key open nothing any more, within a second and without a restart."""
    from serving.keys import KeyFileError, revoke_key

    try:
        key = revoke_key(keys_file, key_id)
    except KeyFileError as error:
        fail(str(error))
    typer.echo(f"key {key.id} of {key.name} is revoked")


def _age(text: str) -> timedelta:
    from serving.keys import KeyFileError
    from training.errors import TrainingError
    from training.retrain import parse_age

    try:
        return parse_age(text)
    except TrainingError as error:
        raise KeyFileError(str(error)) from None
