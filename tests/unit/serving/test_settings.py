"""Settings that belong together, and secrets that stay secret."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from serving.gate import ListensTooFar, check_host, default_host
from serving.settings import Settings

ISSUER = "https://project.supabase.test/auth/v1"
SECRET = "a secret of at least thirty-two bytes"


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"jwt_issuer": ISSUER}, "goes with"),
        ({"jwt_secret": SECRET}, "goes with"),
        ({"jwt_jwks_url": "https://issuer.test/keys"}, "goes with"),
        ({"jwt_issuer": ISSUER, "jwt_secret": "short but secret"}, "32"),
        ({"jwt_issuer": ISSUER, "jwt_jwks_url": "http://issuer.test/keys"}, "https"),
        ({"jwt_issuer": ISSUER, "jwt_jwks_url": "file:///etc/passwd"}, "https"),
        ({"jwt_issuer": ISSUER, "jwt_secret": SECRET, "jwt_segments": "user_*"}, "no template"),
        ({"jwt_issuer": ISSUER, "jwt_secret": SECRET, "jwt_rate": 0}, "greater than 0"),
        ({"log_url": "mysql://a:but secret@b/c"}, "postgresql or sqlite, not in mysql"),
        ({"log_url": "but secret"}, "not one of SQLAlchemy's"),
    ],
)
def test_half_a_configuration_is_refused_without_its_secrets(changed: dict[str, object], fault: str) -> None:
    """Before anything listens."""
    with pytest.raises(ValidationError, match=fault) as refused:
        Settings(**changed)
    assert "secret of" not in str(refused.value)
    assert "but secret" not in str(refused.value)


def test_a_secret_is_not_shown_with_the_settings() -> None:
    """Settings get logged."""
    keys, log = "http://127.0.0.1:8080/keys", f"postgresql://a:{SECRET}@b/c"
    settings = Settings(jwt_issuer=ISSUER, jwt_secret=SECRET, jwt_jwks_url=keys, log_url=log)
    assert SECRET not in repr(settings)
    assert SECRET not in settings.model_dump_json()


def test_an_empty_variable_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As compose files and charts leave them: no keys, so loopback alone."""
    monkeypatch.setenv("FORECAST_KEYS_FILE", "")
    monkeypatch.setenv("FORECAST_ALLOW_ANONYMOUS", "")
    assert Settings().keys_file is None
    assert default_host(Settings()) == "127.0.0.1"


@pytest.mark.parametrize(
    ("settings", "anywhere"),
    [
        (Settings(), False),
        (Settings(keys_file="keys.json"), True),
        (Settings(jwt_issuer=ISSUER, jwt_secret=SECRET), True),
        (Settings(allow_anonymous=True), True),
    ],
)
def test_only_a_service_that_may_listens_beyond_loopback(settings: Settings, anywhere: bool) -> None:
    """By keys, by tokens, or in so many words."""
    for host in ("127.0.0.1", "::1"):
        check_host(host, settings)
    assert default_host(settings) == ("0.0.0.0" if anywhere else "127.0.0.1")
    for host in ("0.0.0.0", "::", "192.0.2.1"):
        if anywhere:
            check_host(host, settings)
        else:
            with pytest.raises(ListensTooFar, match=f"will not listen on {host}"):
                check_host(host, settings)
