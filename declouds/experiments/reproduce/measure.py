"""Measure a row, or take its results from before if nothing that they depend on has changed."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import torch

import declouds
from declouds.errors import UserError
from declouds.evaluation.evaluate_model import evaluate_model
from declouds.evaluation.load_checked import load_checked
from declouds.evaluation.lpips_net import Lpips
from declouds.evaluation.protocols import PROTOCOLS
from declouds.evaluation.results import FORMAT, RESULTS, read_results
from declouds.evaluation.statistics import Row as Measured
from declouds.evaluation.tables import Evaluation, write_evaluation
from declouds.experiments.reproduce.data_check import data_config
from declouds.experiments.reproduce.plan import Plan
from declouds.models import unchanged
from declouds.training.settings import plain
from declouds.weights.file import load_model

OWN = "reproduce"  # the entry of `about` in a results.json that is ours
OF_ONE_MODEL = ("DE", "result")  # methods; the others are variants


def measure_row(plan: Plan, folder: Path, lpips: Lpips | None, device: torch.device) -> dict[str, list[Measured]]:
    """Measure a row that is ready and keep the results in ``folder``; return method -> one row an image.

    Raises:
        UserError: the model cannot be loaded or does not fit the data, or an image is broken.
    """
    row, data = plan.row, plan.data
    assert data is not None and plan.weights is not None
    if (kept := _kept(plan, folder, lpips, device)) is not None:
        return kept
    protocols = protocols_of(plan)
    model = _model(plan, device)
    methods = evaluate_model(
        model,
        data.images,
        protocols=protocols,
        lpips=lpips if needs_lpips(plan) else None,
        seed=row.seed,
        variants=_with_variants(plan),
    )
    if row.run is None and row.zoo is None:
        methods = {"cloudy": methods[model.method]}
    about = {
        OWN: fingerprint(plan, lpips, device),
        "images": {part: dataclasses.asdict(images) for part, images in data.found.items()},
        "row": row.name,
        "config": str(plan.config_file),
    }
    evaluation = Evaluation(
        protocols={name: PROTOCOLS[name] for name in protocols},
        methods=methods,
        split={"part": row.part, **data.module.split_record()[row.part]},
        compared=[(model.method, model.baseline)] if model.baseline in methods else [],
        about={**about, "checkpoint": str(plan.weights.file), "cfg_options": list(row.cfg_options), "seed": row.seed},
    )
    write_evaluation(evaluation, folder, overwrite=True)
    return methods


def fingerprint(plan: Plan, lpips: Lpips | None, device: torch.device) -> dict[str, Any]:
    """Return all that the results of a row depend on."""
    assert plan.data is not None and plan.weights is not None
    images = plan.data.found[plan.row.part]
    config = json.dumps([plain(plan.config.model), data_config(plan.config)], sort_keys=True)
    return dict(
        config=hashlib.sha256(config.encode()).hexdigest(),
        weights=plan.weights.sha256,
        names=images.names,
        pixels=images.pixels,
        seed=plan.row.seed,
        protocols=list(protocols_of(plan)),
        variants=_with_variants(plan),
        lpips=needs_lpips(plan) and lpips is not None,
        device=device.type,
        versions=dict(declouds=declouds.__version__, results=FORMAT),
    )


def check_folder(folder: Path) -> None:
    """Make sure that a row's folder holds no results but ours, which may be replaced.

    Raises:
        UserError: it does, or they are damaged.
    """
    file = folder / RESULTS
    if file.exists() and OWN not in _about(file):
        raise UserError(f"{file} is damaged or not of declouds reproduce: move it away, or give another --out")


def protocols_of(plan: Plan) -> tuple[str, ...]:
    """Return the protocols of a row's figures."""
    return tuple(name for name in PROTOCOLS if any(f.metric.startswith(f"{name}.") for f in plan.row.figures))


def needs_lpips(plan: Plan) -> bool:
    """Return whether a figure of the row is of LPIPS."""
    return any(figure.metric.endswith(".lpips") for figure in plan.row.figures)


def is_kept(plan: Plan, folder: Path, lpips: Lpips | None, device: torch.device) -> bool:
    """Return whether the folder has the results of a row that is ready."""
    return _about(folder / RESULTS).get(OWN) == fingerprint(plan, lpips, device)


def _kept(plan: Plan, folder: Path, lpips: Lpips | None, device: torch.device) -> dict[str, list[Measured]] | None:
    return read_results(folder / RESULTS) if is_kept(plan, folder, lpips, device) else None


def _with_variants(plan: Plan) -> bool:
    has_model = plan.row.run is not None or plan.row.zoo is not None
    return has_model and any(figure.method not in OF_ONE_MODEL for figure in plan.row.figures)


def _about(file: Path) -> dict[str, Any]:
    """Return what a results.json says of its making; nothing if there is none, or if it is no such file."""
    try:
        about = json.loads(file.read_text(encoding="utf-8"))["about"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return about if isinstance(about, dict) else {}


def _model(plan: Plan, device: torch.device) -> Any:
    assert plan.data is not None and plan.weights is not None
    row, images, file = plan.row, plan.data.images, plan.weights.file
    if file is None:
        return unchanged(images.bands).to(device)
    if row.run is not None:
        return load_checked(file, plan.config, plan.data.module, images[0], device)
    model = load_model(file, device)
    if (model.bands, model.in_bands) != (images.bands, images.bands):
        raise UserError(
            f"{row.zoo} makes {model.bands} bands from {model.in_bands}, but {plan.root} has {images.bands}: choose "
            "others by cfg_options of the row"
        )
    return model
