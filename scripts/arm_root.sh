#!/usr/bin/env bash
# A board's file system without the board: Debian for arm64 with its Python, and in it
# effnet-lite as `pip install effnet-lite` leaves it there. qemu-aarch64-static runs its
# programs; neither root's rights nor binfmt_misc are needed.
#
#   scripts/arm_root.sh                    # installs the working tree
#   scripts/arm_root.sh dist/*.whl         # installs a wheel
#   EFFNET_LITE_ARM_ROOT=build/arm/root python -m pytest tests/slow/test_arm.py
#
# Needs Debian on any processor (its release is the board's) and a Python with pip: PYTHON, or
# .venv's, or python3. Packages are fetched once and kept in build/arm; the last line that it
# prints is the root.
set -euo pipefail
cd "$(dirname "$0")/.."

wheel=${1:+$(realpath "$1")}
python=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}
work=$PWD/build/arm
root=$work/root
site=$root/usr/lib/python3/dist-packages
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

say() { echo "arm_root: $*" >&2; }

for program in apt-get dpkg-deb "$python"; do
    command -v "$program" > /dev/null || { say "needs $program and Debian"; exit 1; }
done

# The host's sources and keys, but architecture, lists and packages of its own: nothing of
# the host changes, and "dpkg --add-architecture" is not needed.
unpack_debian() {
    local apt=$work/apt package
    rm -rf "$apt" "$root" "$work/requirements"
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$root"
    : > "$apt/status" # nothing is installed there
    cat > "$apt/apt.conf" << CONF
#clear APT::Architectures;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Dir::State "$apt";
Dir::State::Lists "$apt/lists";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
Dir::Cache::archives "$apt/cache/archives";
CONF
    # Others' sources may have nothing for arm64; what Debian lacks, the next line says.
    apt-get -c "$apt/apt.conf" -qq update >&2 || true
    apt-get -c "$apt/apt.conf" -qq --yes --no-install-recommends --download-only \
        install python3 libstdc++6 >&2
    for package in "$apt"/cache/archives/*.deb; do
        dpkg-deb --extract "$package" "$root"
    done
    touch "$work/debian"
}

# pip for the board's Python and any manylinux that its C library (2.36 on Debian 12) allows.
install() {
    local version minor glibc platforms=()
    version=$(basename "$(readlink "$root/usr/bin/python3")")
    glibc=$(basename "$work"/apt/cache/archives/libc6_*.deb) # libc6_2.36-9+deb12u14_arm64.deb
    glibc=${glibc#libc6_2.}
    glibc=${glibc%%[!0-9]*}
    for ((minor = glibc; minor >= 17; minor--)); do
        platforms+=(--platform "manylinux_2_${minor}_aarch64")
    done
    "$python" -m pip install --quiet --no-warn-conflicts --upgrade \
        --target "$site" --only-binary :all: --implementation cp \
        --python-version "${version#python}" "${platforms[@]}" "$@" >&2
}

# In a copy: setuptools puts what an earlier build left in build/lib into the wheel, too.
build_wheel() {
    local copy=$work/source
    rm -rf "$copy" "$work/wheel"
    mkdir -p "$copy"
    cp -r setup.cfg pyproject.toml README.md LICENSE NOTICE src lite quantize benchmark "$copy"
    "$python" -m pip wheel --quiet --no-deps --wheel-dir "$work/wheel" "$copy" >&2
    wheel=$(echo "$work"/wheel/*.whl)
}

mkdir -p "$work"
[ -e "$work/debian" ] || { say "Debian for arm64"; unpack_debian; }
[ -n "$wheel" ] || { say "a wheel of the working tree"; build_wheel; }

# What is installed there is installed again when the wheel asks for something else.
requires=$("$python" -c 'import importlib.metadata, sys
print(*next(importlib.metadata.distributions(path=sys.argv[1:])).requires, sep="\n")' "$wheel")
rm -rf "$site"/effnet_lite*
if [ "$requires" = "$(cat "$work/requirements" 2> /dev/null)" ]; then
    install --no-deps "$wheel"
else
    say "its dependencies for aarch64"
    install "$wheel"
    echo "$requires" > "$work/requirements"
fi
say "$(basename "$wheel") is installed"
echo "$root"
