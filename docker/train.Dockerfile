# Training. NOT BUILT OR RUN where it was written: there was no Docker at hand.
#
#   docker build -f docker/train.Dockerfile -t ganad-train .
#   docker run --rm -v "$PWD/photos:/photos:ro" -v "$PWD/runs:/runs" ganad-train --data /photos
#
# With a GPU: --build-arg EXTRAS=[gpu], and `docker run --gpus all`. The folder for runs must be
# writable by user 10001.
FROM python:3.11-slim
ARG EXTRAS=""
COPY setup.py setup.cfg pyproject.toml MANIFEST.in README.md LICENSE /src/
COPY ganad_tf /src/ganad_tf
COPY export /src/export
RUN pip install --no-cache-dir "/src${EXTRAS}" \
    && useradd --uid 10001 --create-home ganad \
    && install -d -o ganad /runs
USER ganad
WORKDIR /runs
ENV GANAD_CACHE_DIR=/home/ganad/cache
# Runs go to /runs/runs/NAME unless --output says otherwise.
ENTRYPOINT ["ganad", "train"]
CMD ["--help"]
