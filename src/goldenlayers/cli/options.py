"""Options that several subcommands share: which model, which facts, where the result goes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from goldenlayers.errors import SettingsError

WHAT, HOW, RESULT = "What", "How", "Result"

Model = Annotated[
    str,
    typer.Option(
        help="'bundled' (SmolLM2-135M-Instruct), a model folder, a .gguf file, or a hub name.",
        rich_help_panel=WHAT,
    ),
]
Facts = Annotated[
    str,
    typer.Option(
        help="'bundled', a published data set as it is (.json), your own facts (.jsonl, .csv), or "
        "hub:owner/name[@commit][:split]; see golden-layers facts.",
        rich_help_panel=WHAT,
    ),
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        help="Format of the facts, where the records do not tell: zsre, counterfact … "
        "(golden-layers facts --help names all).",
        rich_help_panel=WHAT,
    ),
]
FactsFormat = Annotated[
    str | None,
    typer.Option(
        "--facts-format",
        help="Format of the facts, where the records do not tell (golden-layers facts --help).",
        rich_help_panel=WHAT,
    ),
]
Half = Annotated[
    str | None,
    typer.Option(
        help="a or b: one of two fixed halves of the facts, parted by their subjects, so that a "
        "study can keep one back.",
        rich_help_panel=WHAT,
    ),
]
KnownBy = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        help="Keep the facts whose old answer this model gives.",
        rich_help_panel=WHAT,
    ),
]
Sample = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Draw N of the facts by --seed, whatever their order.",
        rich_help_panel=WHAT,
    ),
]
SkipBad = Annotated[
    bool | None,
    typer.Option(
        "--skip-bad/--strict",
        help="Set bad records aside, or stop at the first; aside in published files where nothing "
        "is said.",
        rich_help_panel=WHAT,
        show_default=False,
    ),
]
Limit = Annotated[
    int | None, typer.Option(help="Use the first N facts only.", rich_help_panel=WHAT)
]
Site = Annotated[
    str | None,
    typer.Option(
        help='Name of the edit site, such as "model.layers.{}.mlp.down_proj".',
        rich_help_panel=WHAT,
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 …", rich_help_panel=HOW)]
Dtype = Annotated[
    str,
    typer.Option(
        help="auto (float32 on a CPU), float32, bfloat16, float16, float64.", rich_help_panel=HOW
    ),
]
Chat = Annotated[
    bool,
    typer.Option(
        "--chat",
        help="Ask through the model's chat template: each prompt is a user's message, and the "
        "subject is found in it.",
        rich_help_panel=WHAT,
    ),
]
DeviceMap = Annotated[
    str | None,
    typer.Option(
        metavar="auto",
        help="auto: spread the model over all GPUs and the CPU; what does not fit is offloaded and "
        "cannot be edited.",
        rich_help_panel=HOW,
    ),
]
Attention = Annotated[
    str,
    typer.Option(help="auto, sdpa, eager or flash_attention_2.", rich_help_panel=HOW),
]
Quantize = Annotated[
    str | None,
    typer.Option(
        metavar="8bit|4bit",
        help="Quantise the weights on loading (bitsandbytes), but for the edit sites of the layers "
        "that are edited.",
        rich_help_panel=HOW,
    ),
]
Revision = Annotated[
    str | None, typer.Option(help="Revision of a hub model.", rich_help_panel=WHAT)
]
TrustRemoteCode = Annotated[
    bool,
    typer.Option(
        "--trust-remote-code",
        help="Run code that comes with the model; only from sources you trust.",
        rich_help_panel=WHAT,
    ),
]

# what scored best on the bundled proxy facts, see docs/editing.md
TEMPLATES, COVARIANCE, VALUE_FROM = "short", "none", "prompt"
_EDITING = "How the edit is made (where nothing is said: as published for the kind of model)"
EditorName = Annotated[
    str,
    typer.Option(
        "--editor",
        help="r-rome, rome, memit, pmet, emmet, alphaedit, ft-l, ft-m or lora.",
        rich_help_panel=_EDITING,
    ),
]
TemplateKind = Annotated[
    str,
    typer.Option(
        help="short (two fixed phrases), published (20 prefixes that the model writes) or bare.",
        rich_help_panel=_EDITING,
    ),
]
Covariance = Annotated[
    str,
    typer.Option(
        help="none, or the text that the keys' covariance is taken over: model (text that the "
        "model writes), a file, hub:owner/name; kept on disk, see golden-layers covariance. "
        "Editors that need one take model.",
        rich_help_panel=_EDITING,
    ),
]
LearningRate = Annotated[
    float | None, typer.Option("--lr", help="Adam's, for the value.", rich_help_panel=_EDITING)
]
Steps = Annotated[
    int | None, typer.Option(help="Evaluations of the value's loss.", rich_help_panel=_EDITING)
]
WeightDecay = Annotated[
    float | None, typer.Option(help="Of the value's change.", rich_help_panel=_EDITING)
]
Clamp = Annotated[
    float | None,
    typer.Option(help="Bound on the value's change, in its own norms.", rich_help_panel=_EDITING),
]
KLFactor = Annotated[
    float | None,
    typer.Option(help="Weight of 'what the subject is stays'.", rich_help_panel=_EDITING),
]
ValueFrom = Annotated[
    str,
    typer.Option(
        help="prompt (as published) or mean: the output that the change is added to.",
        rich_help_panel=_EDITING,
    ),
]

Ridge = Annotated[
    float,
    typer.Option(
        help="Share of the covariance's mean diagonal added to it.", rich_help_panel=_EDITING
    ),
]
Occurrence = Annotated[
    str,
    typer.Option(
        help="Which occurrence of the subject counts: last or first.", rich_help_panel=_EDITING
    ),
]
StopLoss = Annotated[
    float,
    typer.Option(help="The value is done under this loss, nats.", rich_help_panel=_EDITING),
]
ConvergedBelow = Annotated[
    float,
    typer.Option(
        help="A fact took if its new answer costs less than this after the templates, nats a "
        "token; ln 2 means better than even odds.",
        rich_help_panel=_EDITING,
    ),
]

Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Another setting of the editor, may be repeated: memit, emmet lam=15000; alphaedit "
        "threshold=0.02, relative=true, l2=10; all three window=5, same_subject=apart; lora "
        "rank=8; ft-l, ft-m batch_size=1; see docs/editing.md.",
        rich_help_panel=_EDITING,
    ),
]


def check_out(out: Path) -> None:
    """Refuse a place that cannot be written before any work is done; make nothing yet."""
    place = out
    try:
        while not place.exists() and place != place.parent:
            place = place.parent
    except OSError as error:  # a name that the file system does not take
        raise SettingsError(f"--out {out}: {error.strerror}") from error
    if not place.is_dir():
        raise SettingsError(f"--out {out}: {place} is a file; expected a folder")
    if not os.access(place, os.W_OK | os.X_OK):
        raise SettingsError(f"--out {out}: {place} cannot be written; choose another folder")
