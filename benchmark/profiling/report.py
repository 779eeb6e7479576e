"""A profile as tables and lines of text."""

from __future__ import annotations

from effnet_lite.benchmark.profiling.profile import TOP, KindTime, LayerTime, Profile

# Further apart than this, the layers' times do not explain the inference.
MAX_GAP = 0.1


def layer_table(found: Profile, count: int = TOP) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the costliest layers."""
    header = ["layer", "operator", "ms", "share", "M madds", "KiB", "GOP/s", "of the roof"]
    rows = [
        [layer.name, layer.kind, f"{layer.ms:.3f}", f"{layer.share:.1%}",
         *_amounts(layer), "-" if layer.roof is None else f"{layer.roof:.0%}"]
        for layer in found.costliest(count)
    ]  # fmt: skip
    return header, rows


def kind_table(found: Profile) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the sums by kind."""
    header = ["operator", "layers", "ms", "share", "M madds", "KiB", "GOP/s"]
    rows = [
        [kind.kind, str(kind.layers), f"{kind.ms:.3f}", f"{kind.share:.1%}", *_amounts(kind)]
        for kind in found.by_kind
    ]
    return header, rows


def notes(found: Profile) -> list[str]:
    """Lines below the tables: what the figures are, and how far they can be trusted."""
    lines = [
        f"layers {found.layers_ms:.2f} ms, inference without profiler {found.inference_ms:.2f} ms: "
        f"{found.ratio:.1%} explained"
    ]
    if abs(found.ratio - 1) > MAX_GAP:
        lines.append(
            f"the layers' times are more than {MAX_GAP:.0%} off: much of the time is between "
            "layers, as in very small models, or the machine was disturbed; see their shares only"
        )
    fused = sum(layer.timed_in is not None for layer in found.layers)
    if fused:
        lines.append(f"XNNPACK computes {fused} operators together with another one")
    if found.peaks:
        peaks = found.peaks
        gops = ", ".join(f"{name} {value:.0f} GOP/s" for name, value in peaks.gops.items())
        lines.append(
            f"roof, measured: {gops + ', ' if gops else ''}caches {peaks.cache_gb_per_s:.0f} GB/s, "
            f"memory {peaks.memory_gb_per_s:.0f} GB/s on {peaks.threads} thread(s) ({peaks.how})"
        )
    return lines


def _amounts(entry: LayerTime | KindTime) -> list[str]:
    return [
        f"{entry.madds / 1e6:.1f}" if entry.madds else "-",
        f"{entry.bytes / 1024:.0f}",
        "-" if entry.gops is None else f"{entry.gops:.0f}",
    ]
