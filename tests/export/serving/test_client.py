"""The client against the real stubs on loopback: no loss, no mix-up, clear errors."""

import json
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import export.serving.client as serving_client
from export.saved_model import png_bytes
from export.serving import transports
from export.serving.client import Client, main
from export.serving.transports import ServingError
from ganad_tf.errors import UsageError, run_cli

CODES = grpc.StatusCode


@pytest.fixture
def folder(tmp_path, images):
    for i, image in enumerate(images[:100]):
        Image.fromarray(image[..., 0]).save(tmp_path / f"{i}.png")
    return tmp_path


def test_arrays_and_bytes_are_scored_as_by_keras(service, detector, images):
    client = Client(service.address)
    expected = detector.run(images)
    for given in (images, [png_bytes(image) for image in images]):
        results = client.score(given)
        np.testing.assert_allclose(results["score"], expected["score"], atol=1e-5)
        assert np.array_equal(results["is_anomaly"], expected["is_anomaly"])


def test_a_threshold_decides_whatever_else_is_asked_for(service, detector, images):
    scores = detector.run(images)["score"]
    threshold = float(np.median(scores))
    for outputs in (("is_anomaly",), ("is_anomaly", "score")):
        results = Client(service.address).score(images, threshold, outputs)
        assert set(results) == set(outputs)
        assert np.array_equal(results["is_anomaly"], scores > np.float32(threshold))


def test_rest_scores_alike(rest_address, detector, images):
    results = Client(rest_address, rest=True).score(images)
    np.testing.assert_allclose(results["score"], detector.run(images)["score"], atol=1e-5)


def test_the_server_tells_the_image_shape(service, rest_address):
    assert Client(service.address).image_shape() == (28, 28, 1)
    assert Client(rest_address, rest=True).image_shape() == (28, 28, 1)


def test_eight_callers_lose_and_mix_up_nothing(service, detector, images):
    client = Client(service.address)
    expected = detector.run(images)["score"]
    parts = [np.arange(start, len(images), 40) for start in range(40)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda part: client.score(images[part])["score"], parts))
    for part, answer in zip(parts, answers, strict=True):
        np.testing.assert_allclose(answer, expected[part], atol=1e-5)


def test_passing_failures_are_tried_again(service, images):
    service.refusals = [CODES.UNAVAILABLE, CODES.RESOURCE_EXHAUSTED]
    assert len(Client(service.address).score(images[:3])["score"]) == 3
    assert service.requests == 3


def test_a_request_of_more_than_four_mebibytes_is_answered(service, rng):
    file = png_bytes(rng.integers(0, 256, (2300, 2300, 1), np.uint8))
    assert len(file) > 4 * 2**20
    assert len(Client(service.address).score([file])["score"]) == 1


def test_a_request_that_is_too_large_is_not_repeated(service, images, monkeypatch):
    monkeypatch.setattr(transports, "MESSAGE_SIZES", [("grpc.max_send_message_length", 1000)])
    with pytest.raises(ServingError, match=r"to answer\. Received: .* larger than max"):
        Client(service.address).score(images[:10])


@pytest.mark.parametrize("bad", [[b"no image"], [b""]])
def test_a_request_that_is_wrong_is_not_repeated(service, bad):
    with pytest.raises(ServingError, match="Received: INVALID_ARGUMENT"):
        Client(service.address).score(bad)
    assert service.requests == 1


def test_an_unknown_model_is_named(service, rest_address, images):
    with pytest.raises(
        ServingError, match=r"expected model 'other' to answer\. Received: NOT_FOUND"
    ):
        Client(service.address, model="other").score(images)
    with pytest.raises(
        ServingError, match=r"expected model 'other' to answer\. Received: HTTP 404"
    ):
        Client(rest_address, model="other", rest=True).score(images)


@pytest.mark.parametrize("rest", [False, True])
def test_no_server_is_a_clear_error(rest, images):
    client = Client("127.0.0.1:9", rest=rest, timeout=1, attempts=2)
    with pytest.raises(ServingError, match=r"127\.0\.0\.1:9: expected an answer .*2 attempts"):
        client.score(images)


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", b"no HTTP\r\n\r\n", b""]
)
def test_a_rest_answer_that_is_cut_off_is_a_clear_error(raw_address, answer):
    address, answers = raw_address
    answers.append(answer)
    with pytest.raises(ServingError, match=r"expected an answer .*2 attempts"):
        Client(address, rest=True, timeout=2, attempts=2).image_shape()


@pytest.mark.parametrize("found", ["{}", "[]", '{"metadata": {"signature_def": {}}}'])
def test_a_rest_answer_about_another_kind_of_model_is_shown(raw_address, images, found):
    address, answers = raw_address
    answers.append(f"HTTP/1.1 200 OK\r\n\r\n{found}".encode())
    client = Client(address, rest=True, timeout=2)
    for ask in (client.image_shape, lambda: client.score(images[:1])):
        with pytest.raises(ServingError, match="expected an answer about a model") as error:
            ask()
        assert str(error.value).endswith(f"Received: {json.loads(found)}")


def test_a_model_without_our_signature_is_named(service, tmp_path):
    module = tf.Module()
    module.double = tf.function(lambda x: 2 * x, [tf.TensorSpec([None], tf.float32)])
    tf.saved_model.save(module, str(tmp_path), signatures={"other": module.double})
    service.folder = tmp_path
    with pytest.raises(ServingError, match=r"Received: signatures .*other"):
        Client(service.address).image_shape()


def test_model_and_label_are_quoted_in_addresses():
    client = Client("host:80", model="a model/1", label="new & old", rest=True)
    assert (
        client._transport.address == "http://host:80/v1/models/a%20model%2F1/labels/new%20%26%20old"
    )


@pytest.mark.parametrize(("flags", "port"), [([], 8500), (["--rest"], 8501)])
def test_without_a_server_the_port_is_that_of_the_interface(folder, monkeypatch, flags, port):
    asked = []

    def ask(server, *_):
        asked.append(server)
        raise ServingError("no server")

    monkeypatch.setattr(serving_client, "Client", ask)
    with pytest.raises(ServingError):
        main([str(folder), *flags])
    assert asked == [f"127.0.0.1:{port}"]


@pytest.mark.parametrize("flag", ["--batch-size", "--concurrency", "--max-pixels"])
def test_a_number_below_one_is_a_usage_error(folder, flag):
    with pytest.raises(UsageError, match=f"{flag} must be at least 1. Received: 0"):
        main([str(folder), flag, "0"])


@pytest.mark.parametrize("server", ["localhost", ":8500", "host:", "host:99999", "host:http"])
def test_an_address_without_a_port_is_refused(server):
    with pytest.raises(UsageError, match="--server must be HOST:PORT"):
        Client(server)


def test_a_threshold_that_is_no_number_is_a_usage_error(folder, capsys):
    assert run_cli(lambda: main([str(folder), "--threshold", "nan"])) == 2
    assert "--threshold must be a number" in capsys.readouterr().err


def test_the_command_writes_a_line_per_image(service, folder, detector, images, capsys):
    (folder / "broken.png").write_bytes(b"broken")
    assert main([str(folder), "--server", service.address, "--batch-size", "16"]) == 1
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    scores = {record["path"]: record.get("score") for record in records}
    assert len(records) == 101
    assert scores.pop(str(folder / "broken.png")) is None
    expected = detector.run(images[:100])["score"]
    for i, score in enumerate(expected):
        assert scores[str(folder / f"{i}.png")] == pytest.approx(float(score), abs=1e-5)


def test_a_server_that_dies_half_way_is_reported_after_what_was_scored(service, folder, capsys):
    service.limit = 5
    command = ["--server", service.address, "--batch-size", "10", "--concurrency", "1"]
    arguments = [str(folder), *command, "--attempts", "2", "--timeout", "2"]
    assert run_cli(lambda: main(arguments)) == 1
    out, err = capsys.readouterr()
    records = [json.loads(line) for line in out.splitlines()]
    assert 10 <= len(records) <= 50
    assert all("score" in record for record in records)
    assert "UNAVAILABLE" in err
    assert f"{len(records)} images were scored before" in err


def test_both_interfaces_give_the_regions_of_keras(service, rest_address, folder, detector, images):
    paths = [str(folder / f"{i}.png") for i in range(24)]
    expected = detector.explain(images[:24]).regions
    assert any(expected)
    for client in (Client(service.address), Client(rest_address, rest=True)):
        records = list(client.score_files(paths, batch_size=5, regions=True))
        for record, regions in zip(records, expected, strict=True):
            assert [tuple(region["box"]) for region in record["regions"]] == [
                region.box for region in regions
            ]
            assert [region["area"] for region in record["regions"]] == [
                region.area for region in regions
            ]


def test_a_model_without_masks_is_refused_before_any_image_is_sent(service, folder, monkeypatch):
    client = Client(service.address)
    known = {"score", "probability", "is_anomaly", "anomaly_map"}
    monkeypatch.setattr(client._transport, "signature", lambda: ((28, 28, 1), known))
    with pytest.raises(
        UsageError, match=r"outputs anomaly_map and mask.*Received: anomaly_map, is"
    ):
        next(client.score_files([str(folder / "0.png")], regions=True))
    assert service.requests == 0
