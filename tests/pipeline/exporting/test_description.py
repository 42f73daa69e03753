"""What exported models say of themselves."""

import json

import pytest

from pipeline.exporting.description import Description, check_body, read_description

ABOUT = Description(
    run="mfcc", model_version="0123", folds=(0, 2), label_mode="single", classes=("a", "é"),
    sr=16000, seconds=2.0, pad="repeat", feature={"name": "mfcc", "config": {"fmax": None}},
)


def test_it_comes_back_with_the_models_checksum():
    found, checked = read_description(ABOUT.to_json(b"one", b"two"))
    assert found == ABOUT
    # sha256sum of "onetwo"
    assert checked == {
        "bytes": 6, "sha256": "25b6746d5172ed6352966a013d93ac846e1110d5a25e8f183b5931f4688842a1",
    }
    check_body(checked, b"onetwo")
    for other in (b"onetw", b"onetwO", b""):
        with pytest.raises(ValueError, match="its checksum is another"):
            check_body(checked, other)


@pytest.mark.parametrize(("change", "message"), [
    ({"format_version": 2}, "of version 2; this version of the pipeline reads 1"),
    ({"classes": "ab"}, "no list of classes"),
    ({"classes": []}, "no valid classes"),
    ({"classes": [1, 2]}, "no valid classes"),
    ({"sr": 16000.5, "seconds": 0}, "no valid sr, seconds"),
    ({"label_mode": "both"}, "no valid label_mode"),
    ({"model": {}}, "no valid model"),
])
def test_what_is_wrong_is_said(change, message):
    content = {**json.loads(ABOUT.to_json(b"")), **change}
    with pytest.raises(ValueError, match=message):
        read_description(json.dumps(content))


@pytest.mark.parametrize("text", ["", "{", "[]", "1", b"\xff\xfe", '{"format_version": 1}'])
def test_what_is_no_description(text):
    with pytest.raises(ValueError):  # noqa: PT011 (json's messages too)
        read_description(text)
