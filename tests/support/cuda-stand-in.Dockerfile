# A stand-in for NVIDIA's CUDA image with cuDNN: libraries with the right names and nothing in them. What is only
# looked up or opened is satisfied; nothing can be computed with it.
ARG BASE
FROM ${BASE} AS stubs
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev
ARG LIBRARIES
RUN mkdir -p /stubs && for name in ${LIBRARIES}; do \
        gcc -shared -Wl,-soname,"$name" -o "/stubs/$name" -x c /dev/null || exit; \
    done

FROM ${BASE}
COPY --from=stubs /stubs /usr/local/cuda/lib64
RUN echo /usr/local/cuda/lib64 > /etc/ld.so.conf.d/000_cuda.conf && ldconfig
