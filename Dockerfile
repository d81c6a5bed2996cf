# The images: targets `sidecar`, `operator` and `azure-emulator`. `make image` builds all three; docs/images.md explains them.
# A base needs glibc, Python 3.11 or newer with its module venv, CA certificates, and what Azure's SDK links: OpenSSL 3,
# libstdc++, libuuid. The last stage runs nothing while it is built, and its programs need no shell.
ARG BASE=docker.io/library/python:3.13-slim-bookworm

FROM ${BASE} AS tools
ARG UV_VERSION=0.13.9
ARG PIP_INDEX_URL=
# the base's own certificates, or those that the secret `ca` brings: both tools would use a list of their own
ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    UV_NO_CACHE=1 \
    UV_PYTHON_DOWNLOADS=never \
    UV_COMPILE_BYTECODE=1 \
    PYC_INVALIDATION_MODE=UNCHECKED_HASH \
    VIRTUAL_ENV=/opt/speechpool
RUN --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    python3 -m venv /tools && /tools/bin/pip install --quiet uv==${UV_VERSION} && /tools/bin/uv venv --quiet ${VIRTUAL_ENV}
# the standard library's bytecode, which slim images leave out and a read-only root file system could never keep
RUN touch /before \
    && /opt/speechpool/bin/python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))' > /stdlib \
    && python3 -m compileall -q --invalidation-mode unchecked-hash \
       -x '/(site-packages|dist-packages|test|tests|idlelib|lib2to3|tkinter|turtledemo|ensurepip)/' "$(cat /stdlib)" \
    && mkdir -p /rootfs \
    && find "$(cat /stdlib)" -cnewer /before -name '*.pyc' -print0 | tar --create --null --files-from - | tar --extract --directory /rootfs \
    && install -d -m 1777 /rootfs/run/speechpool
WORKDIR /src
COPY pyproject.toml uv.lock ./

FROM tools AS wheel
ARG PIP_INDEX_URL=
ARG UV_DEFAULT_INDEX=${PIP_INDEX_URL}
COPY README.md LICENSE ./
COPY sidecar sidecar
COPY operator operator
RUN --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    /tools/bin/uv build --quiet --wheel --out-dir /wheel

# What an image needs of the lock file, and then the product in a layer of its own: an upgrade pulls little.
FROM tools AS sidecar-locked
ARG PIP_INDEX_URL=
ARG UV_DEFAULT_INDEX=${PIP_INDEX_URL}
ARG EXTRAS="sidecar local codecs azure"
RUN --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    /tools/bin/uv export --quiet --frozen --no-default-groups --no-emit-project $(printf -- '--extra %s ' ${EXTRAS}) --output-file /locked \
    && /tools/bin/uv pip install --quiet --require-hashes --requirement /locked
FROM sidecar-locked AS sidecar-product
COPY --from=wheel /wheel /wheel
RUN touch /before && /tools/bin/uv pip install --quiet --no-deps /wheel/*.whl && mkdir /product \
    && find /opt/speechpool -cnewer /before -type f -print0 | tar --create --null --files-from - | tar --extract --directory /product

FROM tools AS operator-locked
ARG PIP_INDEX_URL=
ARG UV_DEFAULT_INDEX=${PIP_INDEX_URL}
RUN --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    /tools/bin/uv export --quiet --frozen --no-default-groups --no-emit-project --extra operator --output-file /locked \
    && /tools/bin/uv pip install --quiet --require-hashes --requirement /locked
FROM operator-locked AS operator-product
COPY --from=wheel /wheel /wheel
RUN touch /before && /tools/bin/uv pip install --quiet --no-deps /wheel/*.whl && mkdir /product \
    && find /opt/speechpool -cnewer /before -type f -print0 | tar --create --null --files-from - | tar --extract --directory /product

FROM tools AS azure-emulator-locked
ARG PIP_INDEX_URL=
ARG UV_DEFAULT_INDEX=${PIP_INDEX_URL}
RUN --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    /tools/bin/uv export --quiet --frozen --no-default-groups --no-emit-project --extra azure-emulator --extra local --output-file /locked \
    && /tools/bin/uv pip install --quiet --require-hashes --requirement /locked
FROM azure-emulator-locked AS azure-emulator-product
COPY --from=wheel /wheel /wheel
RUN touch /before && /tools/bin/uv pip install --quiet --no-deps /wheel/*.whl && mkdir /product \
    && find /opt/speechpool -cnewer /before -type f -print0 | tar --create --null --files-from - | tar --extract --directory /product

# USER is for who asks for a name: the number has none in /etc/passwd.
FROM ${BASE} AS runtime
LABEL org.opencontainers.image.vendor="SpeechPool"
ENV PATH=/opt/speechpool/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    USER=speechpool
WORKDIR /
COPY --from=tools /rootfs/ /
# by number: a cluster can only prove of a number that it is not root; any other works as well
USER 65532:65532

FROM runtime AS operator
LABEL org.opencontainers.image.title="SpeechPool operator" \
      org.opencontainers.image.description="Gives SpeechPool sidecars their settings and tells their state; injects them into pods." \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=operator-locked /opt/speechpool /opt/speechpool
COPY --from=operator-product /product/ /
ENTRYPOINT ["/opt/speechpool/bin/speechpool-operator"]
CMD ["run"]

FROM runtime AS azure-emulator
LABEL org.opencontainers.image.title="SpeechPool's emulator of Azure Speech" \
      org.opencontainers.image.description="Answers like Azure Speech, for tests and for developing without an account." \
      org.opencontainers.image.licenses="Apache-2.0 AND GPL-3.0-or-later"
COPY --from=azure-emulator-locked /opt/speechpool /opt/speechpool
COPY --from=azure-emulator-product /product/ /
EXPOSE 7070
ENTRYPOINT ["/opt/speechpool/bin/speechpool-azure-emulator"]
CMD ["--host", "0.0.0.0"]

# last, so that a build that names no target makes it
FROM runtime AS sidecar
ARG LICENSES="Apache-2.0 AND GPL-3.0-or-later AND LicenseRef-Microsoft-Cognitive-Services-Speech-SDK"
LABEL org.opencontainers.image.title="SpeechPool sidecar" \
      org.opencontainers.image.description="Speech from clients that are already warm, over a Unix socket beside your application." \
      org.opencontainers.image.licenses="${LICENSES}"
COPY --from=sidecar-locked /opt/speechpool /opt/speechpool
COPY --from=sidecar-product /product/ /
ENV SPEECHPOOL_SOCKET=/run/speechpool/speechpool.sock
ENTRYPOINT ["/opt/speechpool/bin/speechpool"]
CMD ["serve"]
