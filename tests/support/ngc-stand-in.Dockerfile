# A stand-in for NVIDIA's PyTorch image: PyTorch and NumPy in the system's Python, pip constrained to their
# versions, an OpenCV under another name, a pytest that sees only the system's packages.
ARG BASE
FROM ${BASE}
ARG TORCH_INDEX
ARG PACKAGES
RUN apt-get update && apt-get install --yes --no-install-recommends python3 python3-pip
RUN --mount=type=secret,id=ca \
    cat /etc/ssl/certs/ca-certificates.crt /run/secrets/ca > /dev/shm/ca 2>/dev/null; \
    PIP_CERT=/dev/shm/ca python3 -m pip install --break-system-packages --no-cache-dir \
        --extra-index-url "${TORCH_INDEX}" ${PACKAGES} numpy==2.2.6 opencv-python-headless==4.12.0.88 pytest \
    && cd /usr/local/lib/python3*/dist-packages \
    && mv opencv_python_headless-*.dist-info opencv-4.12.0.dist-info \
    && sed -i 's/^Name: .*/Name: opencv/; s/^Version: .*/Version: 4.12.0/' opencv-4.12.0.dist-info/METADATA \
    && mkdir -p /etc/pip && python3 -m pip freeze > /etc/pip/constraint.txt && echo uv==0.1.0 >> /etc/pip/constraint.txt
ENV PIP_CONSTRAINT=/etc/pip/constraint.txt
