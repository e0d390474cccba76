# Three images from one file:
#
#   docker build --target api .           no torch
#   docker build --target worker .        torch for the CPU
#   docker build --target worker-cuda .   torch for NVIDIA GPUs
#
# Each runs as uid 10001 from a read-only root: /tmp (a tmpfs does) and /scratch (a volume) are all that is written to.
# The base is pinned by the tag of a minor version, that of the tests. Its digest is for whoever builds to look up:
# --build-arg BASE=python:3.11-slim-bookworm@sha256:...
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 VIRTUAL_ENV=/venv
# Filled from outside: what the images get of it has neither pip nor setuptools.
RUN python -m venv --without-pip "${VIRTUAL_ENV}"
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE ./

# What the project asks for comes first, in a layer that a change of the code leaves as it is: the packages of the
# project are not here yet, and an empty one is installed. setuptools, which builds it, is all that is not locked.
FROM build AS build-api
RUN pip --python "${VIRTUAL_ENV}/bin/python" install --constraint constraints.txt '.[api,otel]'
COPY . .
RUN pip --python "${VIRTUAL_ENV}/bin/python" install --no-deps --force-reinstall .

FROM build AS build-worker
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN pip --python "${VIRTUAL_ENV}/bin/python" install --constraint constraints.txt \
    --extra-index-url "${TORCH_INDEX}" '.[worker,otel]'
COPY . .
RUN pip --python "${VIRTUAL_ENV}/bin/python" install --no-deps --force-reinstall .

FROM build AS build-worker-cuda
ARG CUDA_TORCH_INDEX=https://download.pytorch.org/whl/cu130
RUN pip --python "${VIRTUAL_ENV}/bin/python" install --constraint constraints.txt \
    --extra-index-url "${CUDA_TORCH_INDEX}" '.[worker,otel]'
COPY . .
RUN pip --python "${VIRTUAL_ENV}/bin/python" install --no-deps --force-reinstall .

FROM ${BASE} AS runtime
ARG REVISION=unknown
LABEL org.opencontainers.image.title="ddoq" \
    org.opencontainers.image.description="Dataset distillation as a service" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="0.1.0" \
    org.opencontainers.image.revision="${REVISION}"
ENV VIRTUAL_ENV=/venv PATH=/venv/bin:${PATH} PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONSAFEPATH=1 HOME=/tmp
RUN useradd --uid 10001 --home-dir /tmp --no-create-home --shell /usr/sbin/nologin ddoq \
    && install --directory --owner=ddoq --group=ddoq /scratch
VOLUME /scratch
USER 10001:10001
STOPSIGNAL SIGTERM

FROM runtime AS api
COPY --from=build-api /venv /venv
# A dataset that is looked at before there is a job may take gigabytes: not in memory.
ENV TMPDIR=/scratch
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["python", "-m", "api", "--host", "0.0.0.0", "--port", "8000"]

FROM runtime AS runtime-worker
# Compiled kernels and models of the hub outlive a restart; torch does not compile, since no compiler is here.
ENV DDOQ_SCRATCH=/scratch XDG_CACHE_HOME=/scratch/cache NUMBA_CACHE_DIR=/scratch/cache/numba TORCHDYNAMO_DISABLE=1
HEALTHCHECK --interval=30s --timeout=20s --start-period=120s CMD ["python", "-m", "worker.health"]
CMD ["python", "-m", "worker"]

FROM runtime-worker AS worker
COPY --from=build-worker /venv /venv

# No image of NVIDIA's below: torch's wheels bring CUDA, and the driver comes from the host with its container toolkit,
# which looks at these two variables.
FROM runtime-worker AS worker-cuda
COPY --from=build-worker-cuda /venv /venv
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
