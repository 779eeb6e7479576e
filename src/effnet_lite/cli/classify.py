"""effnet-lite classify."""

from __future__ import annotations

import click

from effnet_lite.cli.output import json_option, print_json


@click.command("classify", epilog="Example: effnet-lite classify model.tflite cat.jpg dog.png")
@click.argument("model", type=click.Path())
@click.argument("images", nargs=-1, required=True, type=click.Path())
@click.option("--top", default=5, show_default=True, help="Classes to show for each photo.")
@click.option("--threads", type=int, help="CPU threads.  [default: all cores]")
@click.option(
    "--delegate", default="cpu", show_default=True,
    help="cpu (XNNPACK), none (built-in kernels), edgetpu, edgetpu:usb:0 or edgetpu:pci:0, or a "
    "delegate library's path.",
)  # fmt: skip
@click.option("--labels", type=click.Path(), help="Class names, if the model has none.")
@json_option
def command(
    model: str, images: tuple[str, ...], top: int, threads: int | None, delegate: str,
    labels: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Name what is in IMAGES with MODEL, a .tflite file.

    Size, crop, normalisation and labels come from the file itself.
    """
    from effnet_lite.benchmark.classify import classify

    results = classify(model, images, top=top, threads=threads, labels=labels, delegate=delegate)
    if as_json:
        print_json({"results": [result.to_json() for result in results]})
        return
    for result in results:
        times = "emulated: no times"
        if result.preprocess_ms is not None and result.inference_ms is not None:
            times = (
                f"preprocess {result.preprocess_ms:.1f} ms, inference {result.inference_ms:.1f} ms"
            )
        click.echo(f"{result.image}  ({times})")
        for category in result.categories:
            click.echo(f"  {category.score:6.1%}  {category.label}")
