"""`siglane label`, and `siglane filter --labels`: from the draw to a certified cut, and what is refused."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pytest

from jobs import filter, label, score  # noqa: A004
from pipeline import schema
from tests.jobs.test_report import HOSTILE
from tests.rows import rows_of
from tests.samples import jpeg, write_parquet
from tests.tables import SOURCES, places, uids, write_table
from tests.vectors import simulated

COUNT = 1000


class Labelled:
    """A table of pairs whose truth is known, with its input, and a draw of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        pairs, wrong = simulated(COUNT, 0.3, seed=1)
        captions = [f"caption {row}" for row in range(COUNT)]
        captions[: len(HOSTILE)] = HOSTILE
        for source in SOURCES:
            rows = [row for row, (path, _) in enumerate(places(COUNT)) if path == source]
            write_parquet(folder / "in" / source, [jpeg(row) for row in rows], [captions[row] for row in rows])
        vectors = pairs.image_vectors, pairs.text_vectors
        self.table = write_table(
            folder / "t", *vectors, **{schema.CAPTION: captions, schema.IMAGE_SHA256: [None] * COUNT}
        )
        self.is_wrong = dict(zip(uids(COUNT), wrong.tolist(), strict=True))

    def draw(self, *options: object) -> list[dict[str, str]]:
        """Draws pairs; the rows that the page would save, labelled with the truth."""
        output = self.folder / f"draw-{len(list(self.folder.iterdir()))}"
        run = ["--table", str(self.table), "--output", str(output), "--input", str(self.folder / "in")]
        assert label.main([*run, *map(str, options)]) == 0
        page = Articles((output / "label.html").read_text("utf-8"))
        self.sample = json.loads((output / "draw.json").read_text("utf-8"))
        return [
            {"uid": uid, "label": "wrong" if self.is_wrong[uid] else "right"}
            | dict(zip(("score", "stratum", "inclusion_probability"), values.split(","), strict=True))
            | {"draw": page.draw}
            for uid, values in page.values.items()
        ]

    def filter(self, rows: list[dict[str, str]], *options: object, name: str = "labels.csv") -> int:
        file = self.folder / name
        with file.open("w", encoding="utf-8", newline="") as opened:
            writer = csv.DictWriter(opened, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return self.filter_by(file, *options)

    def filter_by(self, file: Path, *options: object) -> int:
        run = ["--table", str(self.table), "--output", str(self.folder / "kept"), "--max-mismatch-fraction", "0.05"]
        return filter.main([*run, "--labels", str(file), "--json", *map(str, options)])


class Articles(HTMLParser):
    """The pairs of a page, as its script sees them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.values: dict[str, str] = {}
        self.draw = ""
        self.images = 0
        self.scripts = 0
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.scripts += tag == "script"
        self.images += tag == "img"
        assert not [name for name in given if name.startswith("on")]
        if tag == "article":
            self.values[given["data-uid"] or ""] = given["data-values"] or ""
        if tag == "body":
            self.draw = given["data-all"] or ""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Labelled:
    return Labelled(tmp_path_factory.mktemp("labels"))


@pytest.fixture
def labelled(made: Labelled, tmp_path: Path) -> Labelled:
    """The table itself is shared, and no test changes it; what a test writes goes into a folder of its own."""
    own = object.__new__(Labelled)
    own.folder, own.table, own.is_wrong = tmp_path, made.table, made.is_wrong
    (tmp_path / "in").symlink_to(made.folder / "in")
    return own


@pytest.fixture
def changeable(tmp_path: Path) -> Labelled:
    return Labelled(tmp_path)


def told(capfd: pytest.CaptureFixture[str]) -> tuple[dict[str, Any], str]:
    out, err = capfd.readouterr()
    return json.loads(out.splitlines()[-1]), err


def refusal(capfd: pytest.CaptureFixture[str]) -> str:
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("siglane filter: ")]
    assert len(lines) == 1
    return lines[0]


def test_labels_of_a_draw_certify_a_cut(labelled: Labelled, capfd: pytest.CaptureFixture[str]) -> None:
    rows = labelled.draw()
    assert len(rows) == 200
    capfd.readouterr()
    assert labelled.filter(rows) == 0
    summary, text = told(capfd)
    certified = summary["certified"]
    kept = np.array([not labelled.is_wrong[uid] for uid in _kept(labelled.folder / "kept")])
    assert len(kept) == summary["kept"] > 0.85 * COUNT * 0.7 / 0.95
    assert 1 - kept.mean() <= 0.05
    assert (certified["fraction"], certified["confidence"], certified["assumes"]) == (0.05, 0.95, None)
    assert certified["threshold"] == summary["threshold"]
    assert certified["draw"] == labelled.sample["draw"]
    above = [row for row in rows if float(row["score"]) >= summary["threshold"]]
    assert certified["labels"] == len(above)
    assert certified["wrong"] == sum(row["label"] == "wrong" for row in above)
    assert 0 <= summary["mismatch_fraction"] <= 0.05
    assert summary["mismatch_interval"] is None
    assert "certified with 95% confidence: at most 5.00% of the kept pairs are mismatched" in text
    manifest = json.loads((labelled.folder / "kept.siglane" / "manifest.json").read_text())
    assert manifest["certified"] == certified
    assert manifest["labels"].endswith("labels.csv")


def test_the_folder_has_the_sample_with_its_probabilities(labelled: Labelled) -> None:
    rows = labelled.draw("--count", 150, "--seed", 4, "--where", "source_row < 400")
    sample = labelled.sample
    assert (sample["where"], sample["seed"], sample["pairs"]) == ("source_row < 400", 4, 800)
    assert sum(stratum["drawn"] for stratum in sample["strata"]) == len(sample["sample"]) == len(rows) == 150
    for row, pair in zip(rows, sample["sample"], strict=True):
        stratum = sample["strata"][pair["stratum"]]
        assert pair["score"] >= stratum["lowest"]
        assert pair["inclusion_probability"] == stratum["drawn"] / stratum["pairs"]
        assert (row["uid"], float(row["score"])) == (pair["uid"], pair["score"])
        assert (int(row["stratum"]), float(row["inclusion_probability"])) == (
            pair["stratum"],
            pair["inclusion_probability"],
        )


def test_a_larger_draw_with_the_same_seed_has_the_same_pairs_and_more(labelled: Labelled) -> None:
    few, more, other = (
        {row["uid"] for row in labelled.draw("--count", count, "--seed", seed)}
        for count, seed in ((100, 1), (250, 1), (250, 2))
    )
    assert (len(few), len(more), few <= more, few <= other) == (100, 250, True, False)


def test_the_page_has_images_and_no_markup_of_captions(labelled: Labelled) -> None:
    labelled.draw("--where", f"source = '{SOURCES[0]}' AND source_row < {len(HOSTILE)}")
    (folder,) = (path for path in labelled.folder.iterdir() if path.name.startswith("draw-"))
    html = (folder / "label.html").read_text("utf-8")
    page = Articles(html)
    assert (len(page.values), page.images, page.scripts) == (len(HOSTILE), len(HOSTILE), 1)
    assert "<script>alert" not in html
    assert "⟨U+202E⟩" in html
    policy = re.search('Content-Security-Policy" content="([^"]*)"', html)
    assert policy is not None
    assert "default-src &#39;none&#39;" in policy[1]
    assert "script-src &#39;sha256-" in policy[1]


def test_another_score_needs_no_shuffled_pairs(changeable: Labelled, capfd: pytest.CaptureFixture[str]) -> None:
    assert score.main(["--table", str(changeable.table), "--signal", "normalised_score"]) == 0
    rows = changeable.draw("--by", "normalised_score")
    capfd.readouterr()
    assert changeable.filter(rows, "--by", "normalised_score") == 0
    summary, _ = told(capfd)
    assert summary["by"] == "normalised_score"
    assert summary["kept"] > 0.8 * COUNT * 0.7 / 0.95
    assert changeable.filter(rows, "--overwrite") == 2
    assert "row 2: it was drawn by normalised_score, not by cosine; give --by normalised_score" in refusal(capfd)


def test_too_many_wrong_labels_certify_nothing_and_more_are_asked_for(
    labelled: Labelled, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = labelled.draw()
    best = sorted(rows, key=lambda row: -float(row["score"]))
    for row in best[10:40:10]:
        row["label"] = "wrong"
    capfd.readouterr()
    assert labelled.filter(rows) == 1
    said = refusal(capfd)
    assert "labels are wrong (with those unsure)" in said
    assert re.search(r"about \d+ more labels would, .*: siglane label --count \d+$", said)
    for row in best:
        row["label"] = "wrong"
    assert labelled.filter(rows) == 1
    assert "more labels would not certify it" in refusal(capfd)
    assert not (labelled.folder / "kept").exists()


def test_unsure_counts_as_wrong_or_is_left_out(labelled: Labelled, capfd: pytest.CaptureFixture[str]) -> None:
    rows = labelled.draw()
    best = sorted(rows, key=lambda row: -float(row["score"]))
    for row in best[5:100:10]:
        row["label"] = "unsure"
    capfd.readouterr()
    assert labelled.filter(rows) == 1
    assert labelled.filter(rows, "--unsure", "left-out") == 0
    summary, text = told(capfd)
    assert (summary["certified"]["unsure"], summary["certified"]["unsure_as"]) == (10, "left-out")
    assert "10 unsure, taken to be wrong as often as the others" in text


def test_labels_from_elsewhere_are_taken_with_what_they_assume(
    labelled: Labelled, capfd: pytest.CaptureFixture[str]
) -> None:
    chosen = np.random.default_rng(0).choice(uids(COUNT), 300, replace=False)
    rows = [{"uid": uid, "label": "wrong" if labelled.is_wrong[uid] else "right"} for uid in chosen]
    assert labelled.filter(rows) == 0
    summary, text = told(capfd)
    assert (summary["certified"]["labels_given"], summary["certified"]["draw"]) == (300, None)
    assert "a simple random sample of the scored pairs" in summary["certified"]["assumes"]
    assert "certified with 95% confidence, if the labelled pairs are a simple random sample" in text


def test_drawn_pairs_can_be_labelled_by_another_tool(labelled: Labelled) -> None:
    rows = labelled.draw("--count", "200")
    file = next(labelled.folder.glob("draw-*/pairs.csv"))
    with file.open(encoding="utf-8", newline="") as opened:
        pairs = list(csv.DictReader(opened))
    for pair in pairs:
        assert pair["label"] == ""
        pair["label"] = "wrong" if labelled.is_wrong[pair["uid"]] else "right"
    assert pairs == rows
    assert labelled.filter(pairs) == 0


def test_labels_of_drawn_pairs_without_their_draw_are_refused(
    labelled: Labelled, capfd: pytest.CaptureFixture[str]
) -> None:
    """They lie where labels tell most, so that counting them as a random sample certifies far too much."""
    scores = {row["uid"]: row["cosine"] for row in rows_of(labelled.table).values()}
    best = sorted(scores, key=lambda uid: -scores[uid])[: COUNT // 2]
    chosen = np.random.default_rng(0).choice(best, 150, replace=False)
    rows = [{"uid": uid, "label": "wrong" if labelled.is_wrong[uid] else "right"} for uid in chosen]
    assert labelled.filter(rows) == 2
    told_text = capfd.readouterr().err
    assert "no random sample of the scored pairs: 100% of them are in the better half" in told_text
    assert "inclusion_probability" in told_text


@pytest.mark.parametrize(
    "written",
    [
        lambda text: "\ufeff" + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\ufeff" + text.replace(",", ";").replace("\n", "\r\n"),
        lambda text: text.replace(",", "\t").replace("uid", " UID ").replace("right", "Right"),
        lambda text: text.replace("\n", "\n\n"),
    ],
    ids=["mark", "line ends", "spreadsheet", "tabs", "empty lines"],
)
def test_a_file_is_read_as_programs_write_it(
    labelled: Labelled, written: Callable[[str], str], capfd: pytest.CaptureFixture[str]
) -> None:
    rows = [(uid, "wrong" if wrong else "right") for uid, wrong in list(labelled.is_wrong.items())[::4]]
    text = "uid,label\n" + "".join(f"{uid},{value}\n" for uid, value in rows)
    (labelled.folder / "l.csv").write_bytes(written(text).encode())
    assert labelled.filter_by(labelled.folder / "l.csv") == 0
    assert told(capfd)[0]["certified"]["labels_given"] == COUNT / 4


def test_a_draw_survives_a_spreadsheet(labelled: Labelled, capfd: pytest.CaptureFixture[str]) -> None:
    rows = labelled.draw()
    for row in rows:
        row["score"] = row["score"].replace(".", ",")
    with (labelled.folder / "l.csv").open("w", encoding="utf-8-sig", newline="") as opened:
        writer = csv.DictWriter(opened, list(rows[0]), delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
    capfd.readouterr()
    assert labelled.filter_by(labelled.folder / "l.csv") == 0
    assert told(capfd)[0]["certified"]["draw"] == labelled.sample["draw"]


U = uids(COUNT)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "row 1: there are no columns uid and label"),
        ("uid,label\n", "there are no labels"),
        ("uid,value\n" + U[0] + ",right\n", "row 1: there are no columns uid and label"),
        (f"uid,label\n{U[0]},right\n{U[1]},maybe\n", "row 3: the label 'maybe' is none of right, wrong, unsure"),
        (f"uid,label\n{U[0]},\n", "row 2: the label '' is none of"),
        (
            f"uid,label\n{U[0]},right\n{U[1]},wrong\n{U[0]},wrong\n",
            f"row 4: uid {U[0]} is wrong here and right in row 2",
        ),
        ("uid,label\nsomething,right\n", "row 2: 'something' is not a uid"),
        (f"uid,label\n{U[0]},right\n{'f' * 32},right\n", f"row 3: uid {'f' * 32} is not in table"),
        (f"uid,label,score\n{U[0]},right,high\n", "row 2: the score 'high' is not a number"),
        (f"uid,label,draw\n{U[0]},right,x\n", "row 2: its column draw is not what `siglane label` wrote"),
        (f"uid,label,draw\n{U[0]},right,\n{U[1]},right,x\n", "row 3: its column draw differs from that of row 2"),
        (f"uid,label\n{U[0]},\xff\n", "cannot be read"),
    ],
)
def test_what_is_no_file_of_labels_is_refused_with_its_row(
    labelled: Labelled, text: str, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (labelled.folder / "l.csv").write_bytes(text.encode("latin-1"))
    assert labelled.filter_by(labelled.folder / "l.csv") == 2
    assert said in refusal(capfd)
    assert not (labelled.folder / "kept").exists()


def test_a_file_that_is_not_there_is_refused(labelled: Labelled, capfd: pytest.CaptureFixture[str]) -> None:
    assert labelled.filter_by(labelled.folder / "none.csv") == 2
    assert "none.csv: cannot be read" in refusal(capfd)


def test_labels_are_of_the_pairs_that_are_cut(labelled: Labelled, capfd: pytest.CaptureFixture[str]) -> None:
    rows = labelled.draw("--where", "source_row < 400")
    capfd.readouterr()
    assert labelled.filter(rows) == 2
    assert "row 2: it was drawn with --where 'source_row < 400'" in refusal(capfd)
    assert labelled.filter(rows, "--where", "source_row < 400") == 0
    capfd.readouterr()
    foreign = [{"uid": row["uid"], "label": row["label"]} for row in rows]
    assert labelled.filter(foreign, "--where", "source_row < 100", "--overwrite") == 2
    assert re.search(r"row \d+: uid \w{32} has no cosine, or does not meet --where", refusal(capfd))


def test_a_uid_of_two_pairs_is_the_drawn_one_or_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pairs, wrong = simulated(COUNT, 0.3, seed=1)
    repeated = [uids(COUNT)[row % (COUNT // 2)] for row in range(COUNT)]
    path = write_table(tmp_path / "t", pairs.image_vectors, pairs.text_vectors, **{schema.UID: repeated})
    cosines = {int(row["key"]): row["cosine"] for row in rows_of(path).values()}
    options = ["--table", str(path), "--output", str(tmp_path / "kept"), "--max-mismatch-fraction", "0.05"]
    rows = range(100, 300)

    def labels(columns: str, *values: str) -> list[str]:
        (tmp_path / "labels.csv").write_text("\n".join([columns, *values]), "utf-8")
        return [*options, "--labels", str(tmp_path / "labels.csv")]

    drawn = [f"{repeated[row]},{'wrong' if wrong[row] else 'right'},{cosines[row]!r}" for row in rows]
    assert filter.main(labels("uid,label,score", *drawn)) == 0
    kept = re.search(r"\((\d+) of them are labelled: (\d+) wrong", "".join(capfd.readouterr()))
    assert kept is not None
    threshold = json.loads((tmp_path / "kept.siglane/manifest.json").read_text("utf-8"))["groups"][0]["threshold"]
    above = [row for row in rows if cosines[row] >= threshold]
    assert (int(kept[1]), int(kept[2])) == (len(above), int(wrong[above].sum()))
    assert filter.main([*labels("uid,label", f"{repeated[100]},right"), "--overwrite"]) == 2
    assert f"row 2: 2 of the pairs to cut have the uid {repeated[100]}" in "".join(capfd.readouterr())


def test_a_half_done_file_is_refused(labelled: Labelled, capfd: pytest.CaptureFixture[str]) -> None:
    rows = labelled.draw()
    capfd.readouterr()
    assert labelled.filter(rows[:120]) == 2
    assert "80 of the 200 drawn pairs have no label" in refusal(capfd)
    strangers = [uid for uid in uids(COUNT) if uid not in {row["uid"] for row in rows}]
    swapped = [*rows[1:], rows[0] | {"uid": strangers[0], "score": ""}, rows[0] | {"uid": strangers[1], "score": ""}]
    assert labelled.filter(swapped) == 2
    assert "use the file as the page saved it" in refusal(capfd)


def test_another_version_with_the_same_scores_is_fine(changeable: Labelled, capfd: pytest.CaptureFixture[str]) -> None:
    rows = changeable.draw()
    lance.dataset(f"{changeable.table}.lance").add_columns({"more": "1"})
    capfd.readouterr()
    assert changeable.filter(rows) == 0


def test_a_drawn_row_whose_score_has_changed_is_named(changeable: Labelled, capfd: pytest.CaptureFixture[str]) -> None:
    rows = changeable.draw()
    dataset = lance.dataset(f"{changeable.table}.lance")
    dataset.update({"cosine": "0.123"}, where=f"uid = '{rows[6]['uid']}'")
    capfd.readouterr()
    assert changeable.filter(rows) == 2
    said = refusal(capfd)
    assert f"row 8: uid {rows[6]['uid']} had cosine" in said
    assert "and has 0.123 now" in said


def test_other_rows_that_have_changed_are_named_with_the_way_back(
    changeable: Labelled, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = changeable.draw()
    version = lance.dataset(f"{changeable.table}.lance").version
    drawn = ", ".join(f"'{row['uid']}'" for row in rows)
    lance.dataset(f"{changeable.table}.lance").update({"cosine": "0.123"}, where=f"uid NOT IN ({drawn})")
    capfd.readouterr()
    assert changeable.filter(rows) == 2
    assert f"their scores have changed; to filter that state, give --table {changeable.table}@{version}" in refusal(
        capfd
    )
    lance.dataset(f"{changeable.table}.lance").delete(f"uid NOT IN ({drawn})")
    assert changeable.filter(rows) == 2
    assert "drawn from 1000 scored pairs" in (said := refusal(capfd))
    assert "there are 200 now" in said
    changeable.table = Path(f"{changeable.table}@{version}")
    assert changeable.filter(rows) == 0


def test_labels_by_the_scores_of_another_model_are_refused(
    labelled: Labelled, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = labelled.draw()
    capfd.readouterr()
    for row in rows:
        row["draw"] = row["draw"].replace("w" * 64, "v" * 64)
    assert labelled.filter(rows) == 2
    assert "row 2: it was drawn by the scores of model vvvvvvvvvvvv" in refusal(capfd)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--min", "0", "--labels", "l.csv"], "--labels certify the cut of --max-mismatch-fraction: give it too"),
        (["--top-fraction", "0.5", "--labels", "l.csv"], "--labels certify the cut of --max-mismatch-fraction"),
        (["--max-mismatch-fraction", "0.05", "--labels", "l.csv", "--per", "source"], "leave --per out"),
        (["--max-mismatch-fraction", "0.05", "--unsure", "left-out"], "--unsure is only for use with --labels"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    options: list[str], said: str, labelled: Labelled, capfd: pytest.CaptureFixture[str]
) -> None:
    run = ["--table", str(labelled.table), "--output", str(labelled.folder / "kept"), *options]
    assert filter.main(run) == 2
    assert said in " ".join(capfd.readouterr().err.split())


def test_a_draw_too_small_for_its_purpose_is_refused(labelled: Labelled, capfd: pytest.CaptureFixture[str]) -> None:
    run = [
        "--table",
        str(labelled.table),
        "--output",
        str(labelled.folder / "d"),
        "--input",
        str(labelled.folder / "in"),
    ]
    assert label.main([*run, "--count", "58"]) == 2
    assert "give 59 or more" in capfd.readouterr().err
    assert label.main([*run, "--max-mismatch-fraction", "0.01"]) == 2
    assert "give 299 or more" in capfd.readouterr().err
    assert not (labelled.folder / "d").exists()
    (labelled.folder / "d").mkdir()
    (labelled.folder / "d" / "mine").touch()
    assert label.main(run) == 2
    assert "is not an empty folder" in capfd.readouterr().err


def _kept(folder: Path) -> list[str]:
    import pyarrow.parquet as pq

    uids_kept: list[str] = pq.read_table(folder, columns=["uid"])["uid"].to_pylist()
    return uids_kept
