# shellcheck shell=bash
# Sourced after setup.sh. Programs from npm, each in a folder of the cache below $XDG_CACHE_HOME/push-jobs that is named after its version.

# shellcheck disable=SC2034  # used by the scripts that source this file
NPM_PACKAGES="nodejs:/usr/bin/node npm:/usr/bin/npm"
# The newest one that runs on Debian 12's Node.js.
MARKDOWNLINT=markdownlint-cli@0.41.0

npm_program() { # npm_program PACKAGE@VERSION NAME: the path of a program
    printf '%s' "$CACHE/npm/$1/node_modules/.bin/$2"
}

setup_npm() { # setup_npm PACKAGE@VERSION NAME: make sure of it; without it a check is left out, so that is no error
    local folder=$CACHE/npm/$1
    [ ! -x "$(npm_program "$1" "$2")" ] && [ -x /usr/bin/npm ] || return 0
    mkdir -p "$folder"
    (
        command -v flock >/dev/null 2>&1 && flock 9
        [ ! -x "$(npm_program "$1" "$2")" ] || exit 0
        say "installing $1"
        # Descriptor 9 is the lock: nothing that is started here may keep it.
        npm install --no-audit --no-fund --prefix "$folder" "$1" >"$folder/install.log" 2>&1 9>&- ||
            say "going on without $1: see $folder/install.log"
    ) 9>"$CACHE/setup.lock"
}
