# Scoring: numpy, onnxruntime and Pillow only. NOT BUILT OR RUN where it was written: there was no
# Docker at hand.
#
#   docker build -f docker/score.Dockerfile -t ganad-score .
#   docker run --rm --network none --read-only -v "$PWD/runs/photos:/model:ro" \
#       -v "$PWD/new:/images:ro" ganad-score /model/model.onnx /images --jsonl
FROM python:3.11-slim
# The versions of setup.cfg.
RUN pip install --no-cache-dir "numpy>=2.4,<3" "onnxruntime>=1.32,<2" "pillow>=12,<14" \
    && useradd --uid 10001 ganad
COPY export/runtime.py /runtime.py
USER ganad
ENTRYPOINT ["python", "/runtime.py"]
CMD ["--help"]
