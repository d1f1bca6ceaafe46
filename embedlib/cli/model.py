"""Commands about models: recommend."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from embedlib.cli.app import AsJson, app, emit_json
