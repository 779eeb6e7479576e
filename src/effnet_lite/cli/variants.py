"""effnet-lite variants."""

from __future__ import annotations

from typing import Any

import click

from effnet_lite.cli.output import json_option, print_json, table


@click.command("variants", epilog="Example: effnet-lite variants lite-w0.5-d1-s160 lite-phi1")
@click.argument("names", nargs=-1)
@json_option
def command(names: tuple[str, ...], as_json: bool) -> None:
    """List the table's variants, or NAMES (custom ones too), with their cost.

    Parameters and multiply-adds are computed from the table; the published figures beside
    them are the authors'.
    """
    from effnet_lite.lite.architecture import architecture
    from effnet_lite.lite.variants import VARIANTS, get_variant

    rows: list[dict[str, Any]] = []
    for variant in map(get_variant, names) if names else VARIANTS.values():
        plan, published = architecture(variant), variant.published
        rows.append(
            {
                "name": variant.name,
                "family": variant.family.name,
                "width": variant.width,
                "depth": variant.depth,
                "size": variant.size,
                "dropout": variant.dropout,
                "params": plan.params,
                "madds": plan.madds,
                "published": published and {
                    "params": published.params,
                    "madds": published.madds,
                    "top1_fp32": published.top1_fp32,
                    "top1_int8": published.top1_int8,
                    "source": published.source,
                },
            }
        )  # fmt: skip
    if as_json:
        print_json({"variants": rows})
        return
    header = ["variant", "width", "depth", "size", "params M", "MMAdds",
              "params M*", "MMAdds*", "top-1 fp32*", "top-1 int8*"]  # fmt: skip
    click.echo(table(header, [_cells(row) for row in rows]))
    click.echo("\n* published: " + "; ".join(sorted({row["published"]["source"]
               for row in rows if row["published"]})) if any(row["published"] for row in rows)
               else "\nno published figures for custom variants")  # fmt: skip


def _cells(row: dict[str, Any]) -> list[str]:
    published = row["published"] or {}

    def figure(key: str, unit: float, digits: int) -> str:
        return f"{published[key] / unit:,.{digits}f}" if published.get(key) else "-"

    return [
        row["name"],
        f"{row['width']:g}",
        f"{row['depth']:g}",
        str(row["size"]),
        f"{row['params'] / 1e6:.2f}",
        f"{row['madds'] / 1e6:,.0f}",
        figure("params", 1e6, 1),
        figure("madds", 1e6, 0),
        figure("top1_fp32", 1, 1),
        figure("top1_int8", 1, 1),
    ]
