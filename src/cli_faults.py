"""How every command of prophetctl ends that cannot do what it was asked."""

from __future__ import annotations

from typing import NoReturn

import typer
from rich.console import Console

err = Console(stderr=True)

FAULTY_CALL = 2


def fail(message: str) -> NoReturn:
    """Say why, as it is, and exit with FAULTY_CALL."""
    err.print(f"prophetctl: {message}", style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(FAULTY_CALL) from None
