"""The table's identity and its row counts, with rejected rows by stage and reason."""

from __future__ import annotations

from markupsafe import Markup

from pipeline import schema
from pipeline.report import wording
from pipeline.report.contents import Contents
from pipeline.report.markup import element, joined
from pipeline.report.sections.table import facts, table


def section(contents: Contents) -> Markup:
    return element(
        "div",
        element("div", _identity(contents), class_="card"),
        element("div", _rows(contents), class_="card"),
        class_="columns",
    )


def _identity(contents: Contents) -> Markup:
    identity = contents.table.identity
    return facts(
        [
            ("model", identity.model),
            ("weights", element("code", identity.weights)),
            ("preprocessing", identity.preprocessing),
            ("tokenizer", element("code", identity.tokenizer) if identity.tokenizer else "none"),
            ("vectors", f"{identity.dimension} numbers, computed in {identity.precision}"),
            ("logit", _logit(identity.logit_scale, identity.logit_bias)),
            ("made with", ", ".join(f"{name} {version}" for name, version in identity.versions) or "not recorded"),
        ]
    )


def _logit(scale: float, bias: float) -> str:
    return f"{wording.value(scale)} × cosine {'−' if bias < 0 else '+'} {wording.value(abs(bias))}"


def _rows(contents: Contents) -> Markup:
    embedded, rejected = contents.count(schema.SUCCESS), contents.count(schema.REJECTED)
    removed = contents.count(schema.REMOVED)
    words = f"{wording.count(embedded + rejected)} read = {wording.count(embedded)} embedded + "
    words += f"{wording.count(rejected)} rejected."
    if removed:
        words += f" {wording.count(removed, 'more row')} {'was' if removed == 1 else 'were'} removed on request."
    if not rejected:
        return joined([element("p", words), element("p", "No row was rejected.", class_="soft")])
    by_reason = sorted(
        ((rows, stage, reason) for (kind, stage, reason), rows in contents.rows.items() if kind == schema.REJECTED),
        key=lambda found: (-found[0], str(found[1]), str(found[2])),
    )
    return joined(
        [
            element("p", words),
            table(
                ["stage", "reason", "rows", "share of rows read"],
                [
                    [stage or "–", reason or "–", wording.count(rows), wording.share(rows / (embedded + rejected))]
                    for rows, stage, reason in by_reason
                ],
                texts=2,
            ),
            *(
                element("p", f"{reason}, e.g. {contents.reject_examples[stage, reason]}", class_="soft")
                for _, stage, reason in by_reason
                if (stage, reason) in contents.reject_examples
            ),
        ]
    )
