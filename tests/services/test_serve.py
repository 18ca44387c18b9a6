"""`siglane serve`: each answer against the table itself, and what clients must not be able to do."""

from __future__ import annotations

import base64
import json
import shutil
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import search, table
from tests.processes import Siglane, wait_for
from tests.rows import rows_of
from tests.samples import jpeg, large_png, write_parquet
from tests.serving import Serving, detail, serving
from tests.tables import uids
from tests.vectors import simulated
from tests.web import web_server

ROWS = 60
HOSTILE = "<img src=x onerror=alert(1)> ' OR 1=1 --"
BROKEN = (5, 35)
EXACT = ("--score", "--precision", "float32")  # rounded alike in every batch


def as_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    """A table `t` of 30 photos with two captions each, of which two rows are rejected, and its input."""
    folder = tmp_path_factory.mktemp("serve")
    images = [b"no image" if row in BROKEN else jpeg(row // 2) for row in range(ROWS)]
    captions = [HOSTILE if row == 8 else f"photo {row // 2}, caption {row % 2}" for row in range(ROWS)]
    write_parquet(folder / "in.parquet", images, captions, row_group_size=20)
    Siglane(folder)("embed", "--input", "in.parquet", "--table", "t", "--model", model, "--local", *EXACT)
    return folder


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Serving]:
    with serving(Siglane(folder), "--table", "t", "--input", "in.parquet", "--max-k", 50) as running:
        yield running


@pytest.fixture(scope="module")
def opened(folder: Path) -> search.Search:
    return search.open(str(folder / "t"))


@pytest.fixture(autouse=True)
def no_process_is_left() -> None:
    """The service of this file lives as long as the module; each test that starts another one ends it itself."""


def uid_of(folder: Path, row: int) -> str:
    return next(found["uid"] for found in rows_of(folder / "t").values() if found["source_row"] == row)


def assert_same(found: list[dict], expected: search.Hits) -> None:
    assert [hit["uid"] for hit in found] == [hit.uid for hit in expected]
    np.testing.assert_allclose([hit["cosine"] for hit in found], [hit.cosine for hit in expected], atol=1e-5)
    for hit, wanted in zip(found, expected, strict=True):
        assert (hit["caption"], hit["captions"]) == (wanted.caption, list(wanted.captions))
        assert (hit["source"], hit["key"]) == (wanted.source, wanted.key)
        assert (hit["probability"] is None) == (wanted.probability is None)


def test_texts_images_and_rows_are_searched_for(served: Serving, opened: search.Search, folder: Path) -> None:
    assert_same(served.search({"text": "photo 3"}, k=7), opened.by_text("photo 3", k=7))
    assert_same(served.search({"image": as_base64(jpeg(4))}, k=5), opened.by_image(jpeg(4), k=5))
    uid = uid_of(folder, 20)
    assert_same(served.search({"uid": uid}, k=5), opened.by_uid(uid, k=5))
    assert_same(served.search({"uid": uid, "vector": "text"}, k=5), opened.by(search.uid(uid, "text"), k=5))
    total = 2 * search.text("photo 3") + search.image(jpeg(4)) - search.text("photo 9")
    terms = [{"text": "photo 3", "weight": 2}, {"image": as_base64(jpeg(4))}, {"text": "photo 9", "weight": -1}]
    assert_same(served.search(*terms, k=9), opened.by(total, k=9))


def test_its_options_are_those_of_a_search(served: Serving, opened: search.Search) -> None:
    ask = {"text": "photo 3"}
    assert_same(served.search(ask, k=5, offset=4), opened.by_text("photo 3", k=5, offset=4))
    assert_same(served.search(ask, k=50, distinct="row"), opened.by_text("photo 3", k=50, distinct=None))
    assert_same(served.search(ask, against="text"), opened.by_text("photo 3", against="text"))
    some = served.search(ask, k=50)[9]["probability"]
    assert_same(served.search(ask, k=50, min_probability=some), opened.by_text("photo 3", k=50, min_probability=some))
    assert_same(
        served.search(ask, where="source_row < 20 AND caption LIKE '%caption 1'"),
        opened.by_text("photo 3", where="source_row < 20 AND caption LIKE '%caption 1'"),
    )
    (hit, *_) = served.search(ask, columns=["source_row", "status"])
    assert hit["columns"] == {"source_row": hit["columns"]["source_row"], "status": "success"}


def test_captions_are_searched_for_words(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "t.lance", tmp_path / "t.lance")
    siglane = Siglane(tmp_path)
    with serving(siglane, "--table", "t") as served:
        assert served.get("/api/table")["has_words"] is False
        assert "no full-text index" in served.search({"text": "photo"}, words="caption", status=422)
    siglane("index", "--table", "t")
    opened = search.open(str(tmp_path / "t"))
    with serving(siglane, "--table", "t") as served:
        assert served.get("/api/table")["has_words"] is True
        ask, more = {"text": "photo 12"}, {"k": 20, "distinct": None}
        assert_same(
            served.search(ask, words="12", k=20, distinct="row"), opened.by_text("photo 12", words="12", **more)
        )
        hybrid = opened.by_text("photo 12", hybrid=True, **more)
        assert_same(served.search(ask, hybrid=True, k=20, distinct="row"), hybrid)
        away = {"text": "photo 3", "weight": -1}
        wanted = opened.by(search.text("photo 12") - search.text("photo 3"), hybrid=True, **more)
        assert_same(served.search(ask, away, hybrid=True, k=20, distinct="row"), wanted)
        assert_same(served.search(ask, exact=True, k=20), opened.by_text("photo 12", exact=True, k=20))
        image = {"image": as_base64(jpeg(1))}
        assert "hybrid needs words" in served.search(image, hybrid=True, status=422)
        assert len(served.search(image, hybrid=True, words="photo", k=5)) == 5


def test_rows_and_their_images_are_shown(served: Serving, folder: Path) -> None:
    uid = uid_of(folder, 8)
    row = served.get(f"/api/rows/{uid}")["row"]
    assert (row["caption"], row["source_row"], row["status"]) == (HOSTILE, 8, "success")
    assert not {"image_vector", "text_vector"} & set(row)
    image = served.client.get(f"/api/rows/{uid}/image")
    assert (image.content, image.headers["content-type"]) == (jpeg(4), "image/jpeg")
    assert "sandbox" in image.headers["content-security-policy"]
    thumbnail = served.client.get(f"/api/rows/{uid}/thumbnail")
    assert thumbnail.content[:3] == b"\xff\xd8\xff"
    assert thumbnail.headers["content-type"] == "image/jpeg"
    rejected = uid_of(folder, 5)
    assert served.get(f"/api/rows/{rejected}")["row"]["reason"] == "decode"
    assert "cannot be shown: decode" in served.get(f"/api/rows/{rejected}/thumbnail", 404)


def test_many_thumbnails_are_asked_for_at_once(served: Serving, folder: Path) -> None:
    uids = [row["uid"] for row in rows_of(folder / "t").values() if row["status"] == "success"]
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda uid: served.client.get(f"/api/rows/{uid}/thumbnail").status_code, uids))
    assert answers == [200] * len(uids)


def test_a_table_tells_what_it_holds(served: Serving, folder: Path) -> None:
    found = served.get("/api/table")
    assert found["by_status"] == {"success": ROWS - 2, "rejected": 2}
    assert (found["rows"], found["has_captions"], found["has_images"]) == (ROWS, True, True)
    columns = {column["name"]: column for column in found["columns"]}
    assert columns["status"]["values"] == ["success", "rejected"]
    assert (columns["source_row"]["low"], columns["source_row"]["high"]) == (0, ROWS - 1)
    assert columns["original_width"]["empty"] == pytest.approx(2 / ROWS)
    assert "image_vector" not in columns


def test_rejects_are_counted_and_listed(served: Serving) -> None:
    found = served.get("/api/rejects")
    assert (found["rejected"], found["by_reason"]) == (2, {"decode": 2})
    assert [row["source_row"] for row in found["rows"]] == list(BROKEN)
    assert served.get("/api/rejects", reason="other")["rows"] == []


def test_a_map_shows_a_sample_and_its_values(served: Serving, folder: Path) -> None:
    found = served.get("/api/map", points=40, colour="source_row", where="source_row < 30")
    rows = {row["uid"]: row for row in rows_of(folder / "t").values()}
    assert found["rows"] == len(found["uids"]) == 29
    assert found["values"] == [rows[uid]["source_row"] for uid in found["uids"]]
    assert max(map(abs, found["x"] + found["y"])) == pytest.approx(1)
    same = next(uid for uid in found["uids"] if rows[uid]["source_row"] == 20)
    twin = next(uid for uid in found["uids"] if rows[uid]["source_row"] == 21)  # of the same photo
    places = dict(zip(found["uids"], zip(found["x"], found["y"], strict=True), strict=True))
    assert places[same] == pytest.approx(places[twin], abs=1e-3)
    assert served.get("/api/map", points=7)["uids"] == served.get("/api/map", points=7)["uids"]


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Serving, Path]]:
    """A service of 1,000 pairs of which three in ten are mismatched."""
    folder = tmp_path_factory.mktemp("scored")
    pairs, _ = simulated(1000, 0.3, seed=1)
    columns = {
        "uid": uids(1000),
        "caption": [f"caption {row}" for row in range(1000)],
        "plain": list(range(1000)),
        "image_embedding": pairs.image_vectors.astype(np.float32).tolist(),
        "text_embedding": pairs.text_vectors.astype(np.float32).tolist(),
    }
    pq.write_table(pa.table(columns), folder / "in.parquet")
    siglane = Siglane(folder)
    siglane(
        *("import", "--input", "in.parquet", "--table", "t", "--keep-cols", "plain", "--logit-scale", 10),
        *("--logit-bias", -10, "--image-vector-col", "image_embedding", "--text-vector-col", "text_embedding"),
    )
    siglane("score", "--table", "t")
    with serving(siglane, "--table", "t") as running:
        yield running, folder


def test_a_cut_is_explored(scored: tuple[Serving, Path]) -> None:
    served, folder = scored
    cosines = np.sort([row["cosine"] for row in rows_of(folder / "t").values()])
    found = served.get("/api/cut")
    assert (found["pairs"], found["missing"], sum(found["counts"])) == (1000, 0, 1000)
    assert (found["edges"][0], found["edges"][-1]) == pytest.approx((cosines[0], cosines[-1]))
    assert sum(found["shuffled"]) == pytest.approx(1000)
    mismatched = found["curves"]["mismatched"]
    assert set(mismatched) == {"random", "similar", "any"}
    assert mismatched["random"][0] == pytest.approx(0.3, abs=0.07)
    threshold = float(cosines[600] + cosines[601]) / 2
    at = served.get("/api/cut/examples", threshold=threshold, count=5)
    assert at["kept"] == 399
    assert [row["score"] for row in at["above"]] == pytest.approx(cosines[601:606].tolist())
    assert [row["score"] for row in at["below"]] == pytest.approx(cosines[600:595:-1].tolist())
    assert at["command"].startswith("siglane filter --table ")
    kept = Siglane(folder)(*at["command"].replace("--output kept", "--output out").split()[1:])
    assert kept["kept"] == 399


def test_vectors_without_a_model_are_searched_by_rows_alone(scored: tuple[Serving, Path]) -> None:
    served, _ = scored
    assert served.get("/api/table")["has_model"] is False
    (first, *_) = served.search({"uid": uids(1000)[7]})
    assert first["uid"] == uids(1000)[7]
    for term in ({"text": "a"}, {"image": as_base64(jpeg(1))}):
        assert "imported without a model" in served.search(term, status=422)


@pytest.mark.parametrize("threshold", [-5.0, 5.0])
def test_a_cut_beyond_all_scores_has_examples_on_one_side(scored: tuple[Serving, Path], threshold: float) -> None:
    at = scored[0].get("/api/cut/examples", threshold=threshold, count=3)
    assert (at["kept"], len(at["above"]), len(at["below"])) == ((1000, 3, 0) if threshold < 0 else (0, 0, 3))


def test_a_column_without_an_estimate_says_why(scored: tuple[Serving, Path]) -> None:
    found = scored[0].get("/api/cut", by="plain")
    assert (found["curves"], sum(found["counts"])) == (None, 1000)
    assert "estimated by cosine" in found["why_no_curves"]
    assert "no numeric column 'caption'" in scored[0].get("/api/cut", 422, by="caption")


def test_drawn_pairs_are_those_of_siglane_label_and_their_labels_cut(scored: tuple[Serving, Path]) -> None:
    served, folder = scored
    answer = served.client.post("/api/draw", json={"count": 200, "max_mismatch_fraction": 0.2})
    drawn = answer.json()
    assert len(drawn["pairs"]) == 200
    quoted = '"' + drawn["record"].replace('"', '""') + '"'
    lines = [drawn["header"], *(f"{pair['uid']},right,{pair['values']},{quoted}" for pair in drawn["pairs"])]
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    found = Siglane(folder)(*drawn["command"].replace("--output kept", "--output certified").split()[1:])
    assert found["kept"] > 300


@pytest.mark.parametrize("fraction", [5e-324, 1e-17, 1e-3])
def test_so_few_labels_that_they_certify_nothing_are_not_drawn(scored: tuple[Serving, Path], fraction: float) -> None:
    answer = scored[0].client.post("/api/draw", json={"count": 200, "max_mismatch_fraction": fraction})
    assert answer.status_code == 422
    assert "too few to certify" in detail(answer)


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        ({"where": "cosine >"}, "where: expected a value"),
        ({"where": "1=1; DROP TABLE t"}, "where: cannot read '; DROP TABLE t'"),
        ({"where": "caption = '\ud800'"}, "body.where"),
        ({"where": "nothing = 1"}, "where: no column 'nothing'"),
        ({"k": 51}, "k: at most 50 hits"),
        ({"k": 10**30}, "body.k"),
        ({"k": 0}, "body.k"),
        ({"offset": -1}, "body.offset"),
        ({"columns": ["image_vector"]}, "column 'image_vector' holds vectors"),
        ({"columns": ["sourc"]}, "column 'sourc' does not exist; choose from source"),
        ({"columns": ["a"] * 33}, "body.columns"),
        ({"terms": []}, "body.terms"),
        ({"terms": [{}]}, "give exactly one of text, image and uid"),
        ({"terms": [{"text": "a", "uid": "0" * 32}]}, "give exactly one of text, image and uid"),
        ({"terms": [{"text": "a", "weight": 0}]}, "weight other than 0"),
        ({"terms": [{"text": "a"}, {"text": "a", "weight": -1}]}, "no direction"),
        ({"terms": [{"text": "a" * 5000}]}, "body.terms.0.text"),
        ({"terms": [{"text": "\ud800"}]}, "half of a surrogate pair"),
        ({"terms": [{"text": "a\0b"}]}, "NUL"),
        ({"terms": [{"text": "a"}] * 33}, "body.terms"),
        ({"terms": [{"uid": "../../etc/passwd"}]}, "body.terms.0.uid"),
        ({"terms": [{"uid": "0" * 32}]}, "no embedded row has uid"),
        ({"terms": [{"image": "https://example.org/a.jpg"}]}, "body.terms.0.image"),
        ({"terms": [{"image": as_base64(b"no image")}]}, "not an image"),
        ({"terms": [{"image": as_base64(b"")}]}, "not an image"),
        ({"terms": [{"image": "!!!"}]}, "not base64"),
        ({"terms": [{"image": as_base64(large_png(8000))}]}, "pixels"),
        ({"terms": [{"image": as_base64(jpeg(1))}], "min_probability": 0.5}, "min_probability is for"),
        ({"min_probability": 2}, "body.min_probability"),
        ({"url": "https://example.org"}, "body.url"),
        ({"distinct": "photo"}, "body.distinct"),
    ],
)
def test_what_is_wrong_in_a_search_is_named(served: Serving, request_: dict, named: str) -> None:
    sent = json.dumps({"terms": [{"text": "a"}]} | request_)  # as ASCII, so that a lone surrogate can be sent
    answer = served.client.post("/api/search", content=sent, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text
    assert named in detail(answer)


@pytest.mark.parametrize(
    "uid",
    ["..%2f..%2fetc%2fpasswd", "%2e%2e", "0" * 31, "0" * 33, "A" * 32, "'%20OR%201=1--", "0" * 31 + "%00", "g" * 32],
)
@pytest.mark.parametrize("path", ["", "/image", "/thumbnail"])
def test_a_uid_is_no_path(served: Serving, uid: str, path: str) -> None:
    answer = served.client.get(f"/api/rows/{uid}{path}")
    assert answer.status_code in (404, 422)
    detail(answer)


@pytest.mark.parametrize("path", ["..%2fapp.py", "%2e%2e/app.py", "__init__.py", "a.py", "%00.css"])
def test_the_page_is_no_way_to_other_files(served: Serving, path: str) -> None:
    answer = served.client.get(f"/page/{path}")
    assert answer.status_code == 404
    detail(answer)


def test_an_unknown_row_and_an_unknown_path(served: Serving) -> None:
    for path in ("", "/image", "/thumbnail"):
        assert "uid" in served.get(f"/api/rows/{'0' * 32}{path}", 404)
    assert served.get("/api/nothing", 404) == "Not Found"
    assert served.get("/api/search", 405) == "Method Not Allowed"
    for path in ("/docs", "/redoc"):  # they would load scripts from elsewhere
        served.get(path, 404)


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_of_50_megabytes_is_refused(served: Serving, announced: bool) -> None:
    data = b" " * 50_000_000
    parts = (data[start : start + 1_000_000] for start in range(0, len(data), 1_000_000))
    with httpx.Client(base_url=served.url, timeout=60, trust_env=False) as client:
        try:
            answer = client.post(
                "/api/search", content=data if announced else parts, headers={"Content-Type": "application/json"}
            )
        except (httpx.WriteError, httpx.ReadError):  # it was refused before all of it was sent
            assert announced
            return
        assert answer.status_code == 413
        assert "20000000 bytes" in detail(answer)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"terms": 1}', b"[" * 100_000])
def test_a_body_that_is_no_search_is_refused(served: Serving, content: bytes) -> None:
    answer = served.client.post("/api/search", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    detail(answer)


def test_no_other_site_can_have_a_browser_read_it(served: Serving) -> None:
    for host in ("evil.example", "evil.example:8000", "127.0.0.1.evil.example", ""):
        assert "Host" in detail(served.client.get("/api/table", headers={"Host": host}))
    for host in ("localhost", "LOCALHOST:1", "127.0.0.1:80", "[::1]:80"):
        assert served.client.get("/health", headers={"Host": host}).status_code == 200
    answer = served.client.get("/api/table", headers={"Origin": "https://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    # a form of another site can send no JSON
    assert served.client.post("/api/search", content=b'{"terms":[{"text":"a"}]}').status_code == 422
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_health_readiness_and_metrics(served: Serving) -> None:
    assert served.client.get("/health").text == "alive\n"
    assert served.client.get("/ready").text.startswith("ready: version ")
    served.search({"text": "photo 3"})
    metrics = served.client.get("/metrics").text
    assert 'siglane_requests_total{method="POST",route="/api/search",status="200"}' in metrics
    assert "siglane_encoded_together_count" in metrics
    assert "photo 3" not in metrics


def test_the_description_names_every_operation(served: Serving) -> None:
    described = served.get("/openapi.json")
    assert set(described["paths"]) == {
        *("/api/search", "/api/rows/{uid}", "/api/rows/{uid}/thumbnail", "/api/rows/{uid}/image"),
        *("/api/table", "/api/rejects", "/api/map", "/api/cut", "/api/cut/examples", "/api/draw"),
        *("/health", "/ready", "/metrics", "/api/session"),
    }
    for operations in described["paths"].values():
        for operation in operations.values():
            assert "application/problem+json" in operation["responses"]["422"]["content"]


def test_a_token_is_needed_where_one_is_set(folder: Path) -> None:
    secret = "s3cret-0123456789"
    with serving(Siglane(folder), "--table", "t", "--token-env", "TOKEN", environment={"TOKEN": secret}) as served:
        for headers in (
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": secret},
            {"Cookie": "siglane_token=x"},
        ):
            answer = served.client.get("/api/table", headers=headers)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert "Authorization: Bearer TOKEN" in detail(answer)
        assert served.client.get("/metrics").status_code == served.client.get("/openapi.json").status_code == 401
        assert served.client.get("/health").status_code == served.client.get("/").status_code == 200
        right = {"Authorization": f"Bearer {secret}"}
        assert served.client.get("/api/table", headers=right).status_code == 200
        assert served.client.post("/api/session", json={"token": "wrong"}).status_code == 401
        given = served.client.post("/api/session", json={"token": secret})
        assert given.status_code == 204
        assert all(word in given.headers["set-cookie"] for word in ("HttpOnly", "SameSite=strict"))
        assert served.client.get("/api/table").status_code == 200  # by the cookie
        assert served.end() == 0
    assert not [line for line in served.said if secret in line]
    command = Siglane(folder).fails("serve", "--table", "t", "--token-env", "NOT_SET", code=2)
    assert "NOT_SET" in command
    assert "is not set" in command


def test_a_client_that_asks_too_often_is_told_to_wait(folder: Path) -> None:
    with serving(Siglane(folder), "--table", "t", "--max-rate", 5) as served:
        answers = [served.client.get("/health") for _ in range(30)]
        late = next(answer for answer in answers if answer.status_code != 200)
        assert late.status_code == 429
        assert int(late.headers["retry-after"]) >= 1
        assert "5 requests a second" in detail(late)


def test_an_answer_that_takes_too_long_is_given_up(folder: Path) -> None:
    with serving(Siglane(folder), "--table", "t", "--max-seconds", 0.001) as served:
        answer = served.client.post("/api/search", json={"terms": [{"text": "photo 3"}]})
        assert answer.status_code == 503
        assert "took more than 0.001 s" in detail(answer)
        assert "retry-after" in answer.headers


def test_it_follows_commits_and_no_request_fails_meanwhile(folder: Path, tmp_path: Path, model: Path) -> None:
    shutil.copytree(folder / "t.lance", tmp_path / "t.lance")
    siglane = Siglane(tmp_path)
    write_parquet(tmp_path / "more.parquet", [jpeg(100 + row) for row in range(40)], ["new"] * 40)
    with serving(siglane, "--table", "t") as served:
        before = served.get("/api/table")["version"]
        ended, failed, asked = threading.Event(), list[str](), list[int]()

        def ask() -> None:
            with httpx.Client(base_url=served.url, timeout=60, trust_env=False) as client:
                while not ended.is_set():
                    answer = client.post("/api/search", json={"terms": [{"text": "new"}], "k": 30})
                    asked.append(answer.status_code)
                    if answer.status_code != 200:
                        failed.append(answer.text)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        siglane(
            "embed",
            "--input",
            "more.parquet",
            "--table",
            "t",
            "--model",
            model,
            "--local",
            *EXACT,
            "--commit-seconds",
            0.2,
        )
        siglane("score", "--table", "t")
        opened = table.open_table(table.parse(str(tmp_path / "t")))
        _compact_and_clean(tmp_path / "t.lance")
        wait_for(lambda: served.search({"text": "new"}, where="caption = 'new'"), "new rows are not found")
        _compact_and_clean(tmp_path / "t.lance")
        wait_for(
            lambda: (
                served.client.post("/api/search", json={"terms": [{"text": "new"}]}).json()["version"] > opened.version
            ),
            "it does not follow",
        )
        ended.set()
        for thread in threads:
            thread.join()
        assert failed == []
        assert len(asked) > 20
        assert served.get("/api/table")["version"] >= before


def _compact_and_clean(dataset: Path) -> None:
    """As another program would, without regard for readers."""
    from datetime import timedelta

    import lance

    opened = lance.dataset(str(dataset))
    opened.optimize.compact_files()
    opened.create_scalar_index("source_row", "BTREE", replace=True)
    opened.cleanup_old_versions(older_than=timedelta(0), delete_unverified=False)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_it_answer_what_was_asked(folder: Path, number: signal.Signals) -> None:
    with serving(Siglane(folder), "--table", "t") as served, ThreadPoolExecutor(8) as threads:
        ask = {"terms": [{"text": "photo 3"}] * 32, "k": 50}

        def post(_number: int) -> int:
            with httpx.Client(base_url=served.url, timeout=60, trust_env=False) as client:
                return client.post("/api/search", json=ask).status_code

        answers = [threads.submit(post, number) for number in range(8)]
        in_flight = wait_for(lambda: count if (count := _in_flight(served)) > 3 else 0, "nothing is asked")
        served.client.close()
        assert served.end(number) == 0
        # a request that had not come by then finds a closed connection
        answered = [answer.result() for answer in answers if not isinstance(answer.exception(), httpx.TransportError)]
        assert set(answered) == {200}
        assert len(answered) >= in_flight - 1  # one was the question for their number
        assert served.said[-1] == f"t: no longer served on {served.url}/"


def _in_flight(served: Serving) -> float:
    """How many requests are being answered; that for this number is one of them."""
    (line,) = [
        line
        for line in served.client.get("/metrics").text.splitlines()
        if line.startswith("siglane_requests_in_flight ")
    ]
    return float(line.split()[1])


def test_what_cannot_be_served_is_named(folder: Path) -> None:
    siglane = Siglane(folder)
    assert "no table" in siglane.fails("serve", "--table", "absent", code=1)
    assert "in.csv" in siglane.fails("serve", "--table", "t", "--input", "in.csv", code=1)
    assert "--image-col" in siglane.fails("serve", "--table", "t", "--image-col", "x", code=2)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        line = siglane.fails("serve", "--table", "t", "--port", taken.getsockname()[1], code=1)
    assert "choose another --host or --port" in line
    shutil.rmtree(folder / "moved", ignore_errors=True)
    assert "moved" in siglane.fails("serve", "--table", "t", "--model", "moved", code=1)


def test_a_version_is_served_as_it_is(folder: Path) -> None:
    with serving(Siglane(folder), "--table", "t@1") as served:
        assert served.get("/api/table")["version"] == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_right_after_the_start_ends_it(folder: Path, number: signal.Signals) -> None:
    for _ in range(3):
        process = Siglane(folder).start("serve", "--table", "t", "--port", 0)
        assert process.stderr is not None
        assert next(line for line in process.stderr if "SIGTERM or Ctrl-C ends it" in line)
        process.send_signal(number)
        assert process.wait(60) == 0
        assert "Warning" not in process.stderr.read()


def test_an_open_port_without_a_token_is_warned_of(folder: Path) -> None:
    with serving(Siglane(folder), "--table", "t", "--host", "0.0.0.0") as served:
        assert any("anyone who reaches 0.0.0.0" in line for line in served.said)


def test_an_empty_table_and_one_without_captions(tmp_path: Path, model: Path) -> None:
    siglane = Siglane(tmp_path)
    write_parquet(tmp_path / "bad.parquet", [b"no image"], ["a"])
    siglane(
        *("embed", "--input", "bad.parquet", "--table", "empty", "--model", model, "--local"),
        *("--max-reject-fraction", 1),
    )
    with serving(siglane, "--table", "empty") as served:
        assert served.search({"text": "a"}) == []
        assert "no pair" in served.get("/api/cut")["why_no_curves"]
        assert "no row has a vector" in served.get("/api/map", 422)
        assert served.get("/api/cut/examples", threshold=0)["above"] == []
    write_parquet(tmp_path / "in.parquet", [jpeg(row) for row in range(5)], ["a"] * 5)
    siglane("embed", "--input", "in.parquet", "--no-captions", "--table", "plain", "--model", model, "--local")
    with serving(siglane, "--table", "plain") as served:
        found = served.get("/api/table")
        assert (found["has_captions"], found["rows"]) == (False, 5)
        assert [hit["caption"] for hit in served.search({"text": "a"}, k=2)] == [None, None]
        assert "images cannot be shown" in served.get(f"/api/rows/{'0' * 32}/image", 404)


def test_thumbnails_that_the_table_stores_are_shown_without_the_input(siglane: Siglane, model: Path) -> None:
    folder = siglane.folder
    write_parquet(folder / "in.parquet", [jpeg(row, size=(120, 80)) for row in range(4)], ["a"] * 4)
    run = ["embed", "--input", "in.parquet", "--table", "t", "--model", model, "--local"]
    siglane(*run, "--limit", 2)
    siglane(*run, "--thumbnail-px", 64)
    rows = {row["source_row"]: row for row in rows_of(folder / "t").values()}
    with serving(siglane, "--table", "t", "--input", "in.parquet") as served:
        thumbnails = [served.client.get(f"/api/rows/{rows[row]['uid']}/thumbnail") for row in range(4)]
        assert [answer.status_code for answer in thumbnails] == [200] * 4
        assert [answer.content == rows[row]["thumbnail"] for row, answer in enumerate(thumbnails)] == [
            *(False, False, True, True)
        ]
    (folder / "in.parquet").unlink()
    with serving(siglane, "--table", "t") as served:
        assert served.get("/api/table")["has_images"] is True
        for row in (2, 3):
            answer = served.client.get(f"/api/rows/{rows[row]['uid']}/thumbnail")
            assert (answer.headers["content-type"], answer.content) == ("image/jpeg", rows[row]["thumbnail"])
        assert "stores no thumbnail of this row" in served.get(f"/api/rows/{rows[0]['uid']}/thumbnail", 404)
        assert "images cannot be shown" in served.get(f"/api/rows/{rows[2]['uid']}/image", 404)
        assert "thumbnail" not in served.get(f"/api/rows/{rows[2]['uid']}")["row"]
        assert "thumbnail" not in [column["name"] for column in served.get("/api/table")["columns"]]
        told = served.search({"text": "a"}, columns=["thumbnail"], status=422)
        assert "holds vectors or bytes" in told


def test_numbers_that_are_none_are_named(served: Serving) -> None:
    sent = '{"terms": [{"text": "a", "weight": NaN}]}'
    answer = served.client.post("/api/search", content=sent, headers={"content-type": "application/json"})
    assert (answer.status_code, detail(answer)) == (422, "body.terms.0.weight: Input should be a finite number")


def test_what_a_client_names_is_never_fetched(served: Serving, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(1))
    with web_server(tmp_path) as url:
        for image in (f"{url}/a.jpg", f"file://{tmp_path}/a.jpg", str(tmp_path / "a.jpg")):
            assert "image" in served.search({"image": image}, status=422)
            assert "not an image" in served.search({"image": as_base64(image.encode())}, status=422)


# Python runs this in every process that finds it on its path, so in the service too.
DEADLY_DECODER = """
import os, signal
from siglip_core import preprocess
whole = preprocess.decode
def decode(image, *arguments, **more):
    if b"SEGFAULT" in image:
        os.kill(os.getpid(), signal.SIGSEGV)
    return whole(image, *arguments, **more)
preprocess.decode = decode
"""


def test_an_image_that_kills_its_decoder_is_refused_and_the_service_lives(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(DEADLY_DECODER)
    with serving(Siglane(folder, tmp_path), "--table", "t") as served:
        for _ in range(3):  # there are fewer processes that decode
            told = served.search({"image": as_base64(jpeg(1) + b"SEGFAULT")}, status=422)
            assert told == "decoding the image killed the process (SIGSEGV); send another image"
        assert len(served.search({"image": as_base64(jpeg(1))}, k=3)) == 3
        assert served.end() == 0
