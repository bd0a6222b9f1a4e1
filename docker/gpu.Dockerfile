# The model side: torch with CUDA, without Spark. Build in the root folder of the project:
#   docker build -f docker/gpu.Dockerfile -t semantic-pivots-gpu .
#   docker run --rm --gpus all -v "$PWD/out:/app/out" -v "$PWD/models:/app/models:ro" semantic-pivots-gpu \
#       torchrun --nproc-per-node=8 -m jobs.gpu.continue_pretraining --config conf/olmo-1b.toml
# (out/ must be writable by user 1000)
ARG BASE=python:3.11-slim-bookworm
# hadolint ignore=DL3006
FROM $BASE

# torch.compile needs a C++ compiler and Python's headers, which come with the official image's Python but not with
# Debian's. Debian offers only the newest version of a package, so none is pinned.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ $([ -e /usr/local/bin/python3 ] || echo python3-dev) \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /app
COPY requirements/gpu.txt requirements/
# Two layers of half the size: a builder needs three times the largest layer while it commits it.
RUN python3 -m venv /opt/venv \
    && sed -n '/^\(nvidia-\|triton==\)/,/[^\\]$/p' requirements/gpu.txt \
        | /opt/venv/bin/pip install --no-cache-dir --require-hashes --no-deps -r /dev/stdin
RUN /opt/venv/bin/pip install --no-cache-dir --require-hashes -r requirements/gpu.txt
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/app HF_HUB_DISABLE_TELEMETRY=1
COPY . .
RUN useradd --create-home --uid 1000 researcher && mkdir -p out && chown researcher out
USER 1000
CMD ["python", "-m", "jobs.gpu.continue_pretraining", "--help"]
