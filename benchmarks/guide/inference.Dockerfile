# Behaves as the guide's inference image: system packages, then pip into the system's Python, as root.
# `make bench` builds it a second time with a SYSTEM_PACKAGES cut to what Python and the guide's `git clone` need.
ARG BASE
FROM ${BASE}

ENV PYTHONDONTWRITEBYTECODE=1 \
    DEBIAN_FRONTEND=noninteractive \
    PIP_BREAK_SYSTEM_PACKAGES=1

# upstream's list, with the names that Debian and Ubuntu share
ARG SYSTEM_PACKAGES="tzdata wget git git-lfs libturbojpeg0-dev libimage-exiftool-perl ffmpeg poppler-utils libpng-dev \
    libtiff-dev libjpeg-dev libopenjp2-7-dev zlib1g-dev gcc libfreetype6-dev liblcms2-dev libwebp-dev tcl8.6-dev \
    tk8.6-dev python3-tk python3-pip libharfbuzz-dev libfribidi-dev libxcb1-dev libfftw3-dev gosu libpq-dev \
    python3-dev libc6"
RUN apt-get update && apt-get upgrade --yes \
    && apt-get install --yes --no-install-recommends ${SYSTEM_PACKAGES} \
    && apt-get clean && rm -rf /var/lib/apt/lists/* \
    && ln -s /usr/bin/python3 /usr/bin/python

# The secret and the argument are added for downloads behind some proxies.
ARG PIP_INDEX_URL
RUN --mount=type=secret,id=ca,target=/ca.pem \
    if [ -s /ca.pem ]; then export PIP_CERT=/ca.pem; fi \
    && python -m pip install --no-cache-dir --upgrade pip setuptools wheel

COPY requirements.txt /usr/local/packages/
RUN --mount=type=secret,id=ca,target=/ca.pem \
    if [ -s /ca.pem ]; then export PIP_CERT=/ca.pem; fi \
    && python -m pip install --no-cache-dir --requirement /usr/local/packages/requirements.txt \
    && rm -rf /usr/local/packages

WORKDIR /code
