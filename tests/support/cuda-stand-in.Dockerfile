# A stand-in for NVIDIA's CUDA image with cuDNN: empty libraries that can be found and opened, but not used.
ARG BASE
FROM ${BASE} AS stubs
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev
ARG LIBRARIES
RUN mkdir -p /stubs && for name in ${LIBRARIES}; do \
        gcc -shared -Wl,-soname,"$name" -o "/stubs/$name" -x c /dev/null || exit; \
    done

FROM ${BASE}
COPY --from=stubs /stubs /usr/local/cuda/lib64
# NVIDIA's forward-compatibility library
RUN mkdir -p /usr/local/cuda/compat && touch /usr/local/cuda/compat/libcuda.so.1
RUN echo /usr/local/cuda/lib64 > /etc/ld.so.conf.d/000_cuda.conf && ldconfig
