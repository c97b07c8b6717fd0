"""API keys: made, found, expired, revoked, and kept in a file."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

import cli
from serving import keys as keys_module
from serving.keys import KeyFileError, KeyRing, create_key, read_keys, revoke_key


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "secrets" / "keys.json"


@pytest.fixture(autouse=True)
def look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the file each time, so that no test waits for a second to pass."""
    monkeypatch.setattr(keys_module, "_LOOK_AGAIN_SECONDS", 0.0)


def test_a_key_opens_what_it_was_made_for(path: Path) -> None:
    """Segments, rate and rights come back with the caller."""
    key, credential = create_key(path, "shop", ("shop_*",), rate=7, inline=False, metrics=True)
    caller = KeyRing(path).find(credential)
    assert caller is not None
    assert (caller.name, caller.segments, caller.rate) == (f"key:{key.id}", ("shop_*",), 7)
    assert (caller.inline, caller.metrics) == (False, True)


def test_the_file_holds_no_secret_and_is_its_owner_s_alone(path: Path) -> None:
    """Who reads it can open nothing with it."""
    _, credential = create_key(path, "shop", ("*",))
    secret = credential.split("_")[2]
    assert len(secret) == 48
    assert secret not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert KeyRing(path).find(json.loads(path.read_text())["keys"][0]["sha256"]) is None


def test_a_mode_that_an_operator_gave_the_file_stays(path: Path) -> None:
    """A container that runs as somebody else may have to read it by its group."""
    create_key(path, "one", ("*",))
    path.chmod(0o640)
    create_key(path, "two", ("*",))
    assert path.stat().st_mode & 0o777 == 0o640
    assert sorted(item.name for item in path.parent.iterdir()) == ["keys.json", "keys.json.lock"]


def test_anything_but_the_whole_key_opens_nothing(path: Path) -> None:
    """Each end cut off, letters changed, id and secret of two keys mixed, other texts."""
    key, credential = create_key(path, "a", ("*",))
    other, other_credential = create_key(path, "b", ("*",))
    ring = KeyRing(path)
    secret = credential.split("_")[2]
    wrong = [
        "",
        "fk_",
        "fk__",
        credential[:-1],
        credential + "0",
        credential.upper(),
        credential[3:],
        f"fk_{key.id}_",
        f"fk_{key.id}",
        f"fk_{other.id}_{secret}",
        f"fk_{'0' * 12}_{secret}",
        f"fk_{key.id}_{'0' * 48}",
        f"fk_{key.id}_{secret}_{secret}",
        "fk_" + "\u00e9" * 40,
        "fk_nobody_",
    ]
    assert [text for text in wrong if ring.find(text) is not None] == []
    assert ring.find(credential) is not None
    assert ring.find(other_credential) is not None


def test_a_key_ends_when_it_was_meant_to(path: Path) -> None:
    """To the second, by the ring's own clock."""
    end = datetime(2030, 1, 1, tzinfo=UTC)
    key, credential = create_key(path, "a", ("*",), expires=end)
    seconds = end.timestamp() - 1
    ring = KeyRing(path, lambda: seconds)
    assert ring.find(credential) is not None
    seconds += 1
    assert ring.find(credential) is None
    assert key.state(datetime(2029, 1, 1, tzinfo=UTC)) == "active"
    assert key.state(end) == "expired"


def test_new_and_revoked_keys_count_without_a_restart(path: Path) -> None:
    """The ring was there before the file."""
    ring = KeyRing(path)
    key, credential = create_key(path, "a", ("*",))
    _, another = create_key(path, "b", ("*",))
    assert ring.find(credential) is not None
    assert revoke_key(path, key.id).state(datetime.now(UTC)) == "revoked"
    assert ring.find(credential) is None
    assert ring.find(another) is not None
    assert [kept.revoked is None for kept in read_keys(path)] == [False, True]


def test_a_file_that_breaks_leaves_the_keys_as_they_were(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A slip of an editor locks nobody out; a file that is removed does."""
    _, credential = create_key(path, "a", ("*",))
    ring = KeyRing(path)
    path.write_text('{"keys": [{"id": 1}]}')
    assert ring.find(credential) is not None
    assert "stay as they were" in caplog.text
    path.unlink()
    assert ring.find(credential) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"keys": 3}', '{"keys": [{"id": "x"}]}', '{"keys": ["x"]}'])
def test_a_service_does_not_start_on_a_file_that_it_cannot_read(path: Path, text: str) -> None:
    """Better no service than one whose keys nobody knows."""
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(KeyFileError, match=r"keys\.json cannot be read"):
        KeyRing(path)
    with pytest.raises(KeyFileError, match="cannot be read"):
        create_key(path, "a", ("*",))
    assert path.read_text() == text


def test_what_cannot_be_a_key_is_refused(path: Path) -> None:
    """With the field and its value."""
    with pytest.raises(KeyFileError, match="segments"):
        create_key(path, "a", ("",))
    with pytest.raises(KeyFileError, match="name"):
        create_key(path, "", ("*",))
    with pytest.raises(KeyFileError, match="no key 'x'"):
        revoke_key(path, "x")


def test_keys_made_at_the_same_time_are_all_kept(path: Path) -> None:
    """Operators need not take turns."""
    makers = [threading.Thread(target=create_key, args=(path, f"k{number}", ("*",))) for number in range(12)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert {key.name for key in read_keys(path)} == {f"k{number}" for number in range(12)}


def test_prophetctl_makes_lists_and_revokes_keys(path: Path) -> None:
    """The key alone on stdout, for a script; a key without segments still has its other rights."""

    def run(*words: str) -> tuple[int, str, str]:
        done = CliRunner().invoke(cli.app, ["keys", *words], env={"FORECAST_KEYS_FILE": str(path), "COLUMNS": "200"})
        return done.exit_code, done.stdout.strip(), done.stderr

    code, credential, told = run(
        "create", "prometheus", "--metrics", "--no-inline", "--expires", "12h", "--rate", "2.5"
    )
    assert code == 0
    assert "no segment until" in told
    caller = KeyRing(path).find(credential)
    assert caller is not None
    assert (caller.segments, caller.rate, caller.inline, caller.metrics) == ((), 2.5, False, True)
    assert run("create", "[a] b", "--segments", "user_[12]_*", "--segments", "x")[0] == 0

    listed = run("list")[1].splitlines()
    assert [word in line for word, line in zip(("prometheus", "[a] b"), listed[1:], strict=True)] == [True, True]
    assert "user_[12]_* x" in listed[2]
    assert run("revoke", credential.split("_")[1])[0] == 0
    assert "revoked" in run("list")[1].splitlines()[1]
    for wrong in (["revoke", "x"], ["create", "a", "--expires", "soon"], ["create", "a", "--segments", ""]):
        code, _, told = run(*wrong)
        assert (code, told.startswith("prophetctl: ")) == (2, True)
    assert KeyRing(path).find(credential) is None
