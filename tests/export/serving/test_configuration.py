"""The server's configuration files say what they are meant to say."""

import re
from pathlib import Path

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

import export.serving
from export.saved_model import ALLOWED_BATCH_SIZES

FOLDER = Path(export.serving.__file__).parent


def test_the_model_configuration_is_read_by_the_servers_own_schema():
    text = (FOLDER / "models.config").read_text()
    (config,) = text_format.Parse(
        text, model_server_config_pb2.ModelServerConfig()
    ).model_config_list.config
    assert config.name == "ganad"
    assert config.model_version_policy.latest.num_versions == 2
    assert dict(config.version_labels) == {"stable": 1}


def test_a_server_whose_configuration_has_labels_starts_before_versions_are_loaded():
    assert "version_labels" in (FOLDER / "models.config").read_text()
    compose = (FOLDER / "docker-compose.yml").read_text()
    assert "- --allow_version_labels_for_unavailable_models=true\n" in compose


def test_warm_up_covers_the_batch_sizes_that_the_server_uses():
    text = (FOLDER / "batching.config").read_text()
    sizes = tuple(map(int, re.findall(r"^allowed_batch_sizes: (\d+)", text, re.MULTILINE)))
    assert sizes == ALLOWED_BATCH_SIZES
    # The server insists on it.
    assert f"max_batch_size {{ value: {sizes[-1]} }}" in text


def test_the_container_is_pinned_and_bound_to_loopback():
    text = (FOLDER / "docker-compose.yml").read_text()
    assert re.search(r"image: tensorflow/serving:\d+\.\d+\.\d+\n", text)
    ports = re.findall(r'- "(\S+:\d+:\d+)"', text)
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
