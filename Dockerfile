FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY tusd_s3 tusd_s3
RUN python -m venv /opt/tusd-s3 && /opt/tusd-s3/bin/pip install --no-cache-dir .

FROM python:3.13-slim
RUN useradd --system --uid 1000 --no-create-home tusd && install -d -o tusd /data
COPY --from=build /opt/tusd-s3 /opt/tusd-s3
ENV PATH=/opt/tusd-s3/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    TUSD_HOST=0.0.0.0 \
    TUSD_PORT=8080 \
    TUSD_UPLOAD_DIR=/data
USER tusd
WORKDIR /data
VOLUME /data
EXPOSE 8080
# through the shell, so that another TUSD_PORT is followed
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s \
    CMD python -c "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"TUSD_PORT\"]}/health/ready', timeout=4)"
ENTRYPOINT ["tusd-s3"]
CMD ["serve"]
