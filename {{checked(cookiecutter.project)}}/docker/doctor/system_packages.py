"""Map libraries to system packages, and Python packages to the libraries that they open later."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

OS_RELEASE = Path("/etc/os-release")

# By DT_SONAME; names as in Debian 12 and Ubuntu 22.04.
PACKAGES = {
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libGLX.so.0": "libglx0",
    "libOpenGL.so.0": "libopengl0",
    "libGLESv2.so.2": "libgles2",
    "libGLU.so.1": "libglu1-mesa",
    "libOSMesa.so.8": "libosmesa6",
    "libgbm.so.1": "libgbm1",
    "libdrm.so.2": "libdrm2",
    "libvulkan.so.1": "libvulkan1",
    "libOpenCL.so.1": "ocl-icd-libopencl1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libgobject-2.0.so.0": "libglib2.0-0",
    "libgio-2.0.so.0": "libglib2.0-0",
    "libgmodule-2.0.so.0": "libglib2.0-0",
    "libgomp.so.1": "libgomp1",
    "libgfortran.so.5": "libgfortran5",
    "libquadmath.so.0": "libquadmath0",
    "libatomic.so.1": "libatomic1",
    "libstdc++.so.6": "libstdc++6",
    "libgcc_s.so.1": "libgcc-s1",
    "libopenblas.so.0": "libopenblas0",
    "libturbojpeg.so.0": "libturbojpeg0",
    "libjpeg.so.62": "libjpeg62-turbo",
    "libpng16.so.16": "libpng16-16",
    "libz.so.1": "zlib1g",
    "libbz2.so.1.0": "libbz2-1.0",
    "liblzma.so.5": "liblzma5",
    "libexpat.so.1": "libexpat1",
    "libffi.so.8": "libffi8",
    "libsqlite3.so.0": "libsqlite3-0",
    "libcurl.so.4": "libcurl4",
    "libsndfile.so.1": "libsndfile1",
    "libportaudio.so.2": "libportaudio2",
    "libasound.so.2": "libasound2",
    "libpulse.so.0": "libpulse0",
    "libjack.so.0": "libjack-jackd2-0",
    "libespeak.so.1": "libespeak1",
    "libespeak-ng.so.1": "libespeak-ng1",
    "libsox.so.3": "libsox3",
    "libSM.so.6": "libsm6",
    "libICE.so.6": "libice6",
    "libX11.so.6": "libx11-6",
    "libX11-xcb.so.1": "libx11-xcb1",
    "libXext.so.6": "libxext6",
    "libXrender.so.1": "libxrender1",
    "libXi.so.6": "libxi6",
    "libXtst.so.6": "libxtst6",
    "libXrandr.so.2": "libxrandr2",
    "libXcursor.so.1": "libxcursor1",
    "libXinerama.so.1": "libxinerama1",
    "libXfixes.so.3": "libxfixes3",
    "libXdamage.so.1": "libxdamage1",
    "libXcomposite.so.1": "libxcomposite1",
    "libXt.so.6": "libxt6",
    "libXft.so.2": "libxft2",
    "libxcb.so.1": "libxcb1",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-image.so.0": "libxcb-image0",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-render-util.so.0": "libxcb-render-util0",
    "libxcb-render.so.0": "libxcb-render0",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxcb-shm.so.0": "libxcb-shm0",
    "libxcb-xinerama.so.0": "libxcb-xinerama0",
    "libxcb-xkb.so.1": "libxcb-xkb1",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
    "libwayland-client.so.0": "libwayland-client0",
    "libwayland-cursor.so.0": "libwayland-cursor0",
    "libwayland-egl.so.1": "libwayland-egl1",
    "libfontconfig.so.1": "libfontconfig1",
    "libfreetype.so.6": "libfreetype6",
    "libcairo.so.2": "libcairo2",
    "libpango-1.0.so.0": "libpango-1.0-0",
    "libpangocairo-1.0.so.0": "libpangocairo-1.0-0",
    "libpangoft2-1.0.so.0": "libpangoft2-1.0-0",
    "libharfbuzz.so.0": "libharfbuzz0b",
    "libgdk_pixbuf-2.0.so.0": "libgdk-pixbuf-2.0-0",
    "libgtk-3.so.0": "libgtk-3-0",
    "libgdk-3.so.0": "libgtk-3-0",
    "libatk-1.0.so.0": "libatk1.0-0",
    "libdbus-1.so.3": "libdbus-1-3",
    "libnss3.so": "libnss3",
    "libcups.so.2": "libcups2",
    "libtk8.6.so": "libtk8.6",
    "libtcl8.6.so": "libtcl8.6",
    "libzbar.so.0": "libzbar0",
    "libmagic.so.1": "libmagic1",
    "libtesseract.so.5": "libtesseract5",
    "libtesseract.so.4": "libtesseract4",
    "libusb-1.0.so.0": "libusb-1.0-0",
    "libudev.so.1": "libudev1",
    "libv4l2.so.0": "libv4l-0",
    "libpq.so.5": "libpq5",
    "libodbc.so.2": "libodbc2",
    "libsnappy.so.1": "libsnappy1v5",
    "libibverbs.so.1": "libibverbs1",
    "librdmacm.so.1": "librdmacm1",
    "libnuma.so.1": "libnuma1",
}
# The libraries of FFmpeg and Python have a release number in their names.
PATTERNS = {
    r"lib(avcodec|avformat|avutil|avfilter|avdevice|swscale|swresample)\.so\.\d+": "ffmpeg",
    r"libpython(3\.\d+)\.so\.1\.0": r"libpython\1",
}
# Ubuntu 24.04 and Debian 13 add t64 to these names (64-bit time_t).
RENAMED = re.compile(
    r"lib(asound2|atk1\.0-0|cups2|curl4|glib2\.0-0|gtk-3-0|magic1|png16-16|python3.*|rdmacm1|v4l-0|xt6|"
    r"zbar0)"
)
ON_UBUNTU = {"libturbojpeg0": "libturbojpeg", "libjpeg62-turbo": "libjpeg62"}

# Packages that open a library by its name, without DT_NEEDED. One of the names is enough.
OPENED_LATER = {
    "pyturbojpeg": ("libturbojpeg.so.0",),
    "soundfile": ("libsndfile.so.1",),
    "sounddevice": ("libportaudio.so.2",),
    "python-magic": ("libmagic.so.1",),
    "pyzbar": ("libzbar.so.0",),
    "pyttsx3": ("libespeak-ng.so.1", "libespeak.so.1"),
    "phonemizer": ("libespeak-ng.so.1", "libespeak.so.1"),
    "cairocffi": ("libcairo.so.2",),
    "weasyprint": ("libpango-1.0.so.0",),
    "pyusb": ("libusb-1.0.so.0",),
    "torchcodec": tuple(f"libavutil.so.{number}" for number in range(56, 62)),
    "pyopengl": ("libGL.so.1", "libEGL.so.1", "libOSMesa.so.8"),
}
# The same for a library of CUDA, with the package that has it.
CUDA_OPENED_LATER = {"ctranslate2": ("libcublas.so.12", "nvidia-cublas-cu12")}


def apt_package(library: str) -> str:
    """Return the system package with a library in this image's release, "" if unknown."""
    package = PACKAGES.get(library, "")
    for pattern, name in PATTERNS.items():
        if match := re.fullmatch(pattern, library):
            package = match.expand(name)
    return for_this_release(package) if package else ""


def for_this_release(package: str) -> str:
    """Return the name of Debian 12's package in the release of this image."""
    text = OS_RELEASE.read_text(encoding="utf-8") if OS_RELEASE.is_file() else ""
    release = dict(re.findall(r'^(ID|VERSION_ID)="?([\w.]+)"?$', text, re.MULTILINE))
    name, number = release.get("ID", ""), release.get("VERSION_ID", "0").split(".")[0]
    if name == "ubuntu":
        package = ON_UBUNTU.get(package, package)
    since = {"ubuntu": 24, "debian": 13}.get(name)
    renamed = since and int(number) >= since and RENAMED.fullmatch(package)
    return f"{package}t64" if renamed else package


def advice(libraries: Iterable[str]) -> str:
    """Return what to type to add these libraries to the image."""
    packages = {library: apt_package(library) for library in libraries}
    known = " ".join(dict.fromkeys(filter(None, packages.values())))
    unknown = [library for library, package in packages.items() if not package]
    others = [f"the package that has {library}" for library in unknown]
    names = " and ".join(filter(None, [known, *others]))
    return f"add {names} to docker/apt-packages.txt; docker compose build"
