"""The table of published weights, and bringing its files: checked by as much of the SHA-256 as is known."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from bad_site import Site, serve

from rungbook.errors import DataError, EnvironmentProblem, UsageError
from rungbook.models.registry import MODELS
from rungbook.transfer.fetch import fetch_weights, weights_folder
from rungbook.transfer.published import FILES, PUBLISHED, Published, by_file, published


@pytest.mark.parametrize("one", FILES, ids=lambda one: f"{one.model}-{one.tag}")
def test_every_entry_is_of_a_model_and_can_be_checked(one: Published) -> None:
    assert MODELS[one.model].counted
    assert one.url.startswith("https://")
    assert one.url.endswith(one.file.removeprefix("cifar10_"))
    assert len(one.sha256) in (8, 64)
    assert set(one.sha256) <= set("0123456789abcdef")
    assert one.sha256[:8] in one.file  # what the publisher says of the file is in its name
    assert 0.5 < one.accuracy < 1
    assert by_file(one.file) is by_file(one.url.rpartition("/")[2]) is one


def test_names_of_files_and_pairs_are_unique() -> None:
    assert len({one.file for one in FILES}) == len(FILES) == sum(map(len, PUBLISHED.values()))


def test_the_first_tag_is_the_default() -> None:
    assert published("resnet50").tag == "imagenet1k_v1"
    assert published("resnet50", "imagenet1k_v2").accuracy > published("resnet50").accuracy
    assert published("vit_b_16", "imagenet1k_swag_e2e_v1").image_size == 384


@pytest.mark.parametrize(
    ("model", "tag", "said"),
    [("nin", "", "there are for alexnet, cifar_resnet110"), ("resnet18", "imagenet1k_v3", "Did you mean pretrained=imagenet1k_v1")],
)
def test_weights_that_nobody_published(model: str, tag: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        published(model, tag)
    assert refused.value.code == "E201"


BODY = b"weights" * 1000
HASH = hashlib.sha256(BODY).hexdigest()


def entry(url: str, sha256: str = HASH[:8], name: str = "net-12345678.pth") -> Published:
    return Published("resnet18", "test", name, url, sha256, 0.7)


def test_a_file_is_fetched_once_and_its_beginning_of_the_digest_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNG_CACHE", str(tmp_path))
    monkeypatch.delenv("RUNG_DATA", raising=False)
    site = Site(BODY)
    with serve(site) as address:
        one = entry(f"{address}/net-12345678.pth")
        path = fetch_weights(one)
        assert path == weights_folder() / one.file
        assert path.read_bytes() == BODY
    assert fetch_weights(one) == path  # the site is gone
    path.write_bytes(BODY[:-1] + b"x")
    with pytest.raises(DataError, match=f"that of {one.file} with {HASH[:8]}") as refused:
        fetch_weights(one)
    assert refused.value.code == "E106"


def test_another_file_at_the_address_never_enters_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNG_CACHE", str(tmp_path))
    monkeypatch.delenv("RUNG_DATA", raising=False)
    with serve(Site(BODY[::-1])) as address, pytest.raises(EnvironmentProblem) as refused:
        fetch_weights(entry(f"{address}/net-12345678.pth"))
    assert refused.value.code == "E403"
    assert not list(weights_folder().glob("*.pth*"))


def test_without_a_network_it_is_told_where_to_put_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNG_CACHE", str(tmp_path))
    monkeypatch.delenv("RUNG_DATA", raising=False)
    monkeypatch.setattr("rungbook.data.resume.PAUSE", 0.0)
    one = entry("http://127.0.0.1:9/net-12345678.pth")
    with pytest.raises(EnvironmentProblem) as refused:
        fetch_weights(one)
    place = refused.value.fix.rpartition(" ")[2]
    assert (refused.value.code, refused.value.exit_code) == ("E403", 4)
    Path(place).write_bytes(BODY)  # the fix
    assert fetch_weights(one).read_bytes() == BODY


def test_a_local_copy_goes_before_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "net-12345678.pth").write_bytes(BODY)
    monkeypatch.setenv("RUNG_DATA", str(tmp_path))
    one = entry("http://127.0.0.1:9/net-12345678.pth")
    assert fetch_weights(one).parent == tmp_path / "checkpoints"
    with pytest.raises(DataError, match="not the published file"):
        fetch_weights(replace(one, sha256="00000000"))
