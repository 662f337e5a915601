# Behaves as the guide's Dockerfile on top of it: a project's wheel, gosu, the entrypoint.
ARG INFERENCE
FROM ${INFERENCE}

WORKDIR /code

# upstream clones it from GitHub
COPY package /usr/local/package
RUN cd /usr/local/package \
    && python setup.py --quiet bdist_wheel \
    && pip install --no-index dist/*.whl \
    && cd / && rm -rf /usr/local/package

RUN apt-get update && apt-get install --yes gosu && rm -rf /var/lib/apt/lists/*

COPY entrypoint.sh /entrypoint.sh
RUN chmod +x /entrypoint.sh

ENTRYPOINT ["/bin/bash", "/entrypoint.sh"]
