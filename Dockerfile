# A server for a trained model, on a CPU: docs/serving.md says how to run it.
#
#   docker build -t llmcourse .
#   docker run --rm -p 127.0.0.1:8000:8000 -v "$PWD/runs/mine:/run-of-mine:ro" llmcourse /run-of-mine

FROM python:3.12-slim

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    OMP_WAIT_POLICY=PASSIVE

WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY llmcourse llmcourse
COPY jupyter-data jupyter-data

# PyTorch's own index has a build without CUDA, which is gigabytes smaller.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN pip install --no-deps --constraint constraints.txt --index-url "$TORCH_INDEX" torch \
    && pip install --constraint constraints.txt ".[serve]" \
    && useradd --system --no-create-home --shell /usr/sbin/nologin llmcourse

USER llmcourse
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health', timeout=4)"]

# In a container every address is the container's own: what `docker run -p` opens decides.
ENTRYPOINT ["python", "-m", "llmcourse.serve", "--host", "0.0.0.0", "--port", "8000"]
CMD ["/run-of-mine"]
