# A headless browser for the tests: Debian's Chromium.
ARG BASE
FROM ${BASE}
RUN rm -f /etc/apt/apt.conf.d/docker-clean && apt-get update \
    && apt-get install --yes --no-install-recommends chromium fonts-dejavu-core
ENTRYPOINT ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--user-data-dir=/tmp/profile"]
