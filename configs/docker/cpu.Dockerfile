# docker build --file configs/docker/cpu.Dockerfile --tag REGISTRY/siglane:cpu .
# Every node of a cluster runs this image, and so does the head. configs/kuberay/ has manifests for it.
FROM python:3.11-slim

RUN useradd --create-home --uid 1000 ray
WORKDIR /home/ray
ENV PATH=/home/ray/venv/bin:$PATH \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1

# KubeRay's probes call wget.
RUN apt-get update && apt-get install --yes --no-install-recommends wget && rm -rf /var/lib/apt/lists/*

COPY --chown=ray pyproject.toml constraints.txt README.md source/
COPY --chown=ray siglip_core source/siglip_core
COPY --chown=ray pipeline source/pipeline
COPY --chown=ray scenes source/scenes
COPY --chown=ray jobs source/jobs
USER ray

RUN python -m venv venv
RUN pip install --quiet --constraint source/constraints.txt --index-url https://download.pytorch.org/whl/cpu torch==2.13.0
RUN pip wheel --quiet --no-deps --wheel-dir wheels source/
RUN pip install --quiet --constraint source/constraints.txt "$(ls wheels/siglane-*.whl)[s3,gcs,azure]"
RUN rm -r source wheels && siglane --version && siglane models
