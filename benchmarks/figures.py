"""Keeps the results of finished runs, and writes the tables of README and docs from them.

python -m benchmarks.figures keep runs/fashion_mnist-sneaker ...
python -m benchmarks.figures write
"""

import argparse
from pathlib import Path

from benchmarks.deployment_tables import (
    batch_table,
    corrections_table,
    deployment_table,
    drift_table,
    encoder_speed_table,
    photos_table,
    recalibration_table,
    robustness_table,
    web_table,
)
from benchmarks.own_images_tables import (
    designs_table,
    few_photos_table,
    own_table,
    real_table,
)
from benchmarks.peers.table import peers_table
from benchmarks.quality_tables import load_cells, summary_table
from benchmarks.readme_tables import expected_table, results_table
from benchmarks.results_file import save
from benchmarks.training_tables import (
    baseline_table,
    devices_table,
    parity_table,
    precision_table,
    presets_table,
    quality_table,
    speed_table,
    step_table,
)
from ganad_tf.atomic_files import read_json, replace_file
from ganad_tf.errors import UsageError, run_cli
from ganad_tf.run_folder import METRICS, is_finished, load_config

ROOT = Path(__file__).parents[1]
# Page -> the tables that it holds between markers.
PAGES = {
    "README.md": {"expected": expected_table, "results": results_table},
    "docs/export_and_serving.md": {"parity": parity_table, "deployment": deployment_table},
    "docs/own_images.md": {"few photos": few_photos_table},
    "docs/batch_and_distributed.md": {"batch": batch_table},
    "docs/monitoring.md": {"drift": drift_table},
    "docs/recalibrate.md": {
        "recalibration": recalibration_table,
        "corrections": corrections_table,
    },
    "docs/web.md": {"web": web_table},
    "docs/method.md": {"designs": designs_table, "presets": presets_table},
    "docs/devices.md": {
        "precision": precision_table,
        "devices": devices_table,
        "peers": peers_table,
        "photos": photos_table,
    },
    "docs/benchmarks.md": {
        "real": real_table,
        "own": own_table,
        "robustness": robustness_table,
        "protocols": lambda: summary_table(load_cells()),
        "quality": quality_table,
        "baselines": baseline_table,
        "step": step_table,
        "speed": speed_table,
        "encoder_speed": encoder_speed_table,
    },
}


def keep(runs: list[Path]) -> None:
    """Copies each finished run's metrics and settings to `benchmarks/results/`."""
    for run in runs:
        if not is_finished(run):
            raise UsageError(f"expected the folder of a finished run. Received: {run}")
        metrics, config = read_json(run / METRICS), load_config(run)
        name = f"train-{config.protocol}-{metrics['normal'].lower().replace('/', '-')}"
        print(save(f"{name}-seed{config.seed}", {"config": config.to_dict(), **metrics}))


def keep_export(run: Path) -> None:
    """Copies the parity table of an export to `benchmarks/results/`."""
    name = load_config(run).protocol, read_json(run / METRICS)["normal"].lower().replace("/", "-")
    print(save("-".join(("export", *name)), read_json(run / "export.json")))


def write(root: Path = ROOT) -> None:
    """Replaces each table between its markers, in the README and in docs/.

    Args:
        root: the folder of the checkout.

    Raises:
        UsageError: if a page lacks the markers of a table; no page is changed then.
    """
    texts = {}
    for name, tables in PAGES.items():
        text = (root / name).read_text(encoding="utf-8")
        for table, make in tables.items():
            before, begin, rest = text.partition(f"<!-- {table} -->")
            _, end, after = rest.partition(f"<!-- end {table} -->")
            if not end:
                raise UsageError(f"{name} must hold the markers of table {table!r}. Received: none")
            text = f"{before}{begin}\n{make()}\n{end}{after}"
        texts[name] = text
    for name, text in texts.items():
        with replace_file(root / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    keeping = commands.add_parser("keep", help="keep the figures of finished runs")
    keeping.add_argument("runs", nargs="+", type=Path)
    exporting = commands.add_parser("keep-export", help="keep the parity figures of an export")
    exporting.add_argument("run", type=Path)
    commands.add_parser("write", help="write the tables of README and docs from what is kept")
    flags = parser.parse_args()
    if flags.command == "keep":
        keep(flags.runs)
    elif flags.command == "keep-export":
        keep_export(flags.run)
    else:
        write()


if __name__ == "__main__":
    raise SystemExit(run_cli(main))
