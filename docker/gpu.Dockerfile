# The model side: torch with CUDA, no Spark. Build at the project's root:
#   docker build -f docker/gpu.Dockerfile -t semantic-pivots-gpu .
#   docker run --rm --gpus all -v "$PWD/out:/app/out" semantic-pivots-gpu \
#       torchrun --nproc-per-node=8 jobs/gpu/continue_pretraining.py --config conf/olmo-1b.toml
FROM python:3.11-slim-bookworm

# torch.compile builds kernels with a C compiler.
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /app
COPY requirements/gpu.txt requirements/
RUN pip install --no-cache-dir --require-hashes -r requirements/gpu.txt
ENV PYTHONPATH=/app HF_HUB_DISABLE_TELEMETRY=1
COPY . .
RUN useradd --create-home researcher && mkdir -p out && chown researcher out
USER researcher
CMD ["python", "jobs/gpu/continue_pretraining.py", "--help"]
