# shellcheck shell=bash
# Sourced after setup.sh. Sets of Ruby programs, installed by Bundler into the cache below $XDG_CACHE_HOME/push-jobs: one per Gemfile in
# tests/interop/gems, and "chef", the Gemfile of the clone itself. All clones share a set; another Gemfile makes another one.
# tests/support/gems.py finds them by the same rule and runs programs from them.

# A compiler and headers are among them because some gems are built here.
# shellcheck disable=SC2034  # used by the scripts that source this file
GEM_PACKAGES="ruby:/usr/bin/ruby ruby-dev:/usr/lib/*/pkgconfig/ruby-3*.pc bundler:/usr/bin/bundle
build-essential:/usr/share/doc/build-essential"
INTEROP_PACKAGES="$GEM_PACKAGES libzmq3-dev:/usr/include/zmq.h nginx-light:/usr/sbin/nginx goiardi:/usr/bin/goiardi serf:/usr/bin/serf"

gemfile() { # gemfile NAME: what a set is made from
    case $1 in chef) printf '%s' "$ROOT/Gemfile" ;; *) printf '%s' "$ROOT/tests/interop/gems/$1/Gemfile" ;; esac
}

gem_set() { # gem_set NAME: the name of the folder of a set
    printf '%s-%s' "$1" "$(sha256sum <"$(gemfile "$1")" | cut -c1-12)"
}

gem_set_is_ready() { # gem_set_is_ready SET: it is whole, and of the Ruby that is here now
    [ "$(cat "$CACHE/gems/$1/installed" 2>/dev/null)" = "$(readlink -f /usr/bin/ruby)" ]
}

in_gem_set() { # in_gem_set NAME PROGRAM...: run a program of a set, in the current folder
    local folder
    folder=$CACHE/gems/$(gem_set "$1")
    shift
    # Ruby takes its encoding from the locale, and has no UTF-8 without one.
    env BUNDLE_GEMFILE="$folder/Gemfile" BUNDLE_PATH="$folder/gems" BUNDLE_APP_CONFIG="$folder" BUNDLE_SILENCE_ROOT_WARNING=1 \
        CHEF_LICENSE=accept-no-persist LC_ALL=C.UTF-8 /usr/bin/ruby -W0 /usr/bin/bundle exec "$@"
}

gem_sets_to_try() { # gem_sets_to_try NAME...: the sets that are missing and were not asked for in vain already
    local name folder
    [ -x /usr/bin/bundle ] || return 0
    for name in "$@"; do
        folder=$(gem_set "$name")
        gem_set_is_ready "$folder" || grep -qsx "gems/$folder" "$VENV/without" || printf '%s ' "$name"
    done
}

install_gem_set() { # install_gem_set NAME: runs under the lock
    local name=$1 began=$SECONDS folder
    folder=$CACHE/gems/$(gem_set "$name")
    say "installing Ruby programs: $name (up to three minutes, once)"
    mkdir -p "$folder"
    cp "$(gemfile "$name")" "$folder/Gemfile"
    rm -f "$folder/Gemfile.lock" "$folder/installed"
    # Descriptor 9 is the lock: nothing that is started here may keep it.
    if (cd "$folder" && BUNDLE_GEMFILE=$folder/Gemfile BUNDLE_PATH=$folder/gems BUNDLE_APP_CONFIG=$folder \
        BUNDLE_SILENCE_ROOT_WARNING=1 /usr/bin/ruby /usr/bin/bundle install --jobs 2) >"$folder/install.log" 2>&1 9>&-; then
        readlink -f /usr/bin/ruby >"$folder/installed"
        say "installed $name in $((SECONDS - began)) s"
        return 0
    fi
    printf 'gems/%s\n' "${folder##*/}" >>"$VENV/without"
    say "going on without the Ruby programs $name: see $folder/install.log (remove $VENV/without to try again)"
}

setup_gems() { # setup_gems NAME...: make sure of these sets; tests that need a set which can't be had are skipped, so that is no error
    local name
    [ -n "$(gem_sets_to_try "$@")" ] || return 0
    (
        command -v flock >/dev/null 2>&1 && flock 9
        for name in $(gem_sets_to_try "$@"); do install_gem_set "$name"; done
    ) 9>"$CACHE/setup.lock"
}
