"""Write the benchmarks' figures into the pages of the docs, between the marks of each table.

python benchmarks/tables.py
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS, DOCS = ROOT / "benchmarks" / "results", ROOT / "docs"
Figures = dict[str, Any]


def main() -> None:
    tables: dict[str, tuple[str, Callable[[Any], str]]] = {
        "pca_floor": ("never-worse-than-pca.md", pca_floor),
        "likelihood_floor": ("never-worse-than-pca.md", likelihood_floor),
        "speed": ("speed.md", speed),
        "speed_float32": ("speed.md", speed),
        "denoising": ("speed.md", denoising),
        "memory": ("speed.md", memory),
        "checkpoint": ("speed.md", checkpoint),
        "kills": ("resume.md", kills),
        "onnx_runtime": ("export.md", onnx_runtime),
        "sampling": ("sampling.md", sampling),
        "outliers": ("outliers.md", outliers),
        "pictures": ("noise.md", pictures),
        "sequences": ("noise.md", sequences),
        "pretraining": ("pretraining.md", pretraining),
        "rbm": ("pretraining.md", rbm),
    }
    for name, (page, table) in tables.items():
        figures = json.loads((RESULTS / f"{name}.json").read_text())
        path = DOCS / page
        start, end = f"<!-- table: {name} -->", f"<!-- end: {name} -->"
        pattern = re.compile(f"{start}(?:.*?{end})?", re.DOTALL)
        text = f"{start}\n\n{table(figures)}\n\n{end}"
        path.write_text(pattern.sub(lambda _, text=text: text, path.read_text(), count=1))


def pca_floor(figures: Figures) -> str:
    lines = [
        "| table | training rows | features | code | ratio, mean | worst of three | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['table']} | {row['rows']} | {row['features']} | {row['code']} "
        f"| {row['ratio']:.3f} | {max(row['ratios']):.3f} | {max(row['seconds']):.1f} |"
        for row in figures["tables"]
    ]
    ending = (
        f"Worst table {figures['worst_table']:.4f}, worst single fit {figures['worst_fit']:.4f}; "
        f"geometric mean {figures['geometric_mean']:.3f} over all, "
        f"{figures['geometric_mean_without_embedded']:.3f} over the 21 of ADBench; slowest fit "
        f"under 1,000 rows {figures['slowest_under_1000_rows']:.1f} s."
    )
    return "\n".join(lines) + "\n\n" + ending


def likelihood_floor(figures: Figures) -> str:
    lines = [
        "| table | nats gained, mean | worst of three | rows that gain | epochs | seconds |",
        "|---|---|---|---|---|---|",
    ]
    for row in figures["tables"]:
        epochs = ", ".join(map(str, row["epochs"]))
        gains = row["gains"]
        lines.append(
            f"| {row['table']} | {sum(gains) / len(gains):.2f} | {min(gains):.2f} "
            f"| {sum(row['better']) / len(gains):.0%} | {epochs} | {max(row['seconds']):.1f} |"
        )
    return "\n".join(lines) + f"\n\nWorst single fit: {figures['worst']:.2f} nats."


def speed(figures: Figures) -> str:
    seconds, errors = figures["seconds_an_epoch"], figures["end_error"]
    rows = {
        "Isthmus": "isthmus",
        "plain loop, `DataLoader`, float32": "loader",
        "plain loop in memory, float32": "memory",
        "a step by hand for this net alone": "by_hand",
        "matrix products alone": "products",
        "the same, casts and Adam's step": "step",
    }
    lines = ["| | seconds an epoch | times ours | end error |", "|---|---|---|---|"]
    for title, key in rows.items():
        error = f"{errors[key]:.2f}" if key in errors else ""
        ratio = seconds[key] / seconds["isthmus"]
        lines.append(f"| {title} | {seconds[key]:.2f} | {ratio:.2f} | {error} |")
    ending = (
        f"Medians of {figures['rounds']} alternating rounds on {figures['threads']} cores, torch "
        f"{figures['torch']}, native bfloat16: {'yes' if figures['native_bfloat16'] else 'no'}. "
        f"Seconds depend on the machine and its load; compare ratios."
    )
    return "\n".join(lines) + "\n\n" + ending


def denoising(figures: Figures) -> str:
    return (
        f"Noise 0.5 N(0, 1) off the 10,000 test images of MNIST with a dense network: "
        f"{figures['psnr']:.2f} dB after {figures['seconds']:.0f} s of training "
        f"({figures['epochs']} epochs); noisy and clipped {figures['noisy_clipped_psnr']:.2f} dB."
    )


def memory(figures: Figures) -> str:
    return (
        f"A fit on a memory-mapped float32 file of {figures['data_bytes'] / 1e9:.2f} GB: peak "
        f"resident size {figures['peak_bytes'] / 1e9:.2f} GB, the file's own pages included."
    )


def checkpoint(figures: Figures) -> str:
    seconds, busy = figures["seconds_a_fit"], figures["processor_seconds_a_fit"]
    titles = {
        "without": "no checkpoints",
        "usual": "`checkpoint=path`",
        "each_epoch": '`Checkpoint(path, every="epoch")`',
    }
    lines = [
        "| | states | seconds a fit | processor seconds | more of these |",
        "|---|---|---|---|---|",
    ]
    for key, title in titles.items():
        more = 100 * (busy[key] / busy["without"] - 1)
        cells = (title, figures["states"][key], f"{seconds[key]:.2f}", f"{busy[key]:.2f}")
        lines.append("| " + " | ".join(map(str, (*cells, f"{more:.1f}%"))) + " |")
    ending = (
        f"Fits of {figures['epochs']} epochs; a state has {figures['bytes_a_state'] / 1e6:.0f} MB. "
        f"Medians of {figures['rounds']} alternating rounds, threads: {figures['threads']}, load "
        f"at the end: {figures['load_average']:.1f}; on a busy machine compare processor seconds. "
        f"The fingerprint of the rows is included."
    )
    return "\n".join(lines) + "\n\n" + ending


def onnx_runtime(figures: Figures) -> str:
    lines = [
        "| estimator | network | difference | 1 row: model | file | 1,000 rows: model | file |",
        "|---|---|---|---|---|---|---|",
    ]
    for pair in figures["pairs"]:
        largest, times = max(pair["differences"].values()), pair["milliseconds"].values()
        cells = " | ".join(f"{each[way]:.2f}" for each in times for way in ("model", "file"))
        network = f"`{pair['network']}`" if pair["network"] else ""
        lines.append(f"| {pair['estimator']} | {network} | {largest:.0e} | {cells} |")
    ending = (
        f"Milliseconds, medians in turns, on {figures['threads']} thread(s), torch "
        f"{figures['torch']}, ONNX Runtime {figures['onnxruntime']}. The model checks its rows and "
        f"computes in float64 (convolutions in float32), the file in float32. Times depend on the "
        f"machine and its load; compare ratios."
    )
    return "\n".join(lines) + "\n\n" + ending


def kills(figures: Figures) -> str:
    lines = [
        "| fit | killed | while it wrote | left half a file | fits | came to another model |",
        "|---|---|---|---|---|---|",
    ]
    names = ("kills", "while_writing", "half_files", "fits", "different")
    lines += [
        f"| {title} | {' | '.join(str(counts[name]) for name in names)} |"
        for title, counts in figures["estimators"].items()
    ]
    return "\n".join(lines)


def sampling(figures: Figures) -> str:
    names = ("precision", "recall", "coverage", "told_by_neighbours", "told_by_components")
    lines = [
        "| samples | precision | recall | coverage | told by neighbours | by trees |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {title} | {' | '.join(f'{found[name]:.2f}' for name in names)} |"
        for title, found in figures.items()
    ]
    return "\n".join(lines)


def outliers(figures: list[Figures]) -> str:
    names = list(figures[0]["by"])
    lines = [f"| table | rows | outliers | {' | '.join(names)} |", "|---" * (3 + len(names)) + "|"]
    for each in figures:
        areas = " | ".join(f"{found['auc']:.3f}" for found in each["by"].values())
        lines.append(f"| {each['table']} | {each['rows']} | {each['outliers']:.1%} | {areas} |")
    unseen = [each for each in figures if not each["chose"]]
    for title, tables in (("**mean**", figures), ("**mean, tables that chose nothing**", unseen)):
        cells = []
        for name in names:
            area, precision = (mean_of(tables, name, what) for what in ("auc", "precision"))
            cells.append(f"{area:.3f}, {precision:.3f}")
        lines.append(f"| {title} | | | {' | '.join(cells)} |")
    return "\n".join(lines)


def mean_of(tables: list[Figures], name: str, what: str) -> float:
    """Return the mean of a figure of one detector over tables."""
    return sum(each["by"][name][what] for each in tables) / len(tables)


PICTURES = {
    "mnist": ("MNIST, noise 0.5, clipped", "20.18 to 20.42, the Keras tutorial's network"),
    "mnist_long": ("the same, trained for longer", ""),
    "mnist_code": ("the same, all through a code of 64 numbers", ""),
    "bsd": ("BSD68, noise 25/255, learned from Train400", "28.57 BM3D, 29.23 DnCNN"),
    "bsd_blind": ("BSD68, learned from its noisy pictures alone", ""),
}


def pictures(figures: Figures) -> str:
    lines = ["| task | PSNR, dB | training | published |", "|---|---|---|---|"]
    for name, (title, published) in PICTURES.items():
        if name in figures:
            psnr, seconds = figures[name]["psnr"], figures[name]["seconds"]
            device = figures[name].get("device", "2 threads")
            took = f"{seconds / 60:.0f} min" + f" on {device}" * (device != "2 threads")
            lines.append(f"| {title} | {psnr:.2f} | {took} | {published} |")
    ending = (
        f"An epoch of a network with skips, in bfloat16 and channels-last, is "
        f"{figures['speed']['faster_than_plain']:.2f} times faster than in a plain float32 loop."
    )
    return "\n".join(lines) + "\n\n" + ending


def pretraining(figures: Figures) -> str:
    lines = [
        "| beginning | seconds, of which before | nats | squared error | nats below 80 after |",
        "|---|---|---|---|---|",
    ]
    for name, each in figures["curves"].items():
        curve = zip(each["seconds"], each["nats"], strict=True)
        there = next((f"{seconds:.0f} s" for seconds, nats in curve if nats < 80), "never")
        lines.append(
            f"| {name} | {each['seconds'][-1]:.0f}, {each['pretraining']:.0f} "
            f"| {each['nats'][-1]:.2f} | {each['squared_error']:.2f} | {there} |"
        )
    return "\n".join(lines)


def rbm(figures: Figures) -> str:
    small, large, speed = (figures[name] for name in ("small", "large", "speed"))
    published = {"centred": "-142.56", "uncentred": "-149.05"}
    lines = [
        "| machine | exact | annealed | annealed back | published |",
        "|---|---|---|---|---|",
        *(
            f"| 784-16, {name} | {each['exact']:.2f} | {each['ais']:.2f} "
            f"| {each['ais-reverse']:.2f} | {published[name]} |"
            for name, each in small.items()
        ),
        f"| 784-500, centred | | {large['ais']:.2f} | {large['ais-reverse']:.2f} "
        f"| -84.86, -96.61 |",
    ]
    likely, seconds = speed["log_pseudo_likelihood"], speed["seconds_an_epoch"]["isthmus"]
    ending = (
        f"Test log-likelihoods, nats. At 784-1000, batch 100, an epoch takes {seconds:.2f} s: "
        f"{speed['faster_than_float64']:.1f} times less than scikit-learn's `BernoulliRBM`, "
        f"{speed['faster_than_float32']:.1f} times less than the same on float32 rows; "
        f"log-pseudo-likelihood {likely['isthmus']:.1f} against {likely['sklearn_float32']:.1f}."
    )
    return "\n".join(lines) + "\n\n" + ending


def sequences(figures: Figures) -> str:
    lines = ["| strokes of MNIST | steps | PCA | recurrent | training |", "|---|---|---|---|---|"]
    for title, found in figures.items():
        steps = " to ".join(str(each) for each in sorted(set(found["lengths"])))
        errors = f"{found['pca_error']:.2f} | {found['error']:.2f}"
        lines.append(f"| {title} | {steps} | {errors} | {found['seconds'] / 60:.0f} min |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
