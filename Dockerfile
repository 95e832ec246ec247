# For NVIDIA GPUs:   docker build -t lora_lightning:gpu .
# torch and CUDA are the base image's; docker/install.sh leaves them as they are.
FROM nvcr.io/nvidia/pytorch:25.03-py3

WORKDIR /app
COPY pyproject.toml hatch_build.py constraints.txt README.md LICENSE ./
COPY docker docker
COPY lora_lightning lora_lightning
COPY hydra_plugins hydra_plugins
RUN sh docker/install.sh
COPY . .

# Data, results and caches are volumes that any user may write to: docker run --user also works.
ENV HOME=/cache LOGNAME=lora HF_HOME=/cache/huggingface WANDB_CACHE_DIR=/cache/wandb WANDB_DATA_DIR=/cache/wandb \
    MPLCONFIGDIR=/cache/matplotlib TORCHINDUCTOR_CACHE_DIR=/cache/inductor
ARG UID=1000
RUN getent passwd "$UID" >/dev/null || useradd --create-home --uid "$UID" lora; \
    mkdir -p data/raw outputs /cache && chmod a+rwx data/raw outputs /cache
VOLUME ["/app/data/raw", "/app/outputs", "/cache"]
USER $UID

CMD ["python", "-m", "lora_lightning.doctor"]
