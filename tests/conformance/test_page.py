"""The page of a matrix: its text, and what a real browser makes of it.

The browser is Chromium (Debian's package ``chromium``), without a window.  Where there is none,
the tests that need it are skipped, and the summary says so; with ``CROSSENT_NEEDS_BROWSER`` set,
as on a machine that checks a release, they fail instead.
"""

import base64
import hashlib
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from conformance.clauses import CATALOGUE, clauses_of
from conformance.corpus import corpus
from conformance.matrix import columns, page, scripts, table
from conformance.result import OutputResult, Result, Run
from tests.conformance.test_matrix import LINEAR, failing, run_of
from tests.conformance.test_report import result

HOSTILE = "</script><script>alert(1)</script> \"'><img src=x onerror=alert(2)> {{ 7*7 }} \x00 &amp;"
VOID = {"meta", "link", "br", "img", "input"}


class Reader(HTMLParser):
    """Collects elements, and refuses tags that do not match."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.texts = [], [], {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        names = [name for name, _ in attributes]
        assert len(names) == len(set(names)), names
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        tag = self.open[-1] if self.open else ""
        self.texts[tag] = self.texts.get(tag, "") + data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def made():
    runs = [
        run_of(
            result(reduction="mean", weight="mixed"),
            failing(reduction="mean", weight="mixed", seed=1),
            *(failing(reduction="mean", weight="mixed", seed=i) for i in range(2, 30)),
            result("accepts-invalid", "did not raise", reduction="mean", bad="smoothing-nan"),
            result("unsupported", "no", target="prob"),
            result(**LINEAR),
        ),
        run_of(result("crash", HOSTILE, reduction="mean", smoothing=0.5), adapter=HOSTILE,
               **{HOSTILE: HOSTILE}),
    ]  # fmt: skip
    found = [column for run in runs for column in columns.of_run(run, HOSTILE)]
    return table.Matrix([*found, columns.Column("gone", problem=HOSTILE)])


def rendered(script="print('<b>')"):
    matrix = made()
    told = {
        (number, case): scripts.Script(script)
        for number, column in enumerate(matrix.columns)
        for case in scripts.chosen(column, 9)
    }
    return page.render(matrix, told)


def test_the_page_is_well_formed_and_its_links_lead_somewhere():
    text = rendered()
    reader = Reader(text)
    names = [attributes["id"] for _, attributes in reader.elements if "id" in attributes]
    assert len(names) == len(set(names))
    targets = [attributes["href"] for _, attributes in reader.elements if "href" in attributes]
    assert len(targets) > 20
    assert {target[1:] for target in targets} <= set(names)
    assert all(target.startswith("#") for target in targets)
    described = [
        item["aria-labelledby"] for _, item in reader.elements if "aria-labelledby" in item
    ]
    assert set(described) <= set(names)


def test_the_page_needs_nothing_else():
    text = rendered()
    reader = Reader(text)
    assert not any("src" in item or "style" in item for _, item in reader.elements)
    assert reader.all("link") == []
    assert "http" not in re.sub(r"http-equiv", "", text)
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text
    assert "default-src 'none'" in text
    assert "url(" not in text
    assert "@import" not in text


def test_what_a_framework_says_is_text():
    text = rendered(HOSTILE)
    assert "<img" not in text
    assert text.count("<script>") == 1
    assert "{{" in text
    assert "49" not in re.findall(r"&lt;img.{0,80}", text)[0]
    reader = Reader(text)
    assert not any(name.startswith("on") for _, item in reader.elements for name in item)
    assert "onerror=alert(2)" in reader.texts["pre"]
    assert "onerror=alert(2)" in reader.texts["span"]


def test_a_cell_holds_its_failing_cases_their_words_and_scripts():
    text = rendered()
    cell = text.split('<dialog id="cell-0-index"')[1].split("</dialog>")[0]
    assert "<b>29</b> fail" in cell
    assert "29 cases" in cell
    assert 'href="#clause-' in cell
    assert "Departs, most likely, from page 002: <q>" in cell
    assert "loss is 1, expected 2 ± 0.1" in cell
    assert "print(&#39;&lt;b&gt;&#39;)" in cell
    assert "27 more like them" in cell
    assert "and 15 more, which this prints:" in cell
    assert "crossent run torch -k &#39;index.*&#39;" in cell
    assert cell.count("<svg viewBox") == 1  # no gradient was judged
    assert "float32: 30 values" in cell
    clause = re.findall(r'href="#clause-([^"]*)"', cell)[0]
    check = next(item.check for item in CATALOGUE if item.id == clause)
    assert f'<dt id="clause-{clause}">' in text
    assert check.replace("'", "&#39;").replace("<", "&lt;").replace(">", "&gt;") in text


def test_the_total_of_a_column_leads_to_the_groups_in_which_something_fails():
    text = rendered()
    words = "Failing cases by group:"
    total = page._id(0, table.TOTAL)
    cell = text.split(f'<dialog id="{total}"')[1].split("</dialog>")[0]
    assert words in cell
    assert '<li><a href="#cell-0-index">index: 29</a></li>' in cell
    assert ">prob: " not in cell  # nothing of it fails
    of_group = text.split('<dialog id="cell-0-index"')[1].split("</dialog>")[0]
    assert words not in of_group


def test_the_table_has_a_cell_for_every_group_and_column():
    matrix = made()
    reader = Reader(rendered())
    rows = len(matrix.groups) + 1
    assert len(reader.all("td")) == rows * len(matrix.columns)
    states = [item["class"] for item in reader.all("td")]
    assert {"failing", "passing", "unsupported", "none"} == set(states)
    heads = [item.get("scope") for item in reader.all("th")]
    assert heads.count("row") == rows
    assert heads.count("col") == 1 + len(matrix.columns)


def test_a_page_of_many_results_stays_small():
    cases = [(case.id, clauses_of(case)) for case in corpus() if case.system == "ce"]
    found = []
    for index in range(16):
        results = []
        for number, (case, clauses) in enumerate(cases):
            bad = (number * 7 + index) % 5 == 0
            outputs = (
                OutputResult("loss", 0, not bad, 10.0 ** (number % 13 - 3), 0.5),
                OutputResult("grad.input", 1, True, 1.5 ** (number % 97), 0.5),
            )
            results.append(
                Result(case, clauses, "fail" if bad else "pass", f"loss is {number}", outputs)
            )
        found += columns.of_run(Run(f"adapter{index}", {"x": "1"}, results))
    matrix = table.Matrix(found)
    assert sum(len(column.results) for column in found) > 40_000
    told = {
        (number, case): scripts.Script("x" * 4000)
        for number, column in enumerate(found)
        for case in scripts.chosen(column, 20)
    }
    assert len(page.render(matrix, told).encode()) < 5_500_000


# The browser

NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser():
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        if os.environ.get("CROSSENT_NEEDS_BROWSER"):
            pytest.fail(f"CROSSENT_NEEDS_BROWSER is set, and there is none of {', '.join(NAMES)}")
        pytest.skip("no chromium on this machine")
    return found


@pytest.fixture
def visit(browser, tmp_path):
    """Return what loads a page at a fragment and gives back the document, and what was logged."""

    def load(text, fragment="", *options):
        path = tmp_path / "matrix.html"
        path.write_text(text, encoding="utf-8")
        command = [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}",
            "--virtual-time-budget=5000", *options, f"{path.as_uri()}{fragment}",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, timeout=120, check=True)
        log = done.stderr.decode("utf-8", "replace")
        return done.stdout.decode(), [line for line in log.split("\n") if "CONSOLE" in line]

    return load


def opened(document):
    return [item["id"] for item in Reader(document).all("dialog") if "open" in item]


@pytest.mark.parametrize(
    ("fragment", "names"),
    [
        ("", []),
        ("#cell-0-index", ["cell-0-index"]),
        ("#problem-3", ["problem-3"]),
        ("#no-such", []),
    ],
)
def test_the_address_opens_its_cell_in_a_browser(visit, fragment, names):
    document, log = visit(rendered(), fragment, "--dump-dom")
    assert log == []
    assert opened(document) == names
    assert '<html lang="en" class="scripted">' in document


#: What a visitor does, written into the page: its steps end up in the document's title.
VISITOR = """
<script>
const said = [];
const step = (f) => new Promise((done) => setTimeout(() => { f(); done(); }, 100));
const open = () => [...document.querySelectorAll("dialog[open]")].map((item) => item.id).join();
let copied = "nothing";
Object.defineProperty(navigator, "clipboard", {value: {
  writeText: async (text) => { copied = text; },
}});
const link = document.querySelector('a[href="#cell-0-index"]');
(async () => {
  await step(() => link.click());
  await step(() => said.push("click " + open() + " " + location.hash));
  const shown = document.querySelector("#cell-0-index");
  await step(() => said.push("modal " + shown.matches(":modal")));
  await step(() => shown.querySelector("button.copy").click());
  await step(() => said.push(shown.querySelector("button.copy").textContent + " " + copied));
  await step(() => shown.querySelector("a.close").click());
  await step(() => said.push("closed " + open() + location.hash));
  await step(() => said.push("focus " + (document.activeElement === link)));
  await step(() => link.click());
  await step(() => document.querySelector("#cell-0-index h3 a").click());
  await step(() => said.push("statement " + open() + location.hash));
  await step(() => { location.hash = "#cell-0-smoothing"; });
  await step(() => { location.hash = "#cell-0-all-cases"; });
  await step(() => said.push("other " + open()));
  await step(() => {
    const dialog = document.querySelector("dialog[open]"), box = dialog.getBoundingClientRect();
    const at = {clientX: box.left + 2, clientY: box.top + 2, bubbles: true};
    dialog.dispatchEvent(new MouseEvent("click", at));
  });
  await step(() => said.push("margin " + open()));
  await step(() => document.querySelector("dialog[open]").click());
  await step(() => said.push("beside " + open()));
  document.title = said.join("; ");
})();
</script></body>"""


def test_a_visitor_opens_copies_and_closes_in_a_browser(visit):
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", rendered())
    document, log = visit(text.replace("</body>", VISITOR), "", "--dump-dom")
    assert log == []
    said = re.search("<title>(.*?)</title>", document)[1].split("; ")
    assert said[:2] == ["click cell-0-index #cell-0-index", "modal true"]
    assert said[2].startswith("Copied crossent repro ce/index/4x10/f32/mean,weight=mixed,seed=")
    assert said[3:5] == ["closed ", "focus true"]
    assert said[5].startswith("statement #clause-")
    assert said[6:] == ["other cell-0-all-cases", "margin cell-0-all-cases", "beside "]


@pytest.mark.parametrize("size", ["1280,900", "400,800"])
def test_a_browser_draws_the_page(visit, tmp_path, size):
    drawn = [tmp_path / name for name in ("table.png", "cell.png", "unscripted.png")]
    options = (f"--window-size={size}", "--hide-scrollbars")
    visit(rendered(), "", *options, f"--screenshot={drawn[0]}")
    visit(rendered(), "#cell-0-index", *options, f"--screenshot={drawn[1]}")
    # The style sheet alone shows a cell, too.
    unscripted = re.sub("<script>.*</script>", "", rendered(), flags=re.DOTALL)
    visit(unscripted, "#cell-0-index", *options, f"--screenshot={drawn[2]}")
    contents = [path.read_bytes() for path in drawn]
    assert all(content.startswith(b"\x89PNG") for content in contents)
    assert len(set(contents)) == 3
    width, height = map(int, size.split(","))
    for content in contents:
        assert int.from_bytes(content[16:20]) == width
        assert int.from_bytes(content[20:24]) == height
