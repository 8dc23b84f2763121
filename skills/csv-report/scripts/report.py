"""Summarise a CSV file and draw a chart of it."""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

MAX_SERIES = 4
MAX_BARS = 12


def run(csv: str = "data.csv", chart: str = "chart.png", title: str | None = None, top: int = 5) -> dict[str, Any]:
    """Summarise a CSV file of the working directory and write a PNG chart beside it."""
    table = read_table(Path(csv))
    columns = [describe(table[name], top) for name in table.columns]
    drawing = draw(table, Path(chart), title or Path(csv).name)
    return {"file": csv, "rows": len(table), "columns": columns, "chart": drawing}


def read_table(path: Path) -> pd.DataFrame:
    """The file as a table, with text columns that hold nothing but dates turned into dates."""
    table = pd.read_csv(path, skipinitialspace=True)
    if table.empty:
        raise ValueError(f"{path} has no rows below its header")
    for name in table.columns:
        if kind(table[name]) == "text":
            table[name] = as_dates(table[name])
    return table


def as_dates(column: pd.Series) -> pd.Series:
    """The column as dates if every value of it is one, else as it was."""
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", UserWarning
        )  # pandas warns when it has to guess; a wrong guess is an error below
        dates = pd.to_datetime(column, errors="coerce")
    return column if dates.isna().sum() > column.isna().sum() else dates


def kind(column: pd.Series) -> str:
    """What the column holds: number, date, boolean or text."""
    if pd.api.types.is_bool_dtype(column):
        return "boolean"
    if pd.api.types.is_numeric_dtype(column):
        return "number"
    return "date" if pd.api.types.is_datetime64_any_dtype(column) else "text"


def describe(column: pd.Series, top: int) -> dict[str, Any]:
    """One column's summary, in values that JSON knows."""
    facts: dict[str, Any] = {"name": str(column.name), "type": kind(column), "missing": int(column.isna().sum())}
    present = column.dropna()
    if present.empty:
        return facts
    match facts["type"]:
        case "number":
            mean = round(float(present.mean()), 6)
            facts |= {"min": present.min().item(), "max": present.max().item(), "mean": mean}
        case "date":
            facts |= {"first": present.min().isoformat(), "last": present.max().isoformat()}
        case _:
            counts = present.astype(str).value_counts().head(top)
            facts["top"] = [{"value": value, "count": int(count)} for value, count in counts.items()]
    return facts


def draw(table: pd.DataFrame, path: Path, title: str) -> dict[str, Any]:
    """Draw what the columns allow, the most telling first, and say what was drawn."""
    names: dict[str, list[str]] = {"number": [], "date": [], "boolean": [], "text": []}
    for name in table.columns:
        names[kind(table[name])].append(name)
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_title(title)
    numbers = names["number"][:MAX_SERIES]
    if numbers and names["date"]:
        drawn = lines(axes, table, names["date"][0], numbers)
    elif numbers and names["text"]:
        drawn = bars(axes, table, names["text"][0], numbers[0])
    elif numbers:
        drawn = histogram(axes, table, numbers[0])
    else:
        drawn = frequencies(axes, table, (names["text"] + names["boolean"] + names["date"])[0])
    figure.savefig(path, dpi=120)
    return {"file": str(path), "width": 960, "height": 540} | drawn


def lines(axes: Any, table: pd.DataFrame, date: str, numbers: list[str]) -> dict[str, Any]:
    """The numbers over time, as the mean of each date's rows."""
    means = table.groupby(date)[numbers].mean().sort_index()
    for name in numbers:
        axes.plot(means.index, means[name], marker=".", label=str(name))
    axes.set_ylabel(f"mean per {date}")
    axes.legend()
    axes.tick_params(axis="x", rotation=30)
    axes.grid(visible=True, alpha=0.3)
    return {"kind": "lines", "x": str(date), "y": [str(name) for name in numbers]}


def bars(axes: Any, table: pd.DataFrame, category: str, number: str) -> dict[str, Any]:
    """A number added up by category, largest first."""
    sums = table.groupby(category)[number].sum().sort_values(ascending=False).head(MAX_BARS)
    axes.barh([str(value) for value in sums.index][::-1], list(sums)[::-1])
    axes.set_xlabel(str(number))
    return {"kind": "bars", "x": str(category), "y": [str(number)]}


def histogram(axes: Any, table: pd.DataFrame, number: str) -> dict[str, Any]:
    """How a number is spread."""
    axes.hist(table[number].dropna(), bins=20)
    axes.set_xlabel(str(number))
    return {"kind": "histogram", "x": str(number), "y": ["rows"]}


def frequencies(axes: Any, table: pd.DataFrame, name: str) -> dict[str, Any]:
    """How often each value occurs, most frequent first."""
    counts = table[name].astype(str).value_counts().head(MAX_BARS)
    axes.barh(list(counts.index)[::-1], list(counts)[::-1])
    axes.set_xlabel("rows")
    return {"kind": "frequencies", "x": str(name), "y": ["rows"]}


def main() -> None:
    """Run as a script: the summary goes to standard output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("csv", nargs="?", default="data.csv", help="the file to summarise")
    parser.add_argument("--chart", default="chart.png", help="where the chart is written")
    parser.add_argument("--title", help="the chart's title")
    parser.add_argument("--top", type=int, default=5, help="how many frequent values are listed")
    options = parser.parse_args()
    print(json.dumps(run(options.csv, options.chart, options.title, options.top), indent=2))


if __name__ == "__main__":
    main()
