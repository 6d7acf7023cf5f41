"""What the documentation names exists, and what it tells a reader to type can be run by `make docs-test`."""

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest
import yaml

import coordinator
from coordinator.config import Policy, Site, Study
from coordinator.loaders import SOURCES
from coordinator.models.catalog import MODELS
from coordinator.presets import PRESETS
from coordinator.protocol import codec, dealer, sockets
from coordinator.protocol.line import RESUME_SECONDS
from coordinator.protocol.messages import AnyMessage
from coordinator.study import checked
from coordinator.yaml_lines import parse
from sites.gate import RELEASES
from tests.docs import named
from tests.docs.pages import MARKER, ROOT, blocks, pages, read
from tests.docs.reader import Differs, Reader, compare, edit

PROTOCOL = "docs/protocol.md"
every_page = pytest.mark.parametrize("page", pages())


def test_every_page_of_the_repository_is_read() -> None:
    assert {"README.md", "docs/hospital.md", "config/README.md"} <= set(pages())


@every_page
def test_links_lead_somewhere(page: str) -> None:
    for link in named.links(page):
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            assert anchor in named.anchors(str(target.resolve().relative_to(ROOT))), link


@every_page
def test_files_that_are_named_are_there(page: str) -> None:
    gone = [path for path in named.paths(page) if not (ROOT / path).exists()]
    assert not gone


@every_page
def test_commands_and_their_options_exist(page: str) -> None:
    for program, command, words in named.calls(page):
        assert command in named.MODULES[program], f"python -m {program} {command}"
        known = named.options_of(program, command)
        used = {word.partition("=")[0] for word in words if re.match(r"--[a-z]", word)}
        assert used <= known, f"python -m {program} {command}: {used - known}"


@every_page
def test_targets_of_make_exist(page: str) -> None:
    text = "\n".join(
        [*named.CODE.findall(named.prose(page)), *(b.text for b in blocks(page) if b.is_command)]
    )
    called = re.findall(r"(?:^|&& |\w=\S+ )make\s([a-z][a-z-]+)", text, re.MULTILINE)
    assert set(called) <= named.targets()


@every_page
def test_config_keys_exist(page: str) -> None:
    known = named.config_keys()
    for code in named.CODE.findall(named.prose(page)):
        if key := re.match(r"([a-z_]+): \S", code):
            assert key[1] in known, code


@every_page
def test_studies_sites_and_policies_that_are_shown_are_good(page: str) -> None:
    for block in blocks(page):
        path = Path(block.value)
        if block.marker == "file" and path.suffix == ".yaml":
            kind = Policy if path.stem == "policy" else Site if path.parent.name == "sites" else Study
            checked(kind, *parse(block.text, path))


@every_page
def test_every_command_can_be_run_or_says_why_not(page: str) -> None:
    lines = read(page).splitlines()
    for number, line in enumerate(lines):
        if (marker := MARKER.fullmatch(line)) and marker[1] != "checkout":
            assert lines[number + 1].startswith("```"), f"{page}:{number + 1} is about no block"
            assert marker[2] or marker[1] == "says", f"{page}:{number + 1} says nothing"
        elif not line.startswith("<!-- "):
            assert not re.match(r"( {4}|\t)(python -m|make|snakemake|SUTURE_\w+=) ", line), (
                f"{page}:{number + 1}: a command outside of a bash block is never run"
            )
    for block in blocks(page):
        assert block.language != "bash" or block.marker in ("", "at", "not run", "file"), block
        assert (block.marker == "edit") == (block.language == "diff"), block


@pytest.mark.parametrize(
    ("page", "names"),
    [("README.md", PRESETS), ("config/README.md", MODELS), ("config/studies/README.md", SOURCES)],
)
def test_every_strategy_model_and_source_is_told_of(page: str, names: Iterable[str]) -> None:
    words = set(re.findall(r"\w+", read(page)))
    assert set(names) <= words


def test_the_protocol_page_names_every_message_field_and_release() -> None:
    rows = {
        cells[1].strip(" `"): line
        for line in read(PROTOCOL).splitlines()
        if len(cells := line.split("|")) > 5 and cells[1].strip().startswith("`")
    }
    for message in AnyMessage.__args__:
        row = rows[message.__name__]
        for field in msgspec.structs.fields(message):
            assert f"`{field.name}`" in row, f"{message.__name__}.{field.name}"
        if message.__name__ in RELEASES:
            assert RELEASES[message.__name__] in row, message.__name__
    envelope = [field.name for field in msgspec.structs.fields(codec.Envelope)]
    assert f"[{', '.join(envelope)}]" in read(PROTOCOL)


def test_the_protocol_page_says_the_limits_that_hold() -> None:
    text = " ".join(read(PROTOCOL).split())
    assert f"at most {codec.HEADER_BYTES // 2**20} MiB" in text
    assert f"at most {codec.CHUNK_BYTES // 2**10} KiB" in text
    assert f"`HEARTBEAT_IVL` {sockets.HEARTBEAT_SECONDS} s" in text
    assert f"`HEARTBEAT_TTL` {sockets.SILENCE_SECONDS} s" in text
    assert f"`HANDSHAKE_IVL` {sockets.HANDSHAKE_SECONDS} s" in text
    assert f"ZAP domain `{sockets.ZAP_DOMAIN}`" in text
    assert f"a new socket after {dealer.RETRY_SECONDS} s" in text
    assert {8.0: "eight seconds after it saw the cut"}[RESUME_SECONDS] in text
    assert set(codec.DTYPES) == set(re.findall(r"`(\w+\d+)`", text.split("`[dtype, shape]`")[1][:90]))


def test_the_gate_s_table_has_every_release() -> None:
    rows = [line for line in read("docs/architecture.md").splitlines() if line.startswith("| `")]
    for message, kind in RELEASES.items():
        assert any(f"`{message}`" in row and row.startswith(f"| `{kind}`") for row in rows), message


def page_of(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> Reader:
    """Put a page where pages are looked for."""
    (folder / "page.md").write_text(text, encoding="utf-8")
    monkeypatch.setattr("tests.docs.pages.ROOT", folder)
    return Reader(folder, checkout=True)


def test_a_page_is_followed_with_a_terminal_per_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (
        "<!-- file: a/told.txt -->\n```text\nhello\n```\n"
        "<!-- edit: a/told.txt -->\n```diff\n-hello\n+good bye\n```\n"
        "<!-- at: a, goes on -->\n```bash\nuntil [ -e ../b/here ]; do sleep 0.01; done; export X=1\n```\n"
        '<!-- at: b -->\n```bash\ntouch here\n```\n<!-- at: a -->\n```bash\necho "$X $(cat told.txt)"\n```\n'
        "<!-- says -->\n```text\n1 … bye\n```\n<!-- not run: why -->\n```bash\nfalse\n```\n"
    )
    reader = page_of(tmp_path, monkeypatch, text)
    done = [reader.follow(block) for block in blocks("page.md")]
    reader.leave()
    assert done == ["written", "edited", "run", "run", "run", "compared", "not run"]


@pytest.mark.parametrize("marker", ["<!-- at: a -->", "<!-- at: a, goes on -->"])
def test_a_command_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, marker: str) -> None:
    reader = page_of(tmp_path, monkeypatch, f"{marker}\n```bash\necho why; false | true\n```\n")
    [block] = blocks("page.md")

    def read_it() -> None:
        reader.follow(block)
        reader.leave()

    with pytest.raises(Differs, match=r"page.md:2: ended with 1(?s:.)*why"):
        read_it()


def test_what_is_shown_and_changed_must_be_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page_of(tmp_path, monkeypatch, "<!-- edit: x -->\n```diff\n-old\n+new\n```\n")
    [block] = blocks("page.md")
    (tmp_path / "x").write_text("older\n", encoding="utf-8")
    with pytest.raises(Differs, match="0 times"):
        edit(tmp_path / "x", block)
    with pytest.raises(Differs, match="was not printed"):
        compare(block, "something else")


def test_what_others_read_of_the_repository_says_what_is_so() -> None:
    citation = yaml.safe_load(read("CITATION.cff"))
    project = tomllib.loads(read("pyproject.toml"))["project"]
    assert (citation["version"], citation["license"]) == (coordinator.__version__, project["license"])
    assert {"cff-version", "message", "title", "authors", "abstract"} <= citation.keys()
    assert "Apache License" in read("LICENSE")
    assert "## Unreleased" in read("CHANGELOG.md")
    usage = yaml.safe_load(read(".snakemake-workflow-catalog.yml"))["usage"]
    assert usage.keys() == {"mandatory-flags", "software-stack-deployment", "report"}
