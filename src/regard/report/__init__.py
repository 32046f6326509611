"""The results of a comparison as typed values: intervals, records of trials, rows, and the whole result.

The report (`page`), the text table (`text`) and users' programs read these. They are plain data and need no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from regard.metrics.metric import Measure

GRADCAM = "Grad-CAM"
SPATIAL_MAP = "spatial map"
OWN, RANDOM = "own map", "random"  # of the maps that `faithful` tests, beside Grad-CAM
CURVES = ("deletion", "insertion")


@dataclass(frozen=True)
class Interval:
    """A number with its 95 % interval; `low == high` if the data give no interval.

    Args:
        mean: the figure itself (for latencies and the like, the median).
        low, high: the ends of the interval.
        values: what it was computed from, one per seed.
    """

    mean: float
    low: float
    high: float
    values: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Record:
    """One finished trial: a line of results.jsonl.

    Args:
        row, seed: which trial.
        measure: what `score` is.
        score: of the trained model on the test samples.
        scores: every number of the task's metric by name.
        energy, pointing: means over the test images of the scores of the row's heat map; None without known objects.
        energy_gradcam, pointing_gradcam: the same through Grad-CAM.
        chance_energy: the energy of an even map, the object's mean share of the image's area.
        through: where the row's heat map comes from, `GRADCAM` or `SPATIAL_MAP`.
        history: for each epoch `epoch`, `loss` (in training), `score` (on the test samples) and `seconds`.
        parameters: of the whole model.
        seconds: that the trial took.
        replaced: the score on some of the test samples with the row's own maps replaced: `even`, by their mean over
            queries (`mean`) and over images (`images`), `shuffled`, and as they are (`intact`); empty without own maps.
    """

    row: str
    seed: int
    measure: Measure
    score: float
    scores: Mapping[str, float]
    through: str
    history: tuple[Mapping[str, float], ...]
    parameters: int
    seconds: float
    energy: float | None = None
    pointing: float | None = None
    energy_gradcam: float | None = None
    pointing_gradcam: float | None = None
    chance_energy: float | None = None
    replaced: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ClassScore:
    """The score of one class, where it is no share of images.

    Args:
        score: with its interval.
        gain: the difference to that of `none`; None for `none` itself.
        images: the number of test images that show the class.
    """

    score: Interval
    gain: Interval | None
    images: int


@dataclass(frozen=True)
class Tested:
    """A curve of what the network says while pixels are taken away, or put back, in the order of a map.

    Args:
        area: under the curve.
        beyond: by how much the map is more faithful than a random one: the difference of the areas, above 0 where it
            is; None for the random map itself.
        curve: the mean over images and seeds, at equal steps from 0 to all pixels.
    """

    area: Interval
    beyond: Interval | None
    curve: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of the table.

    Args:
        name: the row's text, for example `cbam(order=parallel)@layer3`; `none` or `plain`.
        domains: what its attention ranges over; empty for the two reference rows.
        score: the task's measure on the test samples.
        gain: score minus that of `none`, paired by seed; None for `none` itself. Where a lower score is better, below
            zero is better.
        gain_over_plain: the same against `plain`; None for the two reference rows.
        corrected: reference -> the same gain with an interval widened for all comparisons of the run, so that all of
            them hold together with 95 % (Bonferroni). What is called beyond noise is judged by these.
        ece: expected calibration error; None where the task has none.
        energy: share of the heat map's energy inside the object; None where no region is known.
        pointing: how often the heat map's peak lies inside the object.
        through: where the heat map comes from, `GRADCAM` or `SPATIAL_MAP`.
        energy_gradcam, pointing_gradcam: the same through Grad-CAM for every row, so that all rows compare.
        chance_energy: what an even map would score, the object's mean share of the image's area.
        parameters: of the whole model.
        extra_parameters: beyond `none`.
        flops: floating point operations of one image's forward pass.
        latency: batch size -> time of a forward pass as a multiple of that of `none`, paired.
        peak_memory: bytes, of one forward and backward pass.
        history: one tuple per seed of what `Record.history` holds.
        verdict: the gains in plain words.
        answers: (class, answer) -> number of test images of the class with that answer, over all seeds; None where the
            task has no classes.
        look: the command that draws the attention of the first seed's trained model; empty if it cannot be opened so.
        classes: class -> its score, of a segmentation the IoU; empty where `answers` tells of the classes.
        replaced: replacement of the row's own maps, as in `Record.replaced` -> the score with it minus that with the
            maps as they are, on the same samples; empty where the row has no maps of its own that act.
        faithful: `own map, deletion, road` and so on, of each map (`own map`, `random`, `centre`, `Grad-CAM`), curve
            and baseline -> what was found; empty unless the comparison was asked for it.
    """

    name: str
    domains: tuple[str, ...]
    score: Interval
    gain: Interval | None
    gain_over_plain: Interval | None
    corrected: Mapping[str, Interval]
    ece: Interval | None
    energy: Interval | None
    pointing: Interval | None
    through: str
    energy_gradcam: Interval | None
    pointing_gradcam: Interval | None
    chance_energy: float | None
    parameters: int
    extra_parameters: int
    flops: int
    latency: Mapping[str, Interval]
    peak_memory: int | None
    history: tuple[tuple[Mapping[str, float], ...], ...]
    verdict: str
    answers: Mapping[tuple[int, int], int] | None = None
    look: str = ""
    classes: Mapping[int, ClassScore] = field(default_factory=dict)
    replaced: Mapping[str, Interval] = field(default_factory=dict)
    faithful: Mapping[str, Tested] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Result:
    """A finished comparison; its `str` is the verdict, a table and sentences.

    Args:
        rows: `none` and `plain` first, then the others from the best score down.
        sentences: what the numbers say, in plain words, what they do not say included.
        measure: what the rows' scores are.
        records: every trial, seed by seed.
        run: the facts of run.json.
        out: the run folder.
        gallery: path of gallery.npz; None where there is none.
    """

    rows: tuple[Row, ...]
    sentences: tuple[str, ...]
    measure: Measure
    records: tuple[Record, ...] = ()
    run: Mapping[str, Any] = field(default_factory=dict)
    out: Path | None = None
    gallery: Path | None = None

    def __str__(self) -> str:
        from regard.report import text

        told = [self.verdict, ""] if self.verdict else []
        return "\n".join([*told, text.written(self), "", *(f"• {sentence}" for sentence in self.sentences)])

    @property
    def verdict(self) -> str:
        """One sentence: whether attention helps here, and what it costs; empty without `none` and a row to compare."""
        from regard.report import verdict

        return verdict.sentence(self)

    def report(self, path: str | Path | None = None) -> Path:
        """Writes the report with all results and maps: one self-contained HTML file.

        Args:
            path: the file; by default `report.html` in the run folder.

        Returns: the file's path.
        Raises:
            FileExistsError: there is a file at `path` that is no such page.
            ValueError: there is neither a path nor a run folder, or the gallery is damaged.
            OSError: the page cannot be written.
        """
        from regard.report import page

        return page.write(self, path)
