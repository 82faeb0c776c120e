"""The page itself: what a user can choose, and what comes out of it."""

import logging
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from declouds.app.asked import AUTO, EVERYTHING, TWO_VALUES, Asked
from declouds.app.clearing import Cleared, clear
from declouds.app.sessions import Sessions, Stopped
from declouds.errors import UserError
from declouds.scenes.sampling.mask_rule import KINDS

ALONE = "none: by other dates alone"
SUFFIXES = [".tif", ".tiff", ".jp2", ".png", ".jpg", ".jpeg"]
CLOUDS = [
    ("found automatically", AUTO),
    *((f"a mask: {kind.title}", name) for name, kind in KINDS.items()),
    ("a mask of two values: cloud and clear", TWO_VALUES),
    ("everywhere: clear the whole scene", EVERYTHING),
]
TITLE = "# declouds\nRemove the clouds of a satellite image. It stays on this machine, and no file is kept."
NO_MAPS = "<p>Maps of quality are made where they are chosen.</p>"
DAY = 24 * 3600  # seconds


def build_page(models: Mapping[str, str | None], sessions: Sessions, device: str) -> gr.Blocks:
    """Return the page.

    Args:
        models: name -> weights, None for those that come with declouds; the first is chosen at first.
        sessions: the open pages.
        device: where the models run.
    """
    with gr.Blocks(title="declouds", analytics_enabled=False, delete_cache=(600, DAY)) as page:
        gr.Markdown(TITLE)
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                inputs = _inputs(list(models))
                with gr.Row():
                    start = gr.Button("Remove the clouds", variant="primary", scale=3, min_width=200)
                    stop = gr.Button("Stop", scale=1, min_width=80)
            with gr.Column(scale=5, min_width=320):
                outputs = _outputs()

        def run(
            values: dict[Any, Any],
            request: gr.Request,
            progress: gr.Progress = gr.Progress(),  # noqa: B008 (Gradio finds it by this default)
        ) -> list[Any]:
            asked = _asked({name: values[component] for name, component in inputs.items()}, models)
            try:
                return _shown(_clear(asked, sessions, str(request.session_hash), device, progress))
            except Stopped:
                gr.Info("Stopped: nothing of it was kept.")
                return [gr.skip() for _ in outputs]

        job = start.click(
            run, set(inputs.values()), outputs, show_progress_on=outputs[0], concurrency_limit=1, api_name="clear"
        )
        stop.click(_by_page(sessions.stop), queue=False, cancels=[job])
        page.load(_by_page(sessions.open), queue=False)
        page.unload(_by_page(sessions.close))
    return page


def _by_page(do: Callable[[str], None]) -> Callable[[gr.Request], None]:
    """Return a function of a page's name as one of its requests."""

    def do_by_request(request: gr.Request) -> None:
        do(str(request.session_hash))

    return do_by_request


def _inputs(models: list[str]) -> dict[str, Any]:
    """Lay out what a user chooses, and return it by the names of `Asked`."""
    scene = _upload(label="Scene: GeoTIFF, JPEG 2000, PNG or JPEG")
    clouds = gr.Dropdown(CLOUDS, value=AUTO, label="Clouds (--mask)")
    mask = _upload(label="Cloud mask, on any grid", visible=False)
    clouds.change(lambda chosen: gr.update(visible=chosen not in (AUTO, EVERYTHING)), clouds, mask, queue=False)
    model = gr.Dropdown([*models, ALONE], value=models[0], label="Model")
    quality = gr.Checkbox(
        label="Maps of quality (--quality)",
        info="changed pixels, and weight of the prior and spread if the model has them",
    )
    samples = gr.Slider(1, 16, value=1, step=1, label="Samples for the spread (--samples)", visible=False)
    quality.change(lambda chosen: gr.update(visible=chosen), quality, samples, queue=False)
    with gr.Accordion("Other dates and bands", open=False):
        dates = _upload(label="Other dates (--date), with the day in their names", file_count="multiple")
        align = gr.Checkbox(label="Move dates that are off the scene (--align)")
        bands = gr.Textbox(label="Bands (--bands)", placeholder="red,green,blue", info="names or numbers")
    return dict(
        **dict(scene=scene, clouds=clouds, mask=mask, model=model, quality=quality, samples=samples),
        **dict(dates=dates, align=align, bands=bands),
    )


def _upload(**arguments: Any) -> gr.File:
    """Return a field for files of a browser. Gradio would also fetch those that an address on the web is given for."""
    field = gr.File(file_types=SUFFIXES, height=130, **arguments)
    take = field.async_move_resource_to_block_cache

    async def take_upload(url_or_file_path: str | Path | None) -> str | None:
        if "://" in str(url_or_file_path):
            raise _error("files are not fetched from the web: drop them on the page")
        return await take(url_or_file_path)

    field.async_move_resource_to_block_cache = take_upload  # type: ignore[assignment,method-assign]
    return field


def _outputs() -> list[Any]:
    """Lay out what comes out, in the order of `_shown`."""
    with gr.Tabs():
        with gr.Tab("Before and after"):
            slider = gr.ImageSlider(show_label=False, interactive=False, max_height=700, image_mode=None)
        with gr.Tab("Clouds"):
            clouds = gr.ImageSlider(show_label=False, interactive=False, max_height=700, image_mode=None)
        with gr.Tab("Quality"):
            maps = gr.HTML(NO_MAPS)
    facts = gr.HTML()
    files = gr.File(label="Downloads", file_count="multiple", interactive=False, visible=False)
    return [slider, clouds, maps, facts, files]


def _asked(values: Mapping[str, Any], models: Mapping[str, str | None]) -> Asked:
    """Return what a user has chosen."""
    paths = {name: Path(values[name]) if values[name] else None for name in ("scene", "mask")}
    return Asked(
        **paths,
        dates=[Path(path) for path in values["dates"] or ()],
        clouds=values["clouds"],
        checkpoint=models.get(values["model"]),
        alone=values["model"] == ALONE,
        bands=[band.strip() for band in (values["bands"] or "").split(",") if band.strip()],
        align=values["align"],
        quality=values["quality"],
        samples=values["samples"],
    )


def _clear(asked: Asked, sessions: Sessions, page: str, device: str, progress: gr.Progress) -> Cleared:
    """Clear a scene; what goes wrong is shown on the page.

    Raises:
        Stopped: by the user.
        Error: Gradio's, for all else.
    """
    try:
        with sessions.job(page) as (folder, stop):

            def move(title: str, done: int, total: int) -> None:
                if stop.is_set():
                    raise Stopped
                progress((done, total), desc=title)

            return clear(asked, sessions.folder, folder, device, move)
    except Stopped:
        raise
    except UserError as error:
        raise _error(str(error)) from None
    except Exception as error:
        logging.getLogger("declouds").exception("a scene could not be cleared")
        why = f"{type(error).__name__}, a fault in declouds: the terminal that it runs in says more"
        raise _error(why) from None


def _error(text: str) -> gr.Error:
    """Return an error that stays on the page until the user closes it."""
    return gr.Error(escape(text, quote=False), duration=None, print_exception=False)


def _shown(cleared: Cleared) -> list[Any]:
    """Return what the page shows, in the order of `_outputs`."""
    rows = [(name, text) for name, text in cleared.facts.items()] + [("note", note) for note in cleared.notes]
    facts = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>" for name, text in rows)
    maps = "".join(
        f"<figure><img src='gradio_api/file={escape(str(path))}' alt=''>"
        f"<figcaption>{escape(text)}</figcaption></figure>"
        for path, text in cleared.maps
    )
    return [
        (str(cleared.before), str(cleared.after)),
        None if cleared.clouds is None else (str(cleared.before), str(cleared.clouds)),
        f"<div class='maps'>{maps}</div>" if maps else NO_MAPS,
        f"<dl class='facts'>{facts}</dl>",
        gr.update(value=[str(path) for path in cleared.files], visible=True),
    ]
