# Two images from one file: `docker build --target api .` (no torch) and `docker build --target worker .`
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS base
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN useradd --uid 10001 --create-home ddoq && install --directory --owner=ddoq /scratch
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY ddoq ddoq
COPY jobs jobs
COPY api api
COPY worker worker
COPY cli cli
COPY ddoq_client ddoq_client
COPY migrations migrations

FROM base AS api
RUN pip install --constraint constraints.txt '.[api]'
WORKDIR /home/ddoq
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=10s --start-period=20s \
    CMD ["python", "-c", "import httpx; httpx.get('http://127.0.0.1:8000/healthz').raise_for_status()"]
CMD ["python", "-m", "api", "--host", "0.0.0.0", "--port", "8000"]

FROM base AS worker
# For another accelerator name its index, for example https://download.pytorch.org/whl/cu130
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN pip install --constraint constraints.txt --extra-index-url "${TORCH_INDEX}" '.[worker]'
WORKDIR /home/ddoq
USER 10001
ENV DDOQ_SCRATCH=/scratch
VOLUME /scratch
STOPSIGNAL SIGTERM
CMD ["python", "-m", "worker"]
