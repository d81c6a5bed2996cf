# The images: targets `sidecar`, `operator` and `azure-emulator`. `make image` builds all three; docs/images.md explains them.
# BASE needs glibc, Python 3.11 or newer, CA certificates, and what Azure's SDK links: OpenSSL 3, libstdc++, libuuid.
# BUILD_BASE is where the build runs: the same Python at the same place, with its module venv, a shell, find and tar.
ARG BASE=docker.io/library/python:3.13-slim-bookworm
ARG BUILD_BASE=${BASE}

FROM ${BUILD_BASE} AS build-base
# whatever user the base has
USER 0:0
# the base's own certificates, or those that the secret `ca` brings: pip and uv would use lists of their own
# no bytecode on the way: what pip leaves in the standard library would be taken for the base's own below
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    PYTHONDONTWRITEBYTECODE=1
RUN --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    refuse() { echo "the base will not do: $1" >&2; exit 1; }; \
    command -v python3 >/dev/null || refuse "it has no python3"; \
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || refuse "it has $(python3 --version), SpeechPool needs 3.11 or newer"; \
    python3 -c 'import os; os.confstr("CS_GNU_LIBC_VERSION")' 2>/dev/null || refuse "it has no glibc (Alpine has musl)"; \
    python3 -c 'import ensurepip, venv' 2>/dev/null || refuse "its Python has no module venv (python3-venv in Debian)"; \
    test -s "${SSL_CERT_FILE}" || refuse "it has no ${SSL_CERT_FILE}: install ca-certificates, or build with CA=FILE"

# uv as the lock file has it. A stage of its own, so that other changes of that file do not build `tools` again.
FROM build-base AS uv
COPY uv.lock /
RUN python3 -c 'import tomllib; packages = tomllib.load(open("/uv.lock", "rb"))["package"]; \
[uv] = [each for each in packages if each["name"] == "uv"]; \
print("uv==" + uv["version"], *("--hash=" + wheel["hash"] for wheel in uv["wheels"]))' > /uv.txt

FROM build-base AS tools
ARG PIP_INDEX_URL=
ENV PIP_CERT=${SSL_CERT_FILE} \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PYTHONHASHSEED=0 \
    UV_NO_CACHE=1 \
    UV_NO_INSTALLER_METADATA=1 \
    UV_PYTHON_DOWNLOADS=never \
    VIRTUAL_ENV=/opt/speechpool
COPY --from=uv /uv.txt /
RUN --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    python3 -m venv /tools \
    && /tools/bin/pip install --quiet --no-deps --only-binary :all: --require-hashes --requirement /uv.txt
# The same sources make the same layers: bytecode is made by one process in one order, and all files have the same time.
# First the standard library's, which slim images leave out and a read-only root file system could never keep: what BASE
# has none of, or all of it where the build sees another's.
ARG BASE
ARG BUILD_BASE
RUN touch /before \
    && stdlib="$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" \
    && python3 -m compileall -q --invalidation-mode unchecked-hash $(test "${BASE}" = "${BUILD_BASE}" || echo -f) \
       -x '/(site-packages|dist-packages|test|tests|idlelib|lib2to3|tkinter|turtledemo|ensurepip)/' "$stdlib" \
    && mkdir /rootfs && cd / \
    && find "${stdlib#/}" -cnewer /before -name '*.pyc' -print0 | tar --create --null --files-from - | tar --extract --directory /rootfs \
    && install -d -m 1777 /rootfs/run/speechpool \
    && find /rootfs -exec touch --no-dereference --date=@0 {} +
RUN printf '%s\n' '#!/bin/sh -e' \
      '# settle FILE...: compile, and put the files into /packages, from where an image copies them' \
      '/opt/speechpool/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/speechpool/lib' \
      'cd / && rm -f opt/speechpool/.lock opt/speechpool/CACHEDIR.TAG' \
      'mkdir /packages && tar --create "$@" | tar --extract --directory /packages && rm -r opt/speechpool' \
      'find /packages -exec touch --no-dereference --date=@0 {} +' > /tools/bin/settle && chmod +x /tools/bin/settle

# What each image needs of the lock file: a release that changes nothing but the version installs nothing of it again.
FROM tools AS locked
WORKDIR /src
COPY pyproject.toml uv.lock ./
ARG EXTRAS="sidecar local codecs azure"
RUN locked() { \
      name=$1; shift; \
      /tools/bin/uv export --quiet --frozen --no-header --no-annotate --no-emit-project --output-file /locked/$name "$@"; \
    }; \
    mkdir /locked \
    && locked sidecar --no-default-groups $(printf -- '--extra %s ' ${EXTRAS}) \
    && locked operator --no-default-groups --extra operator \
    && locked azure-emulator --no-default-groups --extra azure-emulator --extra local \
    && locked build --only-group build

FROM tools AS sidecar-packages
ARG PIP_INDEX_URL=
ARG UV_DEFAULT_INDEX=${PIP_INDEX_URL}
COPY --from=locked /locked/sidecar /locked
RUN --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    /tools/bin/uv venv --quiet ${VIRTUAL_ENV} \
    && /tools/bin/uv pip install --quiet --no-build --require-hashes --requirement /locked \
    && /tools/bin/settle opt/speechpool

FROM tools AS operator-packages
ARG PIP_INDEX_URL=
ARG UV_DEFAULT_INDEX=${PIP_INDEX_URL}
COPY --from=locked /locked/operator /locked
RUN --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    /tools/bin/uv venv --quiet ${VIRTUAL_ENV} \
    && /tools/bin/uv pip install --quiet --no-build --require-hashes --requirement /locked \
    && /tools/bin/settle opt/speechpool

FROM tools AS azure-emulator-packages
ARG PIP_INDEX_URL=
ARG UV_DEFAULT_INDEX=${PIP_INDEX_URL}
COPY --from=locked /locked/azure-emulator /locked
RUN --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    /tools/bin/uv venv --quiet ${VIRTUAL_ENV} \
    && /tools/bin/uv pip install --quiet --no-build --require-hashes --requirement /locked \
    && /tools/bin/settle opt/speechpool

# The product in a layer of its own, the same in each image: an upgrade pulls little.
FROM tools AS product
ARG PIP_INDEX_URL=
ARG UV_DEFAULT_INDEX=${PIP_INDEX_URL}
COPY --from=locked /locked/build /locked
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY sidecar sidecar
COPY operator operator
RUN --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    /tools/bin/uv build --quiet --wheel --build-constraints /locked --require-hashes --out-dir /wheel
WORKDIR /
RUN /tools/bin/uv venv --quiet ${VIRTUAL_ENV} \
    && /tools/bin/uv pip install --quiet --no-deps /wheel/*.whl \
    && /tools/bin/settle opt/speechpool/bin/speechpool* opt/speechpool/lib/python*/site-packages/speechpool*

# USER is for who asks for a name: the number has none in /etc/passwd.
FROM ${BASE} AS runtime
LABEL org.opencontainers.image.vendor="SpeechPool"
ENV PATH=/opt/speechpool/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    USER=speechpool
STOPSIGNAL SIGTERM
WORKDIR /
COPY --from=tools /rootfs/ /
# by number: a cluster can only prove of a number that it is not root; any other works as well
USER 65532:65532

FROM runtime AS operator
LABEL org.opencontainers.image.title="SpeechPool operator" \
      org.opencontainers.image.description="Gives SpeechPool sidecars their settings and tells their state; injects them into pods." \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=operator-packages /packages/ /
COPY --from=product /packages/ /
ENTRYPOINT ["/opt/speechpool/bin/speechpool-operator"]
CMD ["run"]

FROM runtime AS azure-emulator
LABEL org.opencontainers.image.title="SpeechPool's emulator of Azure Speech" \
      org.opencontainers.image.description="Answers like Azure Speech, for tests and for developing without an account." \
      org.opencontainers.image.licenses="Apache-2.0 AND LGPL-2.1-or-later AND GPL-3.0-or-later"
COPY --from=azure-emulator-packages /packages/ /
COPY --from=product /packages/ /
EXPOSE 7070
ENTRYPOINT ["/opt/speechpool/bin/speechpool-azure-emulator"]
CMD ["--host", "0.0.0.0"]

# last, so that a build that names no target makes it
FROM runtime AS sidecar
ARG LICENSES="Apache-2.0 AND LGPL-2.1-or-later AND GPL-3.0-or-later AND MPL-2.0 AND LicenseRef-Microsoft-Cognitive-Services-Speech-SDK"
LABEL org.opencontainers.image.title="SpeechPool sidecar" \
      org.opencontainers.image.description="Speech from clients that are already warm, over a Unix socket beside your application." \
      org.opencontainers.image.licenses="${LICENSES}"
COPY --from=sidecar-packages /packages/ /
COPY --from=product /packages/ /
ENV SPEECHPOOL_SOCKET=/run/speechpool/speechpool.sock
ENTRYPOINT ["/opt/speechpool/bin/speechpool"]
CMD ["serve"]
