# The service, on the CPU: docker build -t two-stage-search .
# On a GPU:                docker build -t two-stage-search:gpu --build-arg RUNTIME=gpu .
# Models are in the package; nothing is downloaded when it runs.
FROM python:3.12.12-slim-bookworm@sha256:593bd06efe90efa80dc4eee3948be7c0fde4134606dd40d8dd8dbcade98e669c AS build
ARG RUNTIME=cpu
WORKDIR /build
COPY requirements requirements
RUN python -m venv /opt/search \
    && /opt/search/bin/python -m pip install --no-cache-dir --require-hashes -r requirements/$RUNTIME.txt
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY search search
RUN /opt/search/bin/python -m pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.12.12-slim-bookworm@sha256:593bd06efe90efa80dc4eee3948be7c0fde4134606dd40d8dd8dbcade98e669c
RUN useradd --uid 10001 --no-create-home --home-dir /data search && mkdir /data && chown search:search /data
COPY --from=build /opt/search /opt/search
ENV PATH=/opt/search/bin:$PATH PYTHONDONTWRITEBYTECODE=1 SEARCH_DATA_DIR=/data SEARCH_SERVICE__HOST=0.0.0.0
ENV ORT_DISABLE_TELEMETRY=1 HF_HUB_DISABLE_TELEMETRY=1
USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s --retries=3 \
    CMD ["search", "health"]
ENTRYPOINT ["search"]
CMD ["serve", "--log", "json"]
