"""The settings file: what is in force and from where, and one clear line for everything that can be wrong
in it."""

from __future__ import annotations

import contextlib
import json
import re
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from gateway.backend_settings import KINDS, WebhookSettings
from gateway.commands.config import config
from gateway.settings import MASK, SECTIONS, Settings, load_settings, models, says
from gateway.settings_example import example, write_example
from gateway.store.engine import open_store
from sigap import settings_page
from sigap.problem import Problem

SECRET = "whsec_" + "QUJD" * 8
BACKEND = f"""
[[backends]]
name = "police"
url = "https://police.example.org/alarms"
secret = "{SECRET}"
callback_secret = "{SECRET}"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "sigap.toml"


def load(file: Path, text: str, **environment: str) -> Settings:
    file.write_text(text, encoding="utf-8")
    return load_settings(file, environment)


def test_empty_file_gives_the_defaults(file: Path):
    settings = load(file, "")
    assert settings.gateway.name == "polres-semarang"
    assert (settings.broker.host, settings.broker.port, settings.broker.username) == (
        "127.0.0.1",
        18883,
        "gateway",
    )
    assert (settings.http.host, settings.http.port) == ("127.0.0.1", 8470)
    assert settings.backends == ()
    assert settings.data_dir == file.parent / "var"
    assert settings.store_url == f"sqlite:///{file.parent}/var/sigap.db"
    assert settings.broker_dir == file.parent / "var" / "broker"
    assert settings.origin("broker.port") == "default"


def test_paths_are_seen_from_the_files_folder(file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir("/")
    assert load(file, '[gateway]\ndata_dir = "data"').data_dir == tmp_path / "data"
    assert load(file, '[gateway]\ndata_dir = "/srv/sigap"').data_dir == Path("/srv/sigap")


def test_store_of_a_folder_with_an_odd_name(file: Path):
    settings = load(file, '[gateway]\ndata_dir = "a b%20?#ü"')
    open_store(settings.store_url).close()
    assert (file.parent / "a b%20?#ü" / "sigap.db").exists()


def test_environment_goes_before_the_file(file: Path):
    settings = load(
        file,
        "[broker]\nport = 1883\nhost = 'a'" + BACKEND,
        SIGAP_BROKER__PORT="2883",
        SIGAP_BACKENDS__0__TIMEOUT_S="2.5",
        SIGAP_BACKENDS__0__ALLOW_PRIVATE="false",
        SIGAP_CONFIG="not a setting",
        PATH="not ours",
    )
    assert (settings.broker.port, settings.broker.host) == (2883, "a")
    assert (settings.backends[0].timeout_s, settings.backends[0].allow_private) == (2.5, False)
    assert settings.origin("broker.port") == "SIGAP_BROKER__PORT"
    assert settings.origin("broker.host") == str(file)
    assert settings.origin("backends.0.timeout_s") == "SIGAP_BACKENDS__0__TIMEOUT_S"
    assert settings.origin("backends.0.kind") == "default"


def test_environment_can_add_a_backend(file: Path):
    settings = load(
        file,
        BACKEND,
        SIGAP_BACKENDS__1__NAME="polda",
        SIGAP_BACKENDS__1__URL="http://127.0.0.1:9/alarms",
        SIGAP_BACKENDS__1__SECRET=SECRET,
        SIGAP_BACKENDS__1__CALLBACK_SECRET=SECRET,
    )
    assert [backend.name for backend in settings.backends] == ["police", "polda"]


def test_device_host_falls_back_to_host(file: Path):
    assert load(file, "[broker]\nhost = 'mqtt.local'").device_broker_host == "mqtt.local"
    assert load(file, "[broker]\ndevice_host = '10.0.0.1'").device_broker_host == "10.0.0.1"


@pytest.mark.parametrize(
    ("text", "environment", "expected"),
    [
        ("[broker]\nprt = 1", {}, "FILE: [broker] has the unknown key prt. Did you mean port."),
        ("[gateway]\nprt = 1", {}, "FILE: [gateway] has the unknown key prt. Did you mean port in [broker]."),
        (
            "",
            {"SIGAP_BROKER__PASWORD": "x"},
            "the environment variable SIGAP_BROKER__PASWORD names no setting. Did you mean SIGAP_BROKER__PASSWORD.",
        ),
        (
            "",
            {"SIGAP_BACKEND__0__URL": "x"},
            "the environment variable SIGAP_BACKEND__0__URL names no setting. Did you mean SIGAP_BACKENDS__0__URL.",
        ),
        ("[brokr]\n", {}, "FILE: unknown key brokr. Did you mean broker."),
        (
            "zzz = 1",
            {},
            "FILE: unknown key zzz. Use one of gateway, broker, http, store, bases, phone, retention, backends.",
        ),
        (
            '[broker]\nport = "1883"',
            {},
            "FILE: [broker] port must be a whole number from 1 to 65535. Correct it in FILE.",
        ),
        (
            "[broker]\nport = 0",
            {},
            "FILE: [broker] port must be a whole number from 1 to 65535. Correct it in FILE.",
        ),
        (
            "",
            {"SIGAP_HTTP__PORT": "many"},
            "SIGAP_HTTP__PORT: [http] port must be a whole number from 1 to 65535. Correct or unset SIGAP_HTTP__PORT.",
        ),
        (
            "[broker]\nport = true\nhost = 3",
            {},
            "FILE: [broker] host must be a host name or IP address (and 1 more). Correct it in FILE.",
        ),
        (
            "broker = 3",
            {},
            "FILE: broker must be a section. Write [broker] on a line of its own, its keys below.",
        ),
        (
            "[backends]\nname = 'x'",
            {},
            "FILE: backends must be a section. Write [[backends]] on a line of its own, its keys below.",
        ),
        (
            "backends = 3",
            {"SIGAP_BACKENDS__0__NAME": "a"},
            "FILE: backends must be a section. Write [[backends]] ",
        ),
        (
            BACKEND.replace("https://police", "ftp://police"),
            {},
            "FILE: [[backends]] number 1 url must be an http or https URL without user name, as https://",
        ),
        (BACKEND.replace("https://", "https://user:geheim@"), {}, "FILE: [[backends]] number 1 url must be"),
        (BACKEND.replace("org/", "org:99999/"), {}, "FILE: [[backends]] number 1 url must be"),
        (
            BACKEND.replace(f'\nsecret = "{SECRET}"', '\nsecret = "geheim"'),
            {},
            "FILE: [[backends]] number 1 secret must be whsec_ and 24 to 64 bytes in base64. Correct it",
        ),
        (
            BACKEND.replace('name = "police"\n', ""),
            {},
            "FILE: [[backends]] number 1 lacks name. Set it to 1 to 63 of a-z, 0-9 and hyphen",
        ),
        (BACKEND + BACKEND, {}, "FILE: two [[backends]] have the name police. Rename one of them."),
        ("[broker]\nusername = '0000a1b2'", {}, "FILE: [broker] username must be 1 to 64 letters"),
        ("[broker]\npassword = 'geheim\\n'\nport = 'geheim'", {}, "FILE: [broker] port must be"),
        (
            '[broker]\npassword = "geheim\\n"',
            {},
            "FILE: [broker] password must be one line, at most 200 characters. ",
        ),
        (
            "[broker\n",
            {},
            "FILE is not TOML: Expected ']' at the end of a table declaration (at line 1, column 8). ",
        ),
        (
            "",
            {"SIGAP_BROKER__PRT": "1"},
            "the environment variable SIGAP_BROKER__PRT names no setting. Did you mean SIGAP_BROKER__PORT.",
        ),
        ("", {"SIGAP_X__Y": "1"}, "the environment variable SIGAP_X__Y names no setting. "),
        ("", {"SIGAP_BACKENDS__URL": "1"}, "the environment variable SIGAP_BACKENDS__URL names no setting. "),
        (
            "",
            {"SIGAP_BACKENDS__1__URL": "1"},
            "the environment variable SIGAP_BACKENDS__1__URL skips a backend. ",
        ),
    ],
)
def test_what_is_wrong_is_one_line(file: Path, text: str, environment: dict[str, str], expected: str):
    with pytest.raises(Problem) as caught:
        load(file, text, **environment)
    said = str(caught.value)
    assert said.startswith(expected.replace("FILE", str(file)))
    assert caught.value.exit_code == 2
    assert "\n" not in said
    assert "geheim" not in said


def test_file_that_cannot_be_read(tmp_path: Path):
    with pytest.raises(Problem, match=r"there is no settings file .*none\.toml\. Write one with `sigap config init`"):
        load_settings(tmp_path / "none.toml", {})
    with pytest.raises(Problem, match="cannot be read: Is a directory"):
        load_settings(tmp_path, {})
    (tmp_path / "latin.toml").write_bytes(b'[gateway]\nname = "caf\xe9"')
    with pytest.raises(Problem, match="byte 21 is not UTF-8"):
        load_settings(tmp_path / "latin.toml", {})


@pytest.mark.parametrize(
    ("written", "said", "todo"),
    [
        ("kind = 'dc10'", "[[backends]] number 1 kind must be webhook, dc09, cap or mqtt", "Correct it in"),
        ("kind = 'dc09'\nport = 5", "[[backends]] number 1 lacks host", "Set it to a host name"),
        ("kind = 'dc09'\nhost = 'h'\nport = 5\nkey = '12'", "key must be 32, 48 or 64 hex digits", "Correct it in"),
        ("kind = 'dc09'\nhost = 'h'\nport = 5\nacount = '12'", "has the unknown key acount", "Did you mean account"),
        ("kind = 'mqtt'\nhost = 'h'\ntopic = 'a/#'", "topic must be an MQTT topic without + and #", "Correct it in"),
        ("kind = 'cap'\nsender = 'a b'", "sender must be letters", "Correct it in"),
        (
            "kind = 'cap'\nsender = 'a'\nfeed_password = 'short'",
            "feed_password must be one line of 12",
            "Correct it in",
        ),
        ("kind = 'cap'\nsender = 'a'", "[[backends]] number 1 lacks url, feed_password or both", "Set it in"),
        ("kind = 5", "[[backends]] number 1 kind must be", "Correct it in"),
    ],
)
def test_each_kind_of_backend_says_what_it_needs(file: Path, written: str, said: str, todo: str):
    with pytest.raises(Problem) as problem:
        load(file, f"[[backends]]\nname = 'police'\n{written}\n")
    assert said in problem.value.what
    assert problem.value.todo.startswith(todo)


def test_the_examples_of_the_page_are_settings(file: Path):
    """docs/backends.md shows one of each kind."""
    page = (settings_page.PAGE.parent / "backends.md").read_text(encoding="utf-8")
    (example_,) = re.findall(r"^```toml\n(.*?)^```", page, re.M | re.S)
    found = load(file, example_.replace("whsec_...", SECRET).replace('"..."', '"pintu masuk rahasia"')).backends
    assert [each.kind for each in found] == list(KINDS)
    assert [each.receives for each in found] == [True, True, False, True]


def test_an_authority_is_found_beside_the_settings(file: Path):
    more = "kind = 'mqtt'\nhost = 'h'\nca_file = 'tls/ca.pem'"
    (found,) = load(file, f"[[backends]]\nname = 'police'\n{more}\n").backends
    assert found.ca_file == str(file.absolute().parent / "tls" / "ca.pem")


def test_a_variable_gives_a_backend_its_kind(file: Path):
    file.write_text("[[backends]]\nname = 'arc'\nhost = 'h'\nport = 1\n")
    found = load_settings(file, {"SIGAP_BACKENDS__0__KIND": "dc09", "SIGAP_BACKENDS__0__SUPERVISE_S": "5"}).backends[0]
    assert (found.kind, found.where, found.supervise_s) == ("dc09", "tcp://h:1", 5)
    with pytest.raises(Problem, match=r"SIGAP_BACKENDS__0__KIND: \[\[backends\]\] number 1 kind must be"):
        load_settings(file, {"SIGAP_BACKENDS__0__KIND": "dc10"})


scalar = st.one_of(st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.text(max_size=30))
keys = st.one_of(
    st.text(max_size=8),
    *(st.sampled_from(list(model.model_fields)) for section in SECTIONS for model in models(section)),
)
tables = st.dictionaries(keys, st.one_of(scalar, st.lists(scalar, max_size=2)), max_size=4)


@hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    tree=st.dictionaries(
        st.one_of(st.sampled_from(list(SECTIONS)), st.text(max_size=5)),
        st.one_of(scalar, tables, st.lists(st.one_of(tables, scalar), max_size=2)),
        max_size=4,
    ),
    environment=st.dictionaries(
        st.builds(
            lambda section, key: f"SIGAP_{section}__{key}".upper(),
            st.sampled_from([*SECTIONS, "backends__0", "backends__1", "x"]),
            keys,
        ),
        st.text(max_size=20),
        max_size=3,
    ),
)
def test_nothing_in_the_file_is_a_traceback(tree: dict, environment: dict, monkeypatch: pytest.MonkeyPatch, file: Path):
    monkeypatch.setattr("gateway.settings._read", lambda _path: tree)
    with contextlib.suppress(Problem):
        assert isinstance(load_settings(file, environment), Settings)


def test_every_key_says_what_it_expects_and_means():
    for model in (model for section in SECTIONS for model in models(section)):
        assert model.__doc__
        for key, field in model.model_fields.items():
            assert says(model, key).expected
            assert field.description


def test_secrets_do_not_show_in_a_repr(file: Path):
    settings = load(file, "[broker]\npassword = 'geheim-geheim'\n[store]\nurl = 'postgresql://u:geheim@h/d'" + BACKEND)
    assert "geheim" not in repr(settings)
    assert SECRET not in repr(settings)


# The example.


def test_example_is_valid_complete_and_differs_each_time(file: Path):
    text = example()
    assert text != example()
    settings = load(file, text)
    assert len(settings.broker.password) >= 20
    assert settings.backends[0].secret != settings.backends[0].callback_secret
    uncommented = "\n".join(line.removeprefix("# ") if " = " in line else line for line in text.splitlines())
    tree = tomllib.loads(uncommented)
    assert list(tree) == list(SECTIONS)
    for section, model in SECTIONS.items():
        table = tree[section][0] if section == "backends" else tree[section]
        assert list(table) == list((WebhookSettings if section == "backends" else model).model_fields)
    # A comment shows the true default.
    assert load(file, uncommented).model_dump(exclude={"broker": {"password"}}) == settings.model_dump(
        exclude={"broker": {"password"}}
    )


def test_example_takes_values(file: Path):
    settings = load(file, example({"broker.port": 1, "backends.url": "http://h:1/a", "gateway.name": "x"}))
    assert (settings.broker.port, settings.backends[0].url, settings.gateway.name) == (1, "http://h:1/a", "x")
    with pytest.raises(KeyError, match=r"broker\.prt"):
        example({"broker.prt": 1})


def test_init_leaves_an_existing_file_alone(file: Path):
    assert write_example(file)
    assert file.stat().st_mode & 0o777 == 0o600
    before = file.read_text()
    done = CliRunner().invoke(config, ["init", "--config", str(file)])
    assert done.exit_code == 0
    assert "is there already" in done.output
    assert file.read_text() == before


def test_show_masks_secrets_and_says_origins(file: Path, monkeypatch: pytest.MonkeyPatch):
    file.write_text("[broker]\npassword = 'geheim-geheim'\nport = 5" + BACKEND)
    monkeypatch.setenv("SIGAP_HTTP__PORT", "99")
    done = CliRunner().invoke(config, ["show", "--json", "--config", str(file)])
    document = json.loads(done.output)
    rows = {row["key"]: row for row in document["settings"]}
    assert rows["broker.port"] == {"key": "broker.port", "value": 5, "origin": str(file)}
    assert rows["http.port"] == {"key": "http.port", "value": 99, "origin": "SIGAP_HTTP__PORT"}
    assert rows["http.host"]["origin"] == "default"
    assert rows["broker.password"]["value"] == MASK
    assert rows["backends.0.secret"]["value"] == rows["backends.0.callback_secret"]["value"] == MASK
    assert rows["store.url"]["value"] == ""
    table = CliRunner().invoke(config, ["show", "--config", str(file)]).output
    assert "SIGAP_HTTP__PORT" in table
    for secret in ("geheim", SECRET):
        assert secret not in done.output
        assert secret not in table


# The administrator's page.


def test_documented_settings_are_the_settings():
    assert settings_page.PAGE.read_text(encoding="utf-8") == settings_page.text(), "run `make generate`"
    table = settings_page.table()
    for section in SECTIONS:
        for key in (key for model in models(section) for key in model.model_fields):
            assert f"| `{section}.{key}`" in table
