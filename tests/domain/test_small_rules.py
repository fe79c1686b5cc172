"""Identity, hosts, durations, bounded memory and the time of an answer."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from finetune_guard.clock import ServerTime, check_year, system_clock
from finetune_guard.domain.bounded import Bounded
from finetune_guard.domain.hosts import base_of, is_pattern, matches, port_of
from finetune_guard.domain.organizations import (
    Credentials,
    credentials_in,
    is_credential_header,
    is_named,
    is_slug,
    organization_id,
    organization_slug,
    project_id,
)
from finetune_guard.domain.validation import Duration
from tests.support.constants import NOW

KEY = "Bearer sk-proj-very-secret"
BASE = "api.openai.com:443/v1"


@pytest.mark.parametrize(
    ("headers", "credentials"),
    [
        (
            {"authorization": KEY, "openai-organization": "org-1", "accept": "*/*"},
            Credentials(KEY, "org-1", BASE),
        ),
        ({"authorization": KEY, "openai-organization": ""}, Credentials(KEY, None, BASE)),
        ({}, Credentials("", None, BASE)),
        (
            {"x-portkey-virtual-key": "b", "cf-aig-authorization": "a", "helicone-auth": ""},
            Credentials("", None, BASE, (("cf-aig-authorization", "a"), ("x-portkey-virtual-key", "b"))),
        ),
    ],
)
def test_credentials_come_from_the_requests_headers(headers, credentials):
    """An empty header names no organization, and a request without a key still has credentials."""
    assert credentials == credentials_in(headers.items(), BASE)
    assert credentials.has_key is bool(credentials.authorization or credentials.keys)
    assert "secret" not in f"{credentials!r} {credentials} {[credentials]}"


def test_full_bounded_dictionary_is_cleared_by_a_new_key():
    bounded = Bounded(2)
    bounded["a"] = bounded["b"] = bounded["a"] = 1
    assert {"a": 1, "b": 1} == bounded
    bounded["c"] = 2
    assert {"c": 2} == bounded


KEYS = ["authorization", "api-key", "x-api-key", "cf-aig-authorization", "x-goog-api-key", "helicone-auth"]
KEYS += ["proxy-authorization", "x-auth-token", "ocp-apim-subscription-key", "apikey", "x_api_key"]
NO_KEYS = ["accept", "x-stainless-lang", "user-agent", "openai-project", "", "x-keys", "idempotency-key"]
NO_KEYS += ["helicone-cache-key", "sec-websocket-key", "x-tokens"]


def test_headers_that_may_hold_a_key_identify_the_caller():
    assert [*KEYS, "openai-organization"] == [
        name for name in (*KEYS, *NO_KEYS, "openai-organization") if is_credential_header(name)
    ]


def test_alias_is_stable_for_key_organization_and_salt_and_hides_them():
    alias = Credentials(KEY, "org-1").alias(b"salt")
    assert alias == Credentials(KEY, "org-1").alias(b"salt")
    others = [Credentials(KEY), Credentials(KEY, "org-2"), Credentials("Bearer other", "org-1")]
    others += [Credentials(KEY, "org-1", BASE), Credentials(KEY, "org-1", keys=(("x-api-key", "a"),))]
    assert alias not in [other.alias(b"salt") for other in others]
    assert alias != Credentials(KEY, "org-1").alias(b"pepper")
    assert "secret" not in alias
    assert not is_named(alias)


@given(st.text(), st.none() | st.text(), st.text(), st.text())
def test_any_header_text_can_be_hashed_to_an_alias(authorization, organization, base, key):
    credentials = Credentials(authorization, organization, base, ((key, key),))
    assert not is_named(credentials.alias(b"s" * 100))


SLUGS = ["acme-28gund", "user-abc123", "a", "A.b_c-9", "x" * 128]
STRANGE = ["", "-a", "a-", "a b", "a\n", "a\x00b", "key:0123", "ä", "x" * 129, "x" * 1_000_000, "../a", None]


def test_only_valid_slugs_name_an_organization():
    assert SLUGS == [slug for slug in (*SLUGS, *STRANGE) if organization_slug(slug) is not None]
    assert all(is_slug(slug) and slug == organization_slug(slug) for slug in SLUGS)


def test_organization_and_project_ids_are_distinguished():
    values = ["org-AbC1", "proj_AbC1", "acme-2", "org-", "org-" + "x" * 65, "org-a b", "org-a\n", None, 7]
    assert ["org-AbC1"] == [value for value in values if organization_id(value) is not None]
    assert ["proj_AbC1"] == [value for value in values if project_id(value) is not None]
    assert (True, False) == (is_named("org-AbC1"), is_slug("org-AbC1"))


@pytest.mark.parametrize(
    ("pattern", "host", "port", "expected"),
    [
        ("api.openai.com", "api.openai.com", None, True),
        ("api.openai.com", "API.OpenAI.com.", None, True),
        ("api.openai.com", "eu.api.openai.com", None, False),
        ("*.api.openai.com", "eu.api.openai.com", None, True),
        ("*.api.openai.com", "api.openai.com", None, False),
        ("*.api.openai.com", ".api.openai.com", None, False),
        ("*.api.openai.com", "evil-api.openai.com", None, False),
        ("api.openai.com", "api.openai.com.evil.org", None, False),
        ("127.0.0.1:8080", "127.0.0.1", 8080, True),
        ("127.0.0.1:8080", "127.0.0.1", None, False),
        ("gateway.acme.com:443", "gateway.acme.com", port_of("HTTPS", None), True),
        ("gateway.acme.com:443", "gateway.acme.com", port_of("http", None), False),
        ("gateway.acme.com.", "gateway.acme.com", 443, True),
        ("*.acme.com.:443", "gateway.acme.com.", 443, True),
        (" Gateway.Acme.example ", "gateway.acme.example", 443, True),
        ("[::1]:8080", "::1", 8080, True),
        ("[2001:0DB8:0:0:0:0:0:1]:443", "2001:db8::1", 443, True),
        ("[2001:db8::1]", "2001:db8:0:0::1", 443, True),
        ("[::1::]", "::1", 443, False),
        ("gateway.b\u00fccher.example", "gateway.xn--bcher-kva.example", 443, True),
        ("gateway.xn--bcher-kva.example", "gateway.bu\u0308cher.example", 443, True),
        ("*.stra\u00dfe.example", "api.XN--strae-oqa.example", 443, True),
        ("b\u00fccher.example", "bucher.example", 443, False),
        ("xn--\u00fc.example", "xn--\u00fc.example", 443, True),
        ("acme.example", "xn--acme-.example", 443, False),
        ("b\u00fccher\u3002example", "b\u00fccher.example", 443, True),
    ],
)
def test_host_patterns(pattern, host, port, expected):
    assert expected is matches(pattern, host, port)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("https", "api.openai.com", None, "/v1/"), "api.openai.com:443/v1"),
        (("HTTPS", "API.OpenAI.com.", 443, "/v1"), "api.openai.com:443/v1"),
        (("http", "gateway", 8080, "/"), "gateway:8080"),
        (("https", "gateway", None, "/openai/v1"), "gateway:443/openai/v1"),
    ],
)
def test_base_is_normalized(parts, expected):
    assert expected == base_of(*parts)


HOSTS = ["gateway.acme.com", " *.acme.com ", "127.0.0.1:8400", "[::1]:8400", "localhost"]
NO_HOSTS = ["https://gateway.acme.com/v1", "gateway.acme.com/v1", "user:secret@gateway.acme.com", "*", ""]
NO_HOSTS += ["api.*.com", "gateway.acme.com:", "a\x1b[31m", "a\x00", "\u202eelpmaxe", "a\nb", "\ud800"]
NO_PORTS = ["a:²", "a:" + "9" * 5_000, "a:99999999", "a:", ":", "a:-1", "a:1_0"]


def test_valid_host_patterns():
    assert HOSTS == [text for text in (*HOSTS, *NO_HOSTS, *NO_PORTS) if is_pattern(text)]
    assert [] == [pattern for pattern in NO_PORTS if matches(pattern, "a", 443)]  # nor does it fail


@pytest.mark.parametrize(
    ("written", "duration"),
    [
        ("14d", timedelta(days=14)),
        (" 12 H ", timedelta(hours=12)),
        ("1.5h", timedelta(minutes=90)),
        ("30m", timedelta(minutes=30)),
        ("90s", timedelta(seconds=90)),
        ("2w", timedelta(days=14)),
        ("P14D", timedelta(days=14)),
        ("pt5m", timedelta(minutes=5)),
        (timedelta(days=1), timedelta(days=1)),
    ],
)
def test_durations_are_parsed(written, duration):
    """A bare number and nonsense are refused."""
    assert duration == TypeAdapter(Duration).validate_python(written)
    for wrong in ("", "soon", "14", 14, None, "-3d", timedelta(0), "0d", "P", "9999999d", "-P1D"):
        with pytest.raises(ValidationError):
            TypeAdapter(Duration).validate_python(wrong)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Sun, 22 Nov 2026 11:59:58 GMT", NOW - timedelta(seconds=2)),
        ("Sun, 22 Nov 2026 13:59:58 +0200", NOW - timedelta(seconds=2)),
        ("Sun, 22 Nov 2026 11:59:58 -0000", NOW - timedelta(seconds=2)),
        ("Sun, 29 Nov 2026 12:00:00 GMT", NOW + timedelta(days=7)),
        ("Sun, 15 Nov 2026 12:00:00 GMT", NOW - timedelta(days=7)),
        ("Sun, 29 Nov 2026 12:00:01 GMT", NOW),
        ("Fri, 22 May 2026 12:00:00 GMT", NOW - timedelta(days=184)),
        ("Wed, 06 May 2026 12:00:00 GMT", NOW),  # before the policy, so from a cache or a broken clock
        ("Thu, 01 Jan 1970 00:00:00 GMT", NOW),
        ("Fri, 31 Dec 9999 23:59:59 -2359", NOW),
        ("yesterday", NOW),
        ("", NOW),
        ("x" * 1_000_000, NOW),
        (None, NOW),
    ],
)
def test_date_header_is_believed_up_to_a_week_off(header, expected):
    assert expected == ServerTime().answered_at(header, NOW)
    assert timedelta(0) == system_clock().utcoffset()


@pytest.mark.parametrize("year", [1969, 9000])
def test_clock_that_no_period_can_be_counted_from_is_refused(year):
    with pytest.raises(ValueError, match=str(year)):
        check_year(NOW.replace(year=year))
    assert NOW is check_year(NOW)


SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)
D = DAY // MINUTE


def offsets(*answers):
    """Return how many minutes the local clock is taken to be off after each answer."""
    elapsed, offsets_in_minutes = 0.0, []
    server = ServerTime(lambda: elapsed)
    for arrival, date in answers:
        elapsed = arrival % (300 * D) * 60
        local = NOW + arrival * MINUTE + server.offset
        server.answered_at(f"{NOW + date * MINUTE:%a, %d %b %Y %H:%M:%S} GMT", local)
        offsets_in_minutes.append(server.offset / MINUTE)
    return offsets_in_minutes


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        # The clock is right, within a minute.
        ([(0, 0), (1, 2)], [0, 0]),
        # It is two days slow, and is then set right.
        ([(0, 2 * D), (1, 2 * D + 1), (3 * D, 3 * D)], [2 * D, 2 * D, 0]),
        # It is a year off: believed once two answers ran on as the clock did.
        ([(0, 365 * D), (1, 365 * D + 1)], [0, 365 * D]),
        ([(0, 365 * D), (0, 365 * D), (1, 365 * D + 1)], [0, 0, 365 * D]),
        # A Date in a year from which no period can be counted.
        ([(0, 7_000 * 365 * D), (1, 7_000 * 365 * D + 1)], [0, 0]),
        # A Date that stands still, months old or days old.
        ([(minute, -90 * D) for minute in range(4)], [0] * 4),
        ([(2 * minute, -3 * D) for minute in range(4)], [-3 * D, 0, 0, 0]),
        # One answer from a cache among good ones.
        ([(0, 0), (1, -3 * D), (2, 2)], [0] * 3),
        ([(0, 2 * D), (1, -3 * D), (2, 2 * D + 2), (3, 2 * D + 3)], [2 * D, 0, 2 * D, 2 * D]),
        # It is set a year ahead, and then right again.
        ([(0, 0), (300 * D + 1, 1), (2, 2)], [0, -300 * D, 0]),
    ],
)
def test_clock_offset_needs_answers_that_agree(answers, expected):
    """A Date that contradicts both the local clock and earlier answers is not believed."""
    assert expected == offsets(*answers)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([(0, 0)], 0),
        ([(0, 6 * D)], 0),
        ([(0, -60 * D)], -60 * D),
        ([(0, -60 * D), (0, -60 * D)], -60 * D),
        ([(0, -60 * D), (1, 1 - 60 * D)], 0),
        ([(0, -60 * D), (1, -60 * D)], 0),
        ([(0, -60 * D), (1, 0), (2 * D, -18 * D)], -20 * D),
        ([(0, -60 * D), (1, 1)], 0),
    ],
)
def test_date_is_in_doubt_until_another_answer_settles_it(answers, expected):
    """Until then it may be right: nobody is told that January has passed by one clock of two."""
    elapsed = 0.0
    server = ServerTime(lambda: elapsed)
    for arrival, date in answers:
        elapsed = arrival * 60.0
        local = NOW + arrival * MINUTE + server.offset
        server.answered_at(f"{NOW + date * MINUTE:%a, %d %b %Y %H:%M:%S} GMT", local)
    assert expected * MINUTE == server.doubt


def test_repeated_date_is_believed_for_a_minute():
    """An hour later the same Date comes from a cache."""
    server, header = ServerTime(), f"{NOW:%a, %d %b %Y %H:%M:%S} GMT".encode()
    assert [NOW, NOW] == [server.answered_at(header, NOW + seconds * SECOND) for seconds in (0, 30)]
    later = NOW + 60 * MINUTE
    assert [NOW, later] == [ServerTime().answered_at(header, later), server.answered_at(b"", later)]
