"""Scenario files are read and checked before anything starts; the real runner itself must be able to fail."""
import json
import pathlib
import subprocess

import pytest

import story
from follow import is_subject

HERE = pathlib.Path(__file__).resolve().parent
FILES = sorted((HERE.parent / "scenarios").glob("*.mfs"))


def write(tmp_path, *lines):
    path = tmp_path / "story.mfs"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("path", FILES, ids=[p.stem for p in FILES])
def test_every_file_can_be_read(path):
    statements = story.read(path)
    assert any(s.verb == "expect" for s in statements), "a story without an expectation shows nothing"


@pytest.mark.parametrize("line,word", [
    ("kill node-4", "node-4"), ("kill health-1", "health-1"), ("kill the node", "kill"), ("explode node-1", "explode"),
    ("set silence_ms 5", "set"), ("cluster nodes=3", "cluster"), ("expect event node.failed node-1", "expect"),
    ("expect event node.failed node-1 for 3s", "within"), ("expect no event node.failed within 3s", "for"),
    ("expect running web within 3s", "expect"), ("cut node-1", "cut"), ("provision Web 3", "provision"), ("clock node-1 3600s", "clock"),
    ("subscribe fast me", "subscribe"), ("disk health-0 full", "disk"), ("stop broker", "stop"), ("stop node-4", "node-4"),
])
def test_bad_lines_are_refused_with_their_number(tmp_path, line, word):
    with pytest.raises(story.Wrong) as refusal:
        story.read(write(tmp_path, "cluster nodes=4", "# a comment", "provision web 3", line))
    assert "line 4" in str(refusal.value) and word in str(refusal.value)


def test_a_story_begins_with_its_cluster(tmp_path):
    for lines in (["provision web 3"], [""]):
        with pytest.raises(story.Wrong):
            story.read(write(tmp_path, *lines))


def test_words_of_a_statement(tmp_path):
    first, second = story.read(write(tmp_path, "cluster nodes=4", "expect event instance.died web/3 count=2 within 1500ms  # soon"))
    assert second.words["subject"] == "web/3" and second.words["count"] == "2" and story.seconds(second.words["within"]) == 1.5
    bare = story.read(write(tmp_path, "cluster nodes=4", "expect event node.failed within 3s"))[1]
    assert bare.words["subject"] is None


@pytest.mark.parametrize("subject,wanted,yes", [
    ("node/node-1", "node-1", True), ("node/node-10", "node-1", False), ("default/web/3#1", "web", True), ("default/web/3#1", "web/3", True),
    ("default/web/31#1", "web/3", False), ("default/web2/3#1", "web", False), ("cluster", "cluster", True), ("default/web", "web", True),
])
def test_subjects(subject, wanted, yes):
    assert is_subject(subject, wanted) == yes


def test_an_expectation_that_is_not_met_fails(tmp_path):
    path = write(tmp_path, "cluster nodes=1", "provision web 2", "expect running web 2 within 1s", "expect event node.failed within 1s")
    done = subprocess.run([HERE / "scenario.py", path, "--slack", "1"], capture_output=True, text=True, timeout=120)
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"scenario"')]
    assert done.returncode == 1 and not told[0]["ok"] and "line 4" in told[0]["problem"], done.stdout
