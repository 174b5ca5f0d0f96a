# Sourced by the scripts beside this folder; leaves $PYTHON and a PATH that begins with the clone's virtual environment.
#
# What a run may touch: the package manager (only when something is missing), .venv inside the clone,
# and the cache below $XDG_CACHE_HOME/push-jobs. Quick when there is nothing to do.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
VENV=$ROOT/.venv
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/push-jobs
DISTRIBUTIONS=(wire agent server workstation)

# Debian package : the module that proves it is there.
RUN_PACKAGES="python3-bottle:bottle python3-cheroot:cheroot python3-zmq:zmq python3-cryptography:cryptography
python3-requests:requests python3-yaml:yaml python3-sqlalchemy:sqlalchemy python3-alembic:alembic python3-click:click
python3-rich:rich python3-setuptools:setuptools python3-wheel:wheel python3-venv:ensurepip python3-pip:pip"
TEST_PACKAGES="python3-pytest:pytest python3-pytest-xdist:xdist python3-hypothesis:hypothesis python3-psycopg2:psycopg2
python3-psutil:psutil"
CHECK_PACKAGES="mypy:mypy isort:isort black:black flake8:flake8"

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

modules() { # modules LIST: the module names of a package list
    local pair
    for pair in $1; do printf '%s ' "${pair#*:}"; done
}

packages() { # packages LIST: the Debian package names of a package list
    local pair
    for pair in $1; do printf '%s ' "${pair%%:*}"; done
}

can_import() { # can_import PYTHON LIST
    local python=$1
    shift
    # shellcheck disable=SC2046  # words are wanted
    "$python" -c 'import importlib.util, sys
sys.exit(sys.version_info < (3, 9) or any(importlib.util.find_spec(name) is None for name in sys.argv[1:]))' \
        $(modules "$1") 2>/dev/null
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
    mkdir -p "$CACHE"
    { "${sudo[@]}" apt-get update -qq &&
        "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; } \
        >"$CACHE/apt.log" 2>&1 || { say "apt-get failed; its words are in $CACHE/apt.log"; return 1; }
}

from_index() { # from_index LIST: Debian's packages can't be had: a plain virtual environment, filled by pip
    local base extra=()
    base=$(command -v "${PUSHJOBS_PYTHON:-python3}") || die "no python3 found; install Python 3.9 or later"
    "$base" -c 'import sys; sys.exit(sys.version_info < (3, 9))' || die "$base is older than Python 3.9"
    say "Debian's packages can't be had here; using pip and $base"
    "$base" -m venv "$VENV" || die "$base cannot make a virtual environment"
    case " $1 " in *pytest*) extra+=(pytest pytest-xdist hypothesis psutil psycopg2-binary) ;; esac
    case " $1 " in *mypy*) extra+=(mypy isort black flake8 types-requests types-PyYAML types-psutil types-psycopg2) ;; esac
    (cd "$ROOT" && "$VENV/bin/python" -m pip install -q $(printf -- '-e ./%s ' "${DISTRIBUTIONS[@]}") "${extra[@]}") ||
        die "pip could not install what is needed: give this machine a package index, or on Debian run: apt-get install $(packages "$1")"
}

from_debian() { # from_debian PYTHON: a virtual environment that sees Debian's packages; nothing is fetched
    "$1" -m venv --system-site-packages --without-pip "$VENV" || die "$1 cannot make a virtual environment in $VENV"
    (cd "$ROOT" && "$VENV/bin/python" -m pip install -q --no-build-isolation --no-deps --no-index \
        --root-user-action=ignore $(printf -- '-e ./%s ' "${DISTRIBUTIONS[@]}")) &&
        [ -x "$VENV/bin/push-jobs" ] || die "the project could not be installed into $VENV"
}

fingerprint() { # what the virtual environment was made from
    cat "$ROOT/scripts/lib/setup.sh" "${DISTRIBUTIONS[@]/%//pyproject.toml}" 2>/dev/null | cksum
    printf '%s\n' "$ROOT"
}

setup() { # setup LIST: make sure of everything in LIST, then of the virtual environment
    local list=$1 stamp
    cd "$ROOT" || die "no such folder: $ROOT"
    stamp=$(fingerprint)
    if [ "$(cat "$VENV/stamp" 2>/dev/null)" != "$stamp" ] || ! can_import "$VENV/bin/python" "$list"; then
        local python
        python=$(choose_python "$list") || {
            # shellcheck disable=SC2046
            apt_install $(packages "$list") && python=$(choose_python "$list")
        } || python=
        rm -rf "$VENV"
        if [ -n "$python" ]; then from_debian "$python"; else from_index "$list"; fi
        printf '%s\n' "$stamp" >"$VENV/stamp"
    fi
    PYTHON=$VENV/bin/python
    PATH=$VENV/bin:$PATH
    export PATH
}
