"""Fingerprints depend on what they must, and on nothing else."""

from __future__ import annotations

import tempfile

from hypothesis import given, settings
from hypothesis import strategies as st

from embedlib.fingerprint import digest, recipe_fingerprint
from embedlib.store import Recipe, Store

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
configs = st.dictionaries(st.text(min_size=1, max_size=6), json_values, max_size=5)


@settings(deadline=None)
@given(configs)
def test_key_order_does_not_count(config: dict[str, object]) -> None:
    assert digest(config) == digest(dict(reversed(config.items())))


@settings(deadline=None)
@given(configs, st.text(min_size=1, max_size=6), json_values)
def test_a_changed_option_changes_the_fingerprint(config: dict[str, object], key: str, value: object) -> None:
    changed = {**config, key: value}
    same = digest(changed) == digest(config)
    prints = [recipe_fingerprint("s", "c", c, {}) for c in (config, changed)]
    assert (prints[0] == prints[1]) is same


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,8}\.bin", fullmatch=True), st.binary(max_size=64), min_size=1, max_size=4
    )
)
def test_round_trip_and_content_identity(files: dict[str, bytes]) -> None:
    def make(work):
        for name, data in files.items():
            (work.out / name).write_bytes(data)
        return {}

    with tempfile.TemporaryDirectory() as root:
        store = Store(root)
        refs = [store.build(Recipe("s", "k", code), make).ref for code in ("a", "b")]
        assert refs[0].fingerprint != refs[1].fingerprint
        assert refs[0].digest == refs[1].digest
        for ref in refs:
            ref.require_intact()
            assert {n: ref.file(n).read_bytes() for n in files} == files
