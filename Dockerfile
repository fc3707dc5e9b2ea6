# The page of `catsdogs serve`, with the weights of the three EfficientNet-Lites inside.
# docs/install.md has the lines to build and run it.
FROM python:3.11-slim

ENV PIP_NO_CACHE_DIR=1 PYTHONUNBUFFERED=1 XDG_CACHE_HOME=/opt/cache
COPY pyproject.toml README.md LICENSE constraints.txt /src/
COPY catsdogs /src/catsdogs
RUN pip install "/src[lite]" -c /src/constraints.txt && rm -r /src

# Networks are exported now, so that the page is ready in seconds and the container needs no cache to write to.
RUN python -c "from catsdogs.networks.choice import choose; from catsdogs.networks.table import SHORTHANDS; \
from catsdogs.networks.weights import obtain; \
from catsdogs.networks.engines.export import exported; \
[exported(backbone, obtain(backbone, None)) for backbone in choose(SHORTHANDS['lite'])]" \
    && chmod -R a+rX /opt/cache

RUN useradd --create-home catsdogs && mkdir /weights
USER catsdogs
# Your folder with features/ and submissions/ is mounted here; weights of other networks at /weights.
WORKDIR /work
ENV CATSDOGS_WEIGHTS=/weights
EXPOSE 5000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:5000/healthz', timeout=4)"]
# Python ends in good order on Ctrl-C's signal; as the first process of a container it would not heed the usual one.
STOPSIGNAL SIGINT
ENTRYPOINT ["catsdogs"]
CMD ["serve", "--host", "0.0.0.0"]
